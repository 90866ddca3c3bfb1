import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from sip import wav
from store.ids import uuid7
from store.memory import MemoryStore
from store.model import Deposit, NewMessage
from store.spool import Spool, SpoolEntry
from tests.fakes.call import START
from tests.fakes.desk import ANNA, House, house
from voicemail.delivery import Delivery, Draft, Rules, pause_before


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


def entry(extension: str = "1001", mailbox: UUID | None = ANNA.id, **more: bool) -> SpoolEntry:
    whole = SpoolEntry(
        id=uuid7(),
        extension=extension,
        mailbox_id=mailbox,
        caller="+4930555",
        caller_name="",
        recorded=START,
        urgent=False,
        call_id="call-1",
    )
    return replace(whole, **more)


def spoken(seconds: float) -> bytes:
    return wav.file_ulaw(b"\x42" * 2 * int(seconds * wav.RATE / 2))


def unclosed(seconds: float) -> bytes:
    """What kill -9 leaves: the header's three sizes are 0."""
    audio = bytearray(spoken(seconds))
    for offset in (4, 44, 52):
        audio[offset : offset + 4] = bytes(4)
    return bytes(audio)


async def recorded(home: House, what: SpoolEntry, audio: bytes) -> Draft:
    draft = await home.delivery.begin(what)
    draft.path.write_bytes(audio)
    return draft


async def until(holds: Callable[[], bool]) -> None:
    """Other tasks' turn, until something holds; bounded by a generous time-out."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_delivered_message_is_in_the_store_and_no_longer_in_the_spool(home: House) -> None:
    draft = await recorded(home, entry(), spoken(5.0))
    assert await home.delivery.deliver(draft)
    (message,) = await home.messages()
    assert (message.id, message.seconds, message.cut_off) == (draft.entry.id, 5.0, False)
    assert await home.store.messages.audio(message.id) == spoken(5.0)
    assert home.left_in_spool() == 0


async def test_delivering_twice_adds_nothing(home: House) -> None:
    draft = await recorded(home, entry(), spoken(5.0))
    await home.delivery.deliver(draft)
    again = await recorded(home, draft.entry, spoken(5.0))
    assert await home.delivery.deliver(again)
    assert len(await home.messages()) == 1


async def test_the_file_stays_while_the_store_is_away_and_goes_when_it_is_back(home: House) -> None:
    home.store.state.away = True
    drafts = [await recorded(home, entry(), spoken(2.0 + n)) for n in range(3)]
    assert [await home.delivery.deliver(draft) for draft in drafts] == [False, False, False]
    assert home.left_in_spool() == home.delivery.waiting == 3
    for attempt in range(1, 4):
        await until(lambda attempt=attempt: len(home.pauses.asked) == attempt)
        home.pauses.end()
    await until(lambda: len(home.pauses.asked) == 4)
    assert home.pauses.asked == [0.5, 1.0, 2.0, 4.0]
    home.store.state.away = False
    home.pauses.end()
    await until(lambda: not home.delivery.waiting)
    assert sorted(each.seconds for each in await home.messages()) == [2.0, 3.0, 4.0]
    assert home.left_in_spool() == 0


async def test_pauses_grow_up_to_a_bound() -> None:
    assert [pause_before(n) for n in (1, 2, 3, 7, 8, 10_000)] == [0.5, 1.0, 2.0, 30.0, 30.0, 30.0]


async def test_what_a_crash_left_is_repaired_and_delivered_as_cut_off(home: House) -> None:
    cut = await recorded(home, entry(), unclosed(3.0))
    whole = await recorded(home, entry(complete=True), spoken(2.0))
    home.delivery.recover([cut.entry, whole.entry])
    home.pauses.end()
    await until(lambda: not home.delivery.waiting)
    found = {each.id: each for each in await home.messages()}
    assert (found[cut.entry.id].cut_off, found[cut.entry.id].seconds) == (True, 3.0)
    assert (found[whole.entry.id].cut_off, found[whole.entry.id].seconds) == (False, 2.0)
    assert wav.is_sound(await home.store.messages.audio(cut.entry.id))
    assert home.left_in_spool() == 0


@pytest.mark.parametrize("audio", [b"", b"RIFF", unclosed(0.9)])
async def test_what_a_crash_left_of_less_than_a_second_is_dropped(home: House, audio: bytes) -> None:
    draft = await recorded(home, entry(), audio)
    home.delivery.recover([draft.entry])
    home.pauses.end()
    await until(lambda: not home.delivery.waiting)
    assert not await home.messages()
    assert home.left_in_spool() == 0


async def test_a_file_that_is_no_recording_is_set_aside_not_deleted(home: House) -> None:
    draft = await recorded(home, entry(), b"\0" * 5000)
    await home.delivery.deliver(draft)
    assert home.left_in_spool() == 0
    assert [path.stat().st_size for path in home.folder.rglob(f"{draft.entry.id}.wav")] == [5000]


async def test_a_message_for_nobody_is_set_aside_not_deleted(home: House) -> None:
    draft = await recorded(home, entry("7777", None), spoken(5.0))
    await home.delivery.deliver(draft)
    assert home.left_in_spool() == 0
    assert list(home.folder.rglob(f"{draft.entry.id}.wav"))


async def test_an_extension_is_resolved_when_the_store_is_there(home: House) -> None:
    draft = await recorded(home, entry("1001", None), spoken(5.0))
    await home.delivery.deliver(draft)
    assert len(await home.messages()) == 1


async def test_one_message_that_cannot_be_deposited_does_not_hold_up_others(home: House) -> None:
    bad, good = [await recorded(home, entry(), spoken(5.0)) for _ in range(2)]
    deposit = home.store.messages.deposit

    async def choosy(message: NewMessage, audio: bytes, *, wait: float = 1.0) -> Deposit:
        if message.id == bad.entry.id:
            raise ValueError("poison")
        return await deposit(message, audio, wait=wait)

    home.store.messages.deposit = choosy  # type: ignore[method-assign]
    home.delivery.recover([bad.entry, good.entry])
    home.pauses.end()
    await until(lambda: home.delivery.waiting == 1)
    assert [each.id for each in await home.messages()] == [good.entry.id]
    assert home.left_in_spool() == 1


async def test_a_store_that_hangs_lets_the_caller_go_on_and_still_gets_the_message(tmp_path: Path) -> None:
    store, opened = MemoryStore(), asyncio.Event()
    deposit = store.messages.deposit

    async def slow(message: NewMessage, audio: bytes, *, wait: float = 1.0) -> Deposit:
        await opened.wait()
        return await deposit(message, audio, wait=wait)

    store.messages.deposit = slow  # type: ignore[method-assign]
    spool = Spool(tmp_path, 0)
    async with Delivery(store, spool, Rules(least_free=1, patience=0.01)) as delivery:
        draft = await delivery.begin(entry())
        draft.path.write_bytes(spoken(2.0))
        assert not await delivery.deliver(draft)
        assert len(spool.left_behind()) == 1
        opened.set()
        await until(lambda: not spool.left_behind())
    assert len(await store.messages.all_ids()) == 1


async def test_joining_leaves_one_file_with_both(home: House) -> None:
    first, second = [await recorded(home, entry(), spoken(seconds)) for seconds in (2.0, 3.0)]
    joined = await home.delivery.append(first, second)
    assert (joined.entry.id, joined.entry.seconds, wav.closed(joined.path)) == (first.entry.id, 5.0, True)
    assert home.left_in_spool() == 1
