"""A real worker calls a real softphone to tell of a message: it stands where the node's edge would."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from sip import wav
from sip.hears import hears
from sip.softphone import Softphone
from store.features import SCHEMA
from store.ids import uuid7
from store.model import NewMessage, Setting, User
from store.postgres import PostgresStore
from tests.fakes.sip_pool import noise, phone_settings
from tests.integration.test_worker import RealWorker, until
from voicemail import pins
from voicemail.call_orders import Ended, Order, Report, ask, path_of
from voicemail.config import parse
from voicemail.policy.book import OPTIONS
from voicemail.policy.model import Restriction, RestrictionTable, UserOptions
from voicemail.prompts import PromptBook

PIN = "839204"
ANNA = User(id=uuid4(), extension="1001", name="Anna", pin_hash=pins.hashed(PIN))
PROMPTS = PromptBook()
OPEN = RestrictionTable(rows=(Restriction(pattern="0171*", allow=True),))


@pytest.fixture
async def store(store_dsn: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore.open(store_dsn, replicated=False) as opened:
        await opened.users.add(ANNA)
        await opened.agree(SCHEMA)
        ready = UserOptions(enrolled=True, pin_changed=datetime.now(UTC)).model_dump_json()
        await opened.settings.put(Setting(UserOptions.KIND, OPTIONS, ready, ANNA.id))
        table = Setting(RestrictionTable.KIND, "default_dial_out", OPEN.model_dump_json())
        await opened.settings.put(table)
        yield opened


class CallingWorker(RealWorker):
    """Its calls go to `port` of this machine, as if that were its edge."""

    def __init__(self, folder: Path, dsn: str, port: int) -> None:
        super().__init__(folder, dsn)
        self.text = self.text.replace("[sip]\n", f"[sip]\nport = {port}\n")
        self.text += f'[notify]\ncall_uri = "sip:{{number}}@127.0.0.1:{port}"\n'
        self.config = parse(self.text)

    async def order(self, number: str = "0171 555", patience: float = 60.0) -> Report:
        return await ask(path_of(self.config, 0), Order(ANNA.id, number, uuid4()), patience)


def silent_phone() -> Softphone:
    return Softphone(phone_settings(sip_port=random.randrange(34000, 36000)), answers=False)


async def test_a_user_is_called_signs_in_and_hears_the_message(
    store: PostgresStore, store_dsn: str, tmp_path: Path
) -> None:
    speech = tmp_path / "speech.wav"
    speech.write_bytes(noise(2.0, 5))
    new = NewMessage(uuid7(), ANNA.id, "+4930555", "", datetime.now(UTC), wav.seconds(speech))
    await store.messages.deposit(new, speech.read_bytes())
    port = random.randrange(34000, 36000)
    phone = Softphone(phone_settings(sip_port=port))
    async with phone, CallingWorker(tmp_path, store_dsn, port) as worker:
        ordered = asyncio.create_task(worker.order())
        call = await phone.ring()
        await call.record(tmp_path / "heard.wav")
        await asyncio.sleep(9.0)  # both prompts
        await call.press(PIN + "#")
        assert (await ordered).ended is Ended.REACHED
        await asyncio.sleep(3.0)
        await call.press("1")
        await asyncio.sleep(11.0)
        await call.hang_up()
        for prompt in ("notified", "enter_pin", "you_have"):
            path = PROMPTS.find(prompt)
            assert path and hears(tmp_path / "heard.wav", path) is not None, prompt
        assert hears(tmp_path / "heard.wav", speech) is not None


async def test_a_number_that_is_not_allowed_never_rings_and_a_refusal_is_told(
    store: PostgresStore, store_dsn: str, tmp_path: Path
) -> None:
    phone = silent_phone()
    async with phone, CallingWorker(tmp_path, store_dsn, phone.settings.sip_port) as worker:
        assert (await worker.order("0900 1")).ended is Ended.NOT_ALLOWED
        assert not phone.calls
        ordered = asyncio.create_task(worker.order())
        call = await phone.ring()
        await call.hang_up()
        assert (await ordered).ended is Ended.REFUSED


async def test_who_ordered_a_call_and_died_has_it_ended(
    store: PostgresStore, store_dsn: str, tmp_path: Path
) -> None:
    phone = silent_phone()
    async with phone, CallingWorker(tmp_path, store_dsn, phone.settings.sip_port) as worker:
        with pytest.raises(Exception, match="no answer in time"):
            await worker.order(patience=1.5)
        call = await phone.ring()
        await call.ended()
        await until(lambda: worker.board.read()[0].busy == 0)
