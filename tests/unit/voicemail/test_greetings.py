"""Recorded greetings as files, kept from call to call."""

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from sip import wav
from store.memory import MemoryStore
from store.model import Greeting, setting_id
from tests.fakes.desk import ANNA
from voicemail.greetings import Greetings

ONE, TWO = wav.file_ulaw(b"\x11" * 16000), wav.file_ulaw(b"\x22" * 16000)


class Counting(MemoryStore):
    """Counts how often audio was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        ask = self.users.greeting_unless

        async def counted(*values: str) -> Greeting | None:
            found = await ask(*values)  # type: ignore[arg-type]
            self.sent += bool(found and found.audio)
            return found

        self.users.greeting_unless = counted  # type: ignore[method-assign, assignment]


@pytest.fixture
async def store() -> Counting:
    store = Counting()
    await store.users.add(ANNA)
    await store.users.set_greeting(ANNA.id, ONE)
    return store


async def heard(greetings: Greetings) -> bytes | None:
    path = await greetings.of(ANNA.id)
    return path.read_bytes() if path else None


async def test_a_greeting_is_fetched_once_until_it_changes(store: Counting, tmp_path: Path) -> None:
    greetings = Greetings(store.users, tmp_path)
    assert [await heard(greetings), await heard(greetings), store.sent] == [ONE, ONE, 1]
    await store.users.set_greeting(ANNA.id, TWO)
    assert [await heard(greetings), await heard(greetings), store.sent] == [TWO, TWO, 2]
    assert len(list(tmp_path.iterdir())) == 1


async def test_each_kind_is_a_recording_of_its_own(store: Counting, tmp_path: Path) -> None:
    greetings, handler = Greetings(store.users, tmp_path), setting_id("handler", "sales")
    await store.users.set_greeting(ANNA.id, TWO, "name")
    await store.users.set_greeting(handler, TWO, "closed")
    assert await heard(greetings) == ONE
    for owner, kind in ((ANNA.id, "name"), (handler, "closed")):
        path = await greetings.of(owner, kind)
        assert path and path.read_bytes() == TWO
    assert await greetings.of(handler) is None


async def test_a_greeting_that_was_taken_away_is_gone(store: Counting, tmp_path: Path) -> None:
    greetings = Greetings(store.users, tmp_path)
    await heard(greetings)
    await store.users.set_greeting(ANNA.id, None)
    assert await heard(greetings) is None
    assert not list(tmp_path.iterdir())


async def test_what_cannot_be_played_is_not_and_not_fetched_again(store: Counting, tmp_path: Path) -> None:
    await store.users.set_greeting(ANNA.id, b"rubbish")
    greetings = Greetings(store.users, tmp_path)
    assert [await heard(greetings), await heard(greetings), store.sent] == [None, None, 1]


async def test_with_the_store_away_the_greeting_heard_last_is_played(store: Counting, tmp_path: Path) -> None:
    greetings = Greetings(store.users, tmp_path)
    store.state.away = True
    assert await heard(greetings) is None
    store.state.away = False
    await heard(greetings)
    store.state.away = True
    assert await heard(greetings) == ONE


async def test_a_store_that_hangs_is_not_waited_for(store: Counting, tmp_path: Path) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    store.users.greeting_unless = never  # type: ignore[method-assign, assignment]
    async with asyncio.timeout(5):
        assert await Greetings(store.users, tmp_path).of(ANNA.id, within=0.01) is None


async def test_on_a_full_disk_the_systems_greeting_is_heard(store: Counting, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert await Greetings(store.users, tmp_path / "file").of(ANNA.id) is None


async def test_no_more_than_so_many_files_are_kept(store: Counting, tmp_path: Path) -> None:
    greetings = Greetings(store.users, tmp_path, most=2)
    for extension in ("1002", "1003", "1004"):
        other = replace(ANNA, id=uuid4(), extension=extension)
        await store.users.add(other)
        await store.users.set_greeting(other.id, TWO)
        await greetings.of(other.id)
        await greetings.of(ANNA.id)
    assert len(list(tmp_path.iterdir())) == 2
    assert store.sent == 4, "who is called often is not forgotten"
