import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from structlog.testing import capture_logs

from sip import wav
from sip.call import Sound
from sip.errors import EngineError
from sip.invite import Invite, Reason, Redirection
from tests.fakes.call import Barges, ScriptedCall, Speaks
from tests.fakes.desk import ANNA, BEN, PILOT, PIN, House, house
from voicemail.conversation.host import Mailbox, Place, Reception, SignIn
from voicemail.pilot import Book, Found, PilotSettings, candidates, route
from voicemail.policy.builtin import BUILT_IN, OPENING
from voicemail.policy.model import Action, CallHandler, Go, RoutingRule, Schedule, Table

T = TypeVar("T")
STRANGER = "+4930555"
GREETING_END = "default_greeting_after"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


def invite(
    dialled: str = PILOT,
    *forwarded: str,
    caller: str = STRANGER,
    asserted: str = "",
    trunk: str = "",
    identified: str = "",
) -> Invite:
    redirections = tuple(Redirection(number, Reason.NO_REPLY) for number in forwarded)
    return Invite("call-1", dialled, caller, "", redirections, asserted, "", trunk, identified)


SETTINGS = PilotSettings(PILOT, Path("unused"), redirecting={"last": "last"})
SALES = CallHandler(extension="5100")
DAY = datetime(2026, 3, 4, 12, tzinfo=UTC)
BOOK = Book(BUILT_IN[RoutingRule], {**BUILT_IN[CallHandler], "sales": SALES}, BUILT_IN[Schedule], {}, DAY)
BOTH: Found = {
    "1001": ANNA,
    "1002": BEN,
    "2002": BEN,
    **dict.fromkeys(("5100", "5900", "7777", STRANGER, "alice")),
}
OPEN = Action(go=Go.HANDLER, target=OPENING)
NO_REPLY = Reason.NO_REPLY


@pytest.mark.parametrize(
    ("call", "found", "to"),
    [
        (invite(PILOT, "1001"), BOTH, Mailbox("1001", ANNA, NO_REPLY)),
        (invite(PILOT, "1001", "1002"), BOTH, Mailbox("1001", ANNA, NO_REPLY)),
        (invite(PILOT, "1001", "1002", trunk="last"), BOTH, Mailbox("1002", BEN, NO_REPLY)),
        (invite(PILOT, "7777", "1002"), BOTH, Mailbox("1002", BEN, NO_REPLY)),
        (invite(PILOT, PILOT, "1002"), BOTH, Mailbox("1002", BEN, NO_REPLY)),
        (invite("1002", "1001"), BOTH, Mailbox("1001", ANNA, NO_REPLY)),
        (invite("1002", "7777"), BOTH, Mailbox("1002", BEN)),
        (invite(PILOT, "7777"), BOTH, OPEN),
        (invite(PILOT, "5100"), BOTH, Reception("sales", transfer=True)),
        (invite("5100"), BOTH, Reception("sales", transfer=True)),
        (invite(PILOT, "1001", caller="1001"), BOTH, SignIn()),
        (invite(PILOT, "1002", caller="2002"), BOTH, SignIn()),
        (invite(PILOT, "1001", caller="1002"), BOTH, Mailbox("1001", ANNA, NO_REPLY)),
        (invite(PILOT, "1001", asserted="1001"), BOTH, SignIn()),
        (invite(PILOT, "1001"), {}, Mailbox("1001", None, NO_REPLY)),
        (invite(PILOT, "alice"), {}, OPEN),
        (invite(PILOT, "1" * 99), {}, OPEN),
        (invite(PILOT, ""), BOTH, OPEN),
        (invite(), BOTH, OPEN),
        (invite(), {}, OPEN),
        (invite(caller=""), {}, OPEN),
        (invite(caller="1001"), BOTH, SignIn()),
        (invite(caller="2002"), BOTH, SignIn()),
        (invite("7777", caller="1001"), BOTH, SignIn()),
        (invite("1001"), BOTH, Mailbox("1001", ANNA)),
        (invite("1001", caller="1001"), BOTH, SignIn()),
        (invite("1002", caller="1001"), BOTH, Mailbox("1002", BEN)),
        (invite("1001"), {}, Mailbox("1001")),
        (invite("7777"), BOTH, OPEN),
        (invite(""), {}, OPEN),
    ],
)
def test_where_a_call_goes(call: Invite, found: Found, to: Place | Action) -> None:
    where = route(call, SETTINGS, found, BOOK)
    assert where.to == to
    assert where.because


def rule(table: Table, action: Action, order: int = 1, **conditions: object) -> RoutingRule:
    return RoutingRule(table=table, order=order, action=action, **conditions)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "to"),
    [
        (invite(), Action(go=Go.HANG_UP)),
        (invite(caller="1001"), Action(go=Go.DIRECTORY)),
        (invite("5900", caller="1002"), SignIn()),
        (invite(PILOT, "1001"), Mailbox("1001", ANNA, NO_REPLY)),
        (invite(PILOT, "1002"), Action(go=Go.DIRECTORY)),
    ],
)
def test_an_administrators_rules_come_first(call: Invite, to: Place | Action) -> None:
    rules = {
        "a": rule(Table.DIRECT, Action(go=Go.HANG_UP), calling=("+4930*",)),
        "b": rule(Table.DIRECT, Action(go=Go.NEXT_RULE), calling=("1*",)),
        "c": rule(Table.DIRECT, Action(go=Go.DIRECTORY), order=2, calling=("1001",)),
        "d": rule(Table.FORWARDED, Action(go=Go.DIRECTORY), forwarding=("1002",)),
    }
    book = replace(BOOK, rules={**BOOK.rules, **rules})
    assert route(call, SETTINGS, BOTH, book).to == to


