import asyncio
from dataclasses import replace
from uuid import uuid4

from store.memory import MemoryStore
from store.model import User
from tests.fakes.desk import ANNA
from voicemail.phonebook import Phonebook


async def book(most: int = 10) -> tuple[Phonebook, MemoryStore]:
    store = MemoryStore()
    await store.users.add(ANNA)
    return Phonebook(store.users, most), store


async def find(phonebook: Phonebook, numbers: tuple[str, ...], within: float = 5.0) -> dict[str, User | None]:
    return dict((await phonebook.look_up(numbers, within=within)).found)


async def test_numbers_are_looked_up_until_one_is_a_users() -> None:
    phonebook, _ = await book()
    assert await find(phonebook, ("", "7777", "7777", "1001", "1002")) == {"7777": None, "1001": ANNA}


async def test_users_seen_are_remembered_while_the_store_is_away() -> None:
    phonebook, store = await book()
    await find(phonebook, ("1001",))
    store.state.away = True
    assert await find(phonebook, ("1001", "1002")) == {"1001": ANNA}


async def test_a_user_who_was_removed_is_forgotten() -> None:
    phonebook, store = await book()
    await find(phonebook, ("1001",))
    await store.users.remove(ANNA.id)
    await find(phonebook, ("1001",))
    store.state.away = True
    assert await find(phonebook, ("1001",)) == {}


async def test_no_more_than_so_many_users_are_remembered() -> None:
    phonebook, store = await book(most=2)
    for extension in ("1001", "1002", "1003"):
        if extension != "1001":
            await store.users.add(replace(ANNA, id=uuid4(), extension=extension))
        await find(phonebook, (extension,))
    store.state.away = True
    found = [bool(await find(phonebook, (number,))) for number in ("1001", "1002", "1003")]
    assert found == [False, True, True]


async def test_a_store_that_hangs_is_not_waited_for() -> None:
    phonebook, store = await book()
    await find(phonebook, ("1001",))

    async def never(extension: str) -> User | None:
        await asyncio.Event().wait()
        return None

    store.users.by_extension = never  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        assert await find(phonebook, ("1001",), within=0.01) == {"1001": ANNA}


async def test_other_numbers_are_looked_up_as_well_and_whether_the_store_answered_is_told() -> None:
    phonebook, store = await book()
    looked = await phonebook.look_up(("1001", "1002"), ("", "1003", "1001"))
    assert (looked.found, looked.away) == ({"1001": ANNA, "1003": None}, False)
    store.state.away = True
    looked = await phonebook.look_up(("1002",), ("1001",))
    assert (looked.found, looked.away) == ({"1001": ANNA}, True)


async def test_the_list_of_everybody_is_read_again_after_half_a_minute() -> None:
    now = [0.0]
    _, store = await book()
    phonebook = Phonebook(store.users, clock=lambda: now[0])
    assert list(await phonebook.everybody()) == [ANNA]
    await store.users.remove(ANNA.id)
    now[0] = 29.0
    assert list(await phonebook.everybody()) == [ANNA]
    now[0] = 31.0
    assert list(await phonebook.everybody()) == []
