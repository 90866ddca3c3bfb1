"""A real worker and a real database: a softphone leaves messages and hears them."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import numpy as np
import pytest

from sip import wav
from sip.board import Board, State
from sip.hears import hears
from sip.softphone import PhoneCall, Softphone
from store.errors import Unavailable
from store.features import SCHEMA
from store.model import Folder, Message, Setting, User
from store.postgres import PostgresStore
from tests.fakes.postgres import running_server, with_template
from tests.fakes.sip_pool import phone_settings
from voicemail import pins
from voicemail.config import parse
from voicemail.policy.book import OPTIONS
from voicemail.policy.model import UserOptions
from voicemail.prompts import PromptBook
from voicemail.secrets import Membership, NodeFiles, member_of

PIN = "839204"
ANNA = User(id=uuid4(), extension="1001", name="Anna", pin_hash=pins.hashed(PIN))
FORWARDED = {"Diversion": '"Anna" <sip:1001@pbx>;reason=no-answer'}
PROMPTS = PromptBook()


class RealWorker:
    """`python -m voicemail.worker` with one worker, on an external database."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.text = (
            f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{folder}"\n'
            f"[sip]\nworkers = 1\nworker_port = {random.randrange(32000, 34000)}\n"
            f"rtp_port = {random.randrange(14000, 15000) * 2}\n"
            f'[store]\ndsn = "{dsn}"\n[recording]\nleast_free_megabytes = 1\n'
        )
        self.config = parse(self.text)

    async def __aenter__(self) -> Self:
        (self.folder / "node.toml").write_text(self.text)
        NodeFiles(self.config).write_membership(Membership(1, (member_of(self.config, 1),)))
        await self.start()
        return self

    async def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "voicemail.worker", str(self.folder / "node.toml"),
                stdout=log, stderr=log, cwd=Path(__file__).parents[2],
            )  # fmt: skip
        board = self.folder / "run" / "board"
        await until(board.exists)
        self.board = Board.open(board)
        await until(lambda: self.board.read()[0].state is State.READY)

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    @property
    def pid(self) -> int:
        return self.board.read()[0].pid

    async def dialled(self, phone: Softphone, caller: str = "", **headers: str) -> PhoneCall:
        call = await phone.dial(f"sip:5000@127.0.0.1:{self.config.sip.worker_port}", headers, caller)
        await call.answered()
        return call


async def until(holds: Callable[[], Any], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110  the other side is a process
            await asyncio.sleep(0.01)


@pytest.fixture
async def worker(tmp_path: Path, store_dsn: str) -> AsyncIterator[RealWorker]:
    async with RealWorker(tmp_path, store_dsn) as running:
        yield running


@pytest.fixture
async def store(store_dsn: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore.open(store_dsn, replicated=False) as opened:
        await opened.users.add(ANNA)
        await opened.agree(SCHEMA)
        ready = UserOptions(enrolled=True, pin_changed=datetime.now(UTC)).model_dump_json()
        await opened.settings.put(Setting(UserOptions.KIND, OPTIONS, ready, ANNA.id))
        yield opened


@pytest.fixture
async def phone() -> AsyncIterator[Softphone]:
    async with Softphone(phone_settings()) as opened:
        yield opened


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    noise = np.random.default_rng(1).normal(0, 3000, 16000).astype("<i2").tobytes()
    path = tmp_path / "speech.wav"
    path.write_bytes(wav.join([wav.parse(wav.file_pcm16(noise))]))
    return path


async def messages(store: PostgresStore, many: int, within: float = 10.0) -> list[Message]:
    """Once there are so many."""
    found: list[Message] = []
    async with asyncio.timeout(within):
        while len(found) < many:
            await asyncio.sleep(0.01)
            with contextlib.suppress(Unavailable):
                found = list(await store.messages.listing(ANNA.id))
    return found


async def leave(worker: RealWorker, phone: Softphone, speech: Path, heard: Path) -> PhoneCall:
    """Skip the greeting, speak after the tone."""
    call = await worker.dialled(phone, **FORWARDED)
    await call.record(heard)
    await asyncio.sleep(2.0)
    await call.press("#")
    await asyncio.sleep(0.8)
    await call.say(speech)
    return call


async def test_a_message_is_left_heard_and_deleted(
    worker: RealWorker, store: PostgresStore, phone: Softphone, speech: Path, tmp_path: Path
) -> None:
    call = await leave(worker, phone, speech, tmp_path / "greeting.wav")
    await call.hang_up()
    (message,) = await messages(store, 1)
    assert (message.folder, message.cut_off) == (Folder.NEW, False)
    assert message.seconds == pytest.approx(2.2, abs=0.5)
    first = PROMPTS.find("default_greeting_before")
    assert first and hears(tmp_path / "greeting.wav", first) is not None

    call = await worker.dialled(phone, caller="sip:1001@127.0.0.1")
    await call.press(PIN + "#")
    await asyncio.sleep(0.3)
    await call.record(tmp_path / "heard.wav")
    await asyncio.sleep(2.5)
    await call.press("1")
    await asyncio.sleep(11.0)
    await call.press("3")
    await asyncio.sleep(3.0)
    await call.hang_up()
    assert hears(tmp_path / "heard.wav", speech) is not None
    for prompt in ("you_have", "new_message", "from_outside_caller"):
        path = PROMPTS.find(prompt)
        assert path and hears(tmp_path / "heard.wav", path) is not None, prompt
    assert (await messages(store, 1))[0].folder is Folder.DELETED


async def test_what_was_said_before_a_worker_died_is_delivered(
    worker: RealWorker, store: PostgresStore, phone: Softphone, speech: Path, tmp_path: Path
) -> None:
    call = await leave(worker, phone, speech, tmp_path / "heard.wav")
    await asyncio.sleep(1.2)  # what is said in the last second may be lost
    os.kill(worker.pid, signal.SIGKILL)
    (message,) = await messages(store, 1)
    assert message.cut_off
    assert message.seconds > 1.5
    (tmp_path / "kept.wav").write_bytes(await store.messages.audio(message.id))
    assert hears(tmp_path / "kept.wav", speech) is not None
    await until(lambda: not list(tmp_path.glob("spool/slot-0/*.wav")))
    del call


async def test_without_a_database_messages_are_taken_and_delivered_later(
    phone: Softphone, speech: Path, tmp_path: Path
) -> None:
    with running_server() as server:
        with_template(server)
        dsn = server.conninfo()
        async with PostgresStore.open(dsn, replicated=False) as store, RealWorker(tmp_path, dsn) as worker:
            await store.users.add(ANNA)
            server.stop()
            call = await leave(worker, phone, speech, tmp_path / "heard.wav")
            await call.hang_up()
            await until(lambda: b"database is away" in (tmp_path / "log").read_bytes())
            server.start()
            (message,) = await messages(store, 1, within=20.0)
            assert not message.cut_off
            prompt = PROMPTS.find("default_greeting_before")
            assert prompt and hears(tmp_path / "heard.wav", prompt) is not None
