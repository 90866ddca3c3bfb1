"""A message by phone keys on one system, through a real SMTP server, read as another system reads it; and
hosts that refuse, hang and answer a byte a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from sip import wav
from sip.call import HungUp
from store.api import Store
from store.features import SCHEMA
from store.ids import uuid7
from store.memory import MemoryStore
from store.model import OUTGOING, Envelope, Folder, Mark, MessageKind, NewMessage, Remote, Setting, Work
from store.notes import noted
from store.postgres import PostgresStore
from store.spool import Spool, SpoolEntry
from tests.fakes.desk import ANNA, BEN, House, house
from tests.fakes.plain_smtp import PlainServer
from tests.fakes.primary import SipWorld
from tests.fakes.smtp import MailServer
from tests.fakes.vpim_validator import violations
from voicemail import departures, receipts
from voicemail.config import Mail
from voicemail.conversation.send_message import send_message
from voicemail.delivery import Delivery, Rules
from voicemail.policy.locations import Location
from voicemail.primary.agenda import Agenda
from voicemail.primary.answers import Answers
from voicemail.primary.clock import SystemClock
from voicemail.primary.lamps import Senders
from voicemail.primary.lease import Lease
from voicemail.primary.notifier import Notifier
from voicemail.primary.post import Post
from voicemail.primary.routes import Dns, Names
from voicemail.primary.runner import Runner
from voicemail.primary.smtp_out import Mailer
from voicemail.vpim.model import Action, Report, VoiceMail
from voicemail.vpim.read import read

EVA = "2722@vm2.example"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def primary(
    store: MemoryStore | PostgresStore, timeout: float = 5.0, names: Names | None = None
) -> AsyncIterator[Answers]:
    """The Primary's work, really running, and what it answers to administrators."""
    clock = SystemClock()
    if isinstance(store, MemoryStore):
        store.state.now = clock.now
    post = Post(store, Mail(), "vm1.example", Mailer("vm1", timeout, names or Dns()), clock)
    lamps = Notifier(store, SipWorld(), (), Senders("127.0.0.1:5060", "sip:5000@x"), clock)
    handlers = {Work.POST: post, Work.REPORT: post, Work.LAMP: lamps}
    agenda = Agenda(lambda: 0.0)
    runner = Runner(store, handlers, agenda, clock, Lease())  # type: ignore[arg-type]

    async def lease() -> None:
        while True:
            runner.renew(1, clock.monotonic())
            await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(runner.run()), asyncio.create_task(lease())]
    try:
        yield Answers(store, agenda, runner, lamps, clock)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: object, seconds: float = 10.0) -> float:
    """How long it took. Raises TimeoutError."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not holds():  # type: ignore[operator] # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def there_is(store: Store, name: str, server: MailServer | PlainServer, **more: object) -> None:
    number = name.removeprefix("vm")
    location = Location(domain=f"{name}.example", dial_id=f"8{number}", host=f"{server.host}:{server.port}")
    location = location.model_copy(update=more)
    await store.settings.put(Setting(Location.KIND, name, location.model_dump_json()))


async def leaves(store: MemoryStore, to: str, audio: bytes) -> None:
    envelope = Envelope(sender=ANNA.id, recipients=(to,))
    new = NewMessage(uuid7(), OUTGOING, "1001", "Anna", datetime.now(UTC), 4.0, envelope=envelope)
    await departures.depart(store, new, (to,), audio, 1.0)


def seen(server: MailServer) -> list[VoiceMail | Report]:
    return [read(path.read_bytes()) for path in server.mails()]


async def test_a_message_by_phone_keys_is_read_by_the_other_system(home: House, tmp_path: Path) -> None:
    name = wav.file_ulaw(b"\x40" * 8000)
    await home.store.users.set_greeting(ANNA.id, name, "name")
    async with MailServer(tmp_path / "mails") as server, primary(home.store):
        await there_is(home.store, "vm2", server)
        with suppress(HungUp):
            await send_message(home.desk(), home.call("8", "22722", "#", 4.0, "1", "1", "2", "3", "#"), ANNA)
        await until(lambda: server.mails())
        (mail,) = seen(server)
        await until(lambda: not home.store.state.messages or _gone(home.store))
    assert isinstance(mail, VoiceMail) and mail.is_vpim
    assert (mail.sender.address, mail.sender.name) == ("1001@vm1.example", "Anna")
    assert [each.address for each in mail.to] == [EVA]
    assert (mail.urgent, mail.private, mail.receipt_to) == (True, True, "1001@vm1.example")
    raw = server.mails()[0].read_bytes()
    assert violations(raw.partition(b"X-Envelope-To: ")[2].partition(b"\r\n")[2]) == []
    assert abs(mail.seconds - 4.0) < 0.1 and mail.spoken_name is not None and mail.language == "en"
    assert await home.store.messages.listing(OUTGOING, Folder.NEW) == []


def _gone(store: MemoryStore) -> bool:
    return all(work.id in store.state.done for work in store.state.outbox.values())


@pytest.mark.parametrize("codec", ["g726", "pcmu", "wav"])
async def test_the_sound_survives_the_way(home: House, tmp_path: Path, codec: str) -> None:
    beat = np.sin(np.arange(32000) * 2 * np.pi * 440 / 8000) * np.sin(np.arange(32000) / 3000) * 8000
    audio = wav.file_pcm16(beat.astype("<i2").tobytes())
    async with MailServer(tmp_path / "mails") as server, primary(home.store):
        await there_is(home.store, "vm2", server, codec=codec)
        await leaves(home.store, EVA, audio)
        await until(lambda: server.mails())
    (mail,) = seen(server)
    assert isinstance(mail, VoiceMail)
    heard = np.frombuffer(wav.samples_pcm16(wav.parse(mail.speech[0].sound)), "<i2")[:32000].astype(float)
    noise = heard - beat[: len(heard)].astype("<i2")
    assert 10 * np.log10((beat**2).mean() / (noise**2).mean()) >= 20


async def test_a_tarpit_delays_other_destinations_by_less_than_a_second(home: House, tmp_path: Path) -> None:
    audio = wav.file_ulaw(b"\x40" * 32000)
    async with MailServer(tmp_path / "mails") as server, PlainServer(rate=1.0) as tarpit, primary(home.store):
        await there_is(home.store, "vm2", server)
        await there_is(home.store, "vm3", tarpit)
        for number in range(30):
            await leaves(home.store, f"3{number:03}@vm3.example", audio)
        await until(lambda: tarpit.connections)
        took = []
        for number in range(5):
            await leaves(home.store, f"2{number:03}@vm2.example", audio)
            took.append(await until(lambda number=number: len(server.mails()) == number + 1))  # type: ignore[misc]
        assert max(took) < 1.0 and tarpit.connections == 1


async def test_of_two_addresses_the_one_that_is_refused_comes_back(home: House) -> None:
    async with PlainServer() as good, PlainServer(answers={"RCPT": "550 5.1.1 nobody"}) as bad:
        await there_is(home.store, "vm2", good)
        await there_is(home.store, "vm3", bad)
        envelope = Envelope(sender=ANNA.id, recipients=(EVA, "9@vm3.example"))
        new = NewMessage(uuid7(), OUTGOING, "1001", "Anna", datetime.now(UTC), 4.0, envelope=envelope)
        await departures.depart(home.store, new, (EVA, "9@vm3.example"), wav.file_ulaw(b"\x40" * 32000), 1.0)
        async with primary(home.store):
            await until(lambda: _gone(home.store))
    (back,) = await home.messages(ANNA)
    assert back.envelope.kind is MessageKind.NON_DELIVERY
    assert (back.envelope.recipients, back.envelope.why[:5]) == (("9@vm3.example",), "gone,")
    assert len(good.mails) == 1 and await home.store.messages.listing(OUTGOING, Folder.NEW) == []


async def test_what_is_refused_for_now_is_tried_again_with_the_same_id(home: House) -> None:
    async with PlainServer(answers={".": "451 4.3.0 later"}) as server, primary(home.store):
        await there_is(home.store, "vm2", server)
        await leaves(home.store, EVA, wav.file_ulaw(b"\x40" * 32000))
        await until(lambda: home.store.state.postponed)
        del server.answers["."]
        (item,) = [each for each in home.store.state.outbox.values() if each.kind is Work.POST]
        await home.store.outbox.hurry([item.id])
        await until(lambda: server.mails)
    assert f"Message-ID: <{item.id}@vm1.example>".encode() in server.mails[0]


async def test_hearing_a_message_from_there_tells_its_sender(home: House, tmp_path: Path) -> None:
    async with MailServer(tmp_path / "mails") as server, primary(home.store):
        await there_is(home.store, "vm2", server)
        remote = Remote(EVA, message_id="abc@vm2.example", receipt_to=EVA)
        new = await home.leave(BEN, envelope=Envelope(remote=remote))
        message = await home.store.messages.get(new.id)
        assert message
        await receipts.before_mark(home.store, message, Mark.READ, BEN, home.clock.now())
        await until(lambda: server.mails())
    (report,) = seen(server)
    assert isinstance(report, Report)
    assert (report.action, report.about, report.recipient) == (
        Action.DISPLAYED, "abc@vm2.example", "1002@vm1.example"
    )  # fmt: skip
    assert server.parsed()[0]["X-Envelope-From"] == "<>"


async def test_messages_leave_a_real_database_once(postgres_store: PostgresStore, tmp_path: Path) -> None:
    store, now = postgres_store, datetime.now(UTC)
    await store.agree(SCHEMA)
    for user in (ANNA, BEN):
        await store.users.add(user)
    to = ("1002", EVA, "2733@vm2.example", "1@nowhere.example")
    async with PlainServer() as server:
        await there_is(store, "vm2", server)
        with Spool(tmp_path, 0) as spool:
            async with Delivery(store, spool, Rules(least_free=1, patience=10.0)) as delivery:
                envelope = noted(Envelope(sender=ANNA.id, recipients=to))
                entry = SpoolEntry(uuid7(), "1002", now, addressees=to, envelope=envelope, caller="1001")
                for _ in range(2):  # the second time as after a crash before the spool was cleared
                    draft = await delivery.begin(entry)
                    draft.path.write_bytes(wav.file_ulaw(b"\x42" * 2 * wav.RATE))
                    assert await delivery.deliver(draft)
        assert len(await store.messages.listing(OUTGOING)) == 1
        assert (await store.outbox.waiting())[Work.POST] == (2, 0)
        async with primary(store):
            async with asyncio.timeout(20):
                while await store.outbox.pending():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert sorted(each for each in server.commands if each.startswith("RCPT")) == [
            f"RCPT TO:<{EVA}>", "RCPT TO:<2733@vm2.example>"
        ]  # fmt: skip
    assert await store.messages.listing(OUTGOING, Folder.NEW) == []
    (back,) = await store.messages.listing(ANNA.id)
    assert (back.envelope.why, back.envelope.recipients) == ("gone", ("1@nowhere.example",))
    assert len(await store.messages.listing(BEN.id)) == 1
