import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sip import wav
from sip.call import Sound
from sip.errors import EngineError
from sip.invite import Invite, Reason, Redirection
from store.model import User
from tests.fakes.call import Barges, ScriptedCall, Speaks
from tests.fakes.desk import ANNA, BEN, PILOT, PIN, House, house
from voicemail.pilot import Found, Kind, candidates, route

STRANGER = "+4930555"
GREETING_END = "default_greeting_after"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


def invite(dialled: str = PILOT, *forwarded: str, caller: str = STRANGER, asserted: str = "") -> Invite:
    redirections = tuple(Redirection(number, Reason.NO_REPLY) for number in forwarded)
    return Invite("call-1", dialled, caller, "", redirections, asserted)


A, B = ANNA, BEN
BOTH: Found = {"1001": A, "1002": B, STRANGER: None, "7777": None}


@pytest.mark.parametrize(
    ("call", "found", "kind", "extension"),
    [
        (invite(PILOT, "1001"), BOTH, Kind.LEAVE_MESSAGE, "1001"),
        (invite(PILOT, "1001", "1002"), BOTH, Kind.LEAVE_MESSAGE, "1001"),
        (invite(PILOT, "7777", "1002"), BOTH, Kind.LEAVE_MESSAGE, "1002"),
        (invite(PILOT, PILOT, "1002"), BOTH, Kind.LEAVE_MESSAGE, "1002"),
        (invite("1002", "1001"), BOTH, Kind.LEAVE_MESSAGE, "1001"),
        (invite(PILOT, "7777"), BOTH, Kind.NOT_A_MAILBOX, ""),
        (invite(PILOT, "1001", caller="1001"), BOTH, Kind.SIGN_IN, "1001"),
        (invite(PILOT, "1001", caller="1002"), BOTH, Kind.LEAVE_MESSAGE, "1001"),
        (invite(PILOT, "1001", asserted="1001"), BOTH, Kind.SIGN_IN, "1001"),
        (invite(PILOT, "1001"), {}, Kind.LEAVE_MESSAGE, "1001"),
        (invite(PILOT, "alice"), {}, Kind.NOT_A_MAILBOX, ""),
        (invite(PILOT, "1" * 99), {}, Kind.NOT_A_MAILBOX, ""),
        (invite(PILOT, ""), BOTH, Kind.SIGN_IN, ""),
        (invite(), BOTH, Kind.SIGN_IN, ""),
        (invite(caller=""), {}, Kind.SIGN_IN, ""),
        (invite(caller="1001"), BOTH, Kind.SIGN_IN, "1001"),
        (invite(), {}, Kind.NOT_AVAILABLE, ""),
        (invite("1001"), BOTH, Kind.LEAVE_MESSAGE, "1001"),
        (invite("1001", caller="1001"), BOTH, Kind.SIGN_IN, "1001"),
        (invite("1001"), {}, Kind.LEAVE_MESSAGE, "1001"),
        (invite("7777"), BOTH, Kind.NOT_A_MAILBOX, ""),
        (invite(""), {}, Kind.NOT_A_MAILBOX, ""),
    ],
)
def test_where_a_call_goes(call: Invite, found: Found, kind: Kind, extension: str) -> None:
    where = route(call, PILOT, found)
    assert (where.kind, where.extension) == (kind, extension)
    assert where.because
    assert set(candidates(call, PILOT)) <= {extension, call.dialled, call.caller, call.asserted} | {
        each.number for each in call.redirections
    }


def test_the_reason_is_that_of_the_party_whose_mailbox_it_is() -> None:
    call = replace(
        invite(),
        redirections=(Redirection("7777", Reason.UNCONDITIONAL), Redirection("1002", Reason.BUSY)),
    )
    assert route(call, PILOT, BOTH).reason is Reason.BUSY


async def talk(home: House, called: Invite, *script: "str | float | Speaks | Barges") -> ScriptedCall:
    call = home.call(*script, invite=called)
    await home.pilot().handle(call)
    assert call.ended, "every call is hung up"
    assert not list((home.folder / "sounds").glob("*.wav")), "no file is left"
    return call


async def test_a_forwarded_call_leaves_a_message(home: House) -> None:
    call = await talk(home, invite(PILOT, "1001"), Speaks(5.0, "hang-up"))
    assert call.heard[-2:] == [GREETING_END, "tone"]
    assert len(await home.messages()) == 1


async def test_a_user_hears_his_messages(home: House) -> None:
    await home.leave()
    call = await talk(home, invite(caller="1001"), PIN, "1", "3", "*")
    assert call.heard[:5] == ["welcome", "enter_pin", "you_have", "n_1", "new_message"]
    assert call.heard[-1] == "goodbye"


