"""Finding somebody by name."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from sip import wav
from sip.call import HungUp
from sip.invite import Invite
from store.errors import Unavailable
from store.model import User
from tests.fakes.call import Barges, ScriptedCall, at_every_moment
from tests.fakes.desk import ANNA, BEN, PILOT, House, house
from voicemail.conversation.directory import Left, search
from voicemail.greetings import NAME, Greetings
from voicemail.phonebook import Phonebook
from voicemail.policy.book import OPTIONS
from voicemail.policy.model import UserOptions


def user(number: int, name: str) -> User:
    return User(id=uuid4(), extension=str(number), name=name)


ANNE, JUERGEN = user(1003, "Anne Berg"), user(1004, "Jürgen Müller")
SMITHS = [user(2000 + number, f"{name} Smith") for number, name in enumerate(["Ann", *["Bob"] * 9])]
PEOPLE = (replace(ANNA, name="Anna Berg"), BEN, ANNE, JUERGEN, *SMITHS)
OFFER = (
    *("directory_for", "directory_extension", "n_1", "n_0", "n_0", "n_1", "directory_press", "n_1"),
    *("directory_for", "directory_extension", "n_1", "n_0", "n_0", "n_3", "directory_press", "n_2"),
    "directory_search_again",
)
BERG, SMITH, MUELLER = "2374", "76484", "685537"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, *PEOPLE) as opened:
        yield opened


async def find(home: House, call: ScriptedCall) -> User | Left | None:
    """None when the caller hung up."""
    greetings = Greetings(home.store.users, home.folder / "greetings")
    with suppress(HungUp):
        return await search(home.desk(), call, Phonebook(home.store.users), greetings)
    return None


@pytest.mark.parametrize("keys", ["68553", MUELLER + "587", BERG + "2662"])
async def test_one_who_is_the_only_one_is_found_at_once(home: House, keys: str) -> None:
    found = await find(home, home.call(keys))
    assert isinstance(found, User)
    assert found.extension == ("1001" if keys.startswith(BERG) else "1004")


async def test_several_are_offered(home: House) -> None:
    call = home.call(BERG, "2")
    assert await find(home, call) == ANNE
    assert call.heard == ["directory_spell", *OFFER]


async def test_a_recorded_name_is_played(home: House) -> None:
    await home.store.users.set_greeting(ANNE.id, wav.file_ulaw(b"\x21" * 2 * wav.RATE), NAME)
    call = home.call(BERG, "1")
    found = await find(home, call)
    assert isinstance(found, User) and found.id == ANNA.id
    assert list(call.lengths.values()) == [2.0]


async def test_too_many_take_more_letters(home: House) -> None:
    call = home.call(SMITH, "266")
    assert await find(home, call) == SMITHS[0]
    assert call.heard == ["directory_spell", "directory_spell_more"]


async def test_a_name_that_nobody_has_is_told_three_times(home: House) -> None:
    call = home.call("999", "888", "777")
    assert await find(home, call) is Left.SILENT
    assert call.heard == ["directory_spell", *["directory_nobody", "directory_spell"] * 2]


async def test_silence_three_times_ends_the_search(home: House) -> None:
    call = home.call("", "", "")
    assert await find(home, call) is Left.SILENT
    assert call.heard == ["directory_spell"] * 3
    assert await find(home, home.call(SMITH, "", "", "")) is Left.SILENT
    assert await find(home, home.call(BERG, "", "", "")) is Left.SILENT


async def test_star_leads_back(home: House) -> None:
    assert await find(home, home.call("*")) is Left.BACK
    call = home.call(BERG, "*", MUELLER)
    assert await find(home, call) == JUERGEN
    assert call.heard == ["directory_spell", *OFFER, "directory_spell"]


async def test_a_wrong_key_is_told_and_the_names_said_again(home: House) -> None:
    call = home.call(BERG, "7", "1")
    await find(home, call)
    assert call.heard == ["directory_spell", *OFFER, "invalid_key", *OFFER]


async def test_who_does_not_want_to_be_found_is_not(home: House) -> None:
    await home.desk().policies.put(OPTIONS, UserOptions(listed=False), ANNE.id)
    found = await find(home, home.call(BERG))
    assert isinstance(found, User) and found.id == ANNA.id
    for smith in SMITHS[2:]:
        await home.desk().policies.put(OPTIONS, UserOptions(listed=False), smith.id)
    assert await find(home, home.call(SMITH, "2")) == SMITHS[1]


async def test_without_the_store_there_is_no_directory(home: House) -> None:
    home.store.state.away = True
    with pytest.raises(Unavailable):
        await find(home, home.call(BERG))


async def test_whoever_is_found_is_called(home: House) -> None:
    call = home.call(Barges("4"), "", BERG, "2", invite=Invite("c", PILOT, "+49"))
    await home.pilot().handle(call)
    greeting = ("default_greeting_before", "n_1", "n_0", "n_0", "n_3", "default_greeting_after", "tone")
    assert call.heard == ["opening_welcome", "directory_spell", *OFFER, *greeting]


async def test_the_opening_greeting_says_what_became_of_the_search(home: House) -> None:
    for script, after in ((("*",), "opening_welcome"), (("", "", ""), "goodbye")):
        call = home.call(Barges("4"), "", *script, invite=Invite("c", PILOT, "+49"))
        await home.pilot().handle(call)
        assert call.heard[call.heard.index("directory_spell") + len(script)] == after
    home.store.state.away = True
    call = home.call(Barges("4"), "", BERG, invite=Invite("c", PILOT, "+49"))
    await home.pilot().handle(call)
    assert call.heard[-3:] == ["directory_spell", "cannot_put_through", "goodbye"]


async def test_hanging_up_anywhere_ends_the_search(home: House) -> None:
    moments = await at_every_moment(
        lambda at: home.call("999", BERG, "9", "*", BERG, "", "1", leaves_at=at),
        lambda call: _ends(home, call),
    )
    assert moments > 40


async def _ends(home: House, call: ScriptedCall) -> None:
    assert isinstance(await find(home, call), User) is not bool(call.leaves_at)