def test_a_rule_holds_while_its_schedule_is_active() -> None:
    night = rule(Table.DIRECT, Action(go=Go.HANG_UP), schedule="weekdays")
    book = replace(BOOK, rules={**BOOK.rules, "night": night})
    assert route(invite(), SETTINGS, BOTH, book).to == Action(go=Go.HANG_UP)
    late = replace(book, now=DAY.replace(hour=22))
    assert route(invite(), SETTINGS, BOTH, late).to == OPEN
    gone = replace(book, schedules={})
    assert route(invite(), SETTINGS, BOTH, gone).to == OPEN


def test_rules_that_lead_nowhere_lead_to_the_opening_greeting() -> None:
    """Even if somebody made the last rule of the table one that may not apply."""
    ending = BOOK.rules["opening-greeting-direct"].model_copy(
        update={"action": Action(go=Go.ATTEMPT_SIGN_IN)}
    )
    book = replace(BOOK, rules={**BOOK.rules, "opening-greeting-direct": ending})
    assert route(invite(), SETTINGS, BOTH, book).to == Reception(OPENING)


async def test_a_rule_whose_target_is_gone_leaves_the_call_to_the_next_one(home: House) -> None:
    for name, order, target in (("a", 1, "handler:gone"), ("b", 2, "user:1002")):
        go, _, number = target.partition(":")
        action = Action(go=Go(go), target=number)
        await home.desk().policies.put(name, rule(Table.DIRECT, action, order))
    call = home.call(Speaks(5.0, "hang-up"), invite=invite(caller="+4930555"))
    await home.pilot().handle(call)
    assert len(await home.messages(BEN)) == 1


def test_the_reason_is_that_of_the_party_whose_mailbox_it_is() -> None:
    call = replace(
        invite(),
        redirections=(Redirection("7777", Reason.UNCONDITIONAL), Redirection("1002", Reason.BUSY)),
    )
    assert route(call, SETTINGS, BOTH, BOOK).to == Mailbox("1002", BEN, Reason.BUSY)


def test_of_very_many_forwardings_only_some_are_looked_up() -> None:
    assert len(candidates(invite(PILOT, *(str(n) for n in range(7000, 7400))), SETTINGS)) <= 6


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


async def test_a_number_without_a_mailbox_hears_the_opening_greeting(home: House) -> None:
    for called in (invite("7777"), invite(PILOT, "7777"), invite()):
        assert (await talk(home, called, "")).heard[:2] == ["opening_welcome", "dial_extension"]


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


async def test_with_the_store_away_whoever_signs_in_is_told(home: House) -> None:
    home.store.state.away = True
    call = await talk(home, invite(), Barges("*"), "1001", PIN)
    assert call.heard[-3:] == ["enter_pin", "not_available_now", "goodbye"]


async def test_with_the_store_away_the_opening_greeting_still_leads_to_a_mailbox(home: House) -> None:
    home.store.state.away = True
    call = await talk(home, invite(), Barges("1"), "001", Speaks(5.0, "hang-up"))
    assert call.heard[-2:] == [GREETING_END, "tone"]
    (entry,) = home.spool.left_behind()
    assert entry.extension == "1001"


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
        if sound == "review_send":
            raise ZeroDivisionError

    call = home.call(5.0, invite=invite(PILOT, "1001"))
    call.on_sound = break_down
    await home.pilot().handle(call)
    assert len(await home.messages()) == 1


async def test_a_store_that_hangs_is_not_waited_for(home: House) -> None:
    """A greeting must begin within two seconds, although several things are asked of the store."""
    awake, pilot = asyncio.Event(), home.pilot()
    await pilot.handle(home.call(leaves_at=1, invite=invite(PILOT, "1001")))

    def slowed(work: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def slow(*arguments: object, **more: object) -> T:
            await awake.wait()
            return await work(*arguments, **more)

        return slow

    store = home.store
    for part, name in (
        *((store.users, "by_extension"), (store.users, "greeting_unless")),
        *((store.settings, "all"), (store.settings, "get"), (store.messages, "size")),
    ):
        setattr(part, name, slowed(getattr(part, name)))
    called = home.call(Speaks(5.0, "hang-up"), invite=invite(PILOT, "1001"))
    heard_at: list[float] = []
    loop = asyncio.get_running_loop()
    called.on_sound = lambda sound: awake.set() if sound == "tone" else heard_at.append(loop.time())
    began = loop.time()
    home.clock.pass_(60)
    async with asyncio.timeout(5):
        await pilot.handle(called)
    assert heard_at[0] - began < 1.9
    assert GREETING_END in called.heard
    assert len(await home.messages()) == 1