async def test_a_number_without_a_mailbox_is_told_so(home: House) -> None:
    for called in (invite("7777"), invite(PILOT, "7777")):
        assert (await talk(home, called)).heard == ["not_a_mailbox", "goodbye"]


async def test_star_in_the_greeting_signs_in(home: House) -> None:
    call = await talk(home, invite(PILOT, "1001", caller="1002"), Barges("*"), PIN, "*")
    assert call.heard[1:3] == ["welcome", "enter_pin"]
    call = await talk(home, invite(PILOT, "1001"), Barges("*"), "1001", PIN, "*")
    assert call.heard[1:4] == ["welcome", "enter_id", "enter_pin"]


async def test_the_owners_greeting_is_played(home: House) -> None:
    await home.store.users.set_greeting(ANNA.id, wav.file_ulaw(b"\x21" * 16000))
    call = await talk(home, invite(PILOT, "1001"), Speaks(5.0, "hang-up"))
    assert call.lengths == {0: 2.0}


@pytest.mark.parametrize("audio", [b"", b"rubbish"])
async def test_a_damaged_greeting_is_replaced_by_the_systems(home: House, audio: bytes) -> None:
    await home.store.users.set_greeting(ANNA.id, audio)
    call = await talk(home, invite(PILOT, "1001"), Speaks(5.0, "hang-up"))
    assert GREETING_END in call.heard


@pytest.mark.parametrize("seen", [True, False])
async def test_with_the_store_away_a_message_is_taken_and_delivered_later(home: House, seen: bool) -> None:
    pilot = home.pilot()
    if seen:
        await pilot.handle(home.call(invite=invite(PILOT, "1001")))
    home.store.state.away = True
    call = home.call(5.0, "#", invite=invite(PILOT, "1001"))
    await pilot.handle(call)
    assert call.heard[-2:] == ["message_sent", "goodbye"]
    (entry,) = home.spool.left_behind()
    assert (entry.extension, entry.mailbox_id) == ("1001", ANNA.id if seen else None)


async def test_with_the_store_away_users_are_told(home: House) -> None:
    home.store.state.away = True
    assert (await talk(home, invite())).heard == ["not_available_now", "goodbye"]


async def test_a_known_user_is_told_when_the_store_goes_away_meanwhile(home: House) -> None:
    pilot = home.pilot()
    call = home.call(PIN, invite=invite(caller="1001"))
    call.on_sound = lambda sound: setattr(home.store.state, "away", sound == "enter_pin")
    await pilot.handle(call)
    assert call.heard == ["welcome", "enter_pin", "not_available_now", "goodbye"]
    assert call.ended


async def test_a_caller_who_gives_up_while_it_rings_is_no_failure(home: House) -> None:
    call = home.call(leaves_at=1, invite=invite(PILOT, "1001"))
    await home.pilot().handle(call)
    assert (call.answered, call.heard, call.ended) == (False, [], True)


async def test_something_broken_is_told_and_the_call_ended(home: House) -> None:
    def break_down(sound: Sound) -> None:
        if sound == "tone":
            raise ZeroDivisionError

    call = home.call(5.0, invite=invite(PILOT, "1001"))
    call.on_sound = break_down
    await home.pilot().handle(call)
    assert call.heard[-2:] == ["failure", "goodbye"]
    assert call.ended


async def test_a_call_that_fails_by_itself_is_a_warning_without_a_trace(home: House) -> None:
    def fail(sound: Sound) -> None:
        if sound == "tone":
            raise EngineError("never acknowledged")

    call = home.call(5.0, invite=invite(PILOT, "1001"))
    call.on_sound = fail
    with capture_logs() as lines:
        await home.pilot().handle(call)
    assert call.ended
    assert [line["why"] for line in lines if line["log_level"] == "warning"] == ["never acknowledged"]
    assert not [line for line in lines if line["log_level"] == "error"]


async def test_what_was_recorded_is_delivered_even_if_the_menu_breaks(home: House) -> None:
    def break_down(sound: Sound) -> None:
        if sound == "caller_menu":
            raise ZeroDivisionError

    call = home.call(5.0, invite=invite(PILOT, "1001"))
    call.on_sound = break_down
    await home.pilot().handle(call)
    assert len(await home.messages()) == 1


async def test_a_number_looked_up_slowly_is_not_waited_for(home: House) -> None:
    awake = asyncio.Event()
    by_extension = home.store.users.by_extension

    async def slow(extension: str) -> User | None:
        await awake.wait()
        return await by_extension(extension)

    home.store.users.by_extension = slow  # type: ignore[method-assign]
    called = home.call(Speaks(5.0, "hang-up"), invite=invite(PILOT, "1001"))
    called.on_sound = lambda sound: awake.set() if sound == "tone" else None
    async with asyncio.timeout(5):
        await home.pilot().handle(called)
    assert GREETING_END in called.heard
    assert len(await home.messages()) == 1
