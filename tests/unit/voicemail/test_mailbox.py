"""A user's mailbox answers: which greeting, what keys do, what comes after."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sip import wav
from sip.call import Transferred
from sip.invite import Invite, Reason, Redirection
from store.model import Folder
from store.notes import envelope_of
from store.spool import SpoolEntry
from tests.fakes.call import START, Barges, ScriptedCall, Speaks, Step, at_every_moment
from tests.fakes.desk import ANNA, BEN, PILOT, PIN, House, house
from voicemail.policy.base import Policy
from voicemail.policy.book import OPTIONS
from voicemail.policy.listening import Sort
from voicemail.policy.model import (
    Action,
    ClassOfService,
    Go,
    GreetingKind,
    GreetingSwitch,
    Holidays,
    Quota,
    Schedule,
    Source,
    UserOptions,
    in_language,
)
from voicemail.policy.transfers import Transfer

NAMES = ("default_greeting_before", "n_1", "n_0", "n_0", "n_1")
SYSTEM = (*NAMES, "default_greeting_after")
LENGTHS = {kind: 2.0 + number for number, kind in enumerate(GreetingKind)}
LEAVES = Speaks(5.0, "hang-up")
TO_ANNA = Invite("call-1", PILOT, "+4930555", "", (Redirection("1001", Reason.NO_REPLY),))
BUSY = replace(TO_ANNA, redirections=(Redirection("1001", Reason.BUSY),))
COLLEAGUE = replace(TO_ANNA, caller="1002", trunk="pbx")
SATURDAY = datetime(2026, 3, 7, 12, tzinfo=UTC)
ON = GreetingSwitch(enabled=True)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def put(home: House, name: str, policy: Policy) -> None:
    """One of ANNA's."""
    await home.desk().policies.put(name, policy, ANNA.id)


async def record(home: House, kind: str, seconds: float) -> None:
    await home.store.users.set_greeting(ANNA.id, wav.file_ulaw(b"\x21" * int(seconds * wav.RATE)), kind)


async def talk(home: House, invite: Invite, *script: Step, leaves_at: int = 0) -> ScriptedCall:
    call = home.call(*script, invite=invite, leaves_at=leaves_at)
    await home.pilot().handle(call)
    assert call.ended
    return call


@pytest.mark.parametrize(
    ("on", "invite", "at", "kind"),
    [
        ("", TO_ANNA, START, "standard"),
        ("alternate busy internal holiday closed", BUSY, SATURDAY, "alternate"),
        ("busy internal closed", replace(COLLEAGUE, redirections=BUSY.redirections), SATURDAY, "busy"),
        ("busy", TO_ANNA, START, "standard"),
        ("internal closed", COLLEAGUE, SATURDAY, "internal"),
        ("internal", replace(COLLEAGUE, trunk=""), START, "standard"),
        ("internal", replace(COLLEAGUE, trunk="", identified="1002"), START, "internal"),
        ("internal", replace(COLLEAGUE, caller="1234"), START, "standard"),
        ("holiday closed", TO_ANNA, START + timedelta(days=1), "holiday"),
        ("closed", TO_ANNA, START + timedelta(days=1), "closed"),
        ("closed", TO_ANNA, START, "standard"),
        ("closed", TO_ANNA, SATURDAY, "closed"),
        ("alternate", TO_ANNA, START + timedelta(days=3), "standard"),
    ],
)
async def test_which_greeting_is_heard(
    home: House, on: str, invite: Invite, at: datetime, kind: GreetingKind
) -> None:
    """ANNA's alternate greeting ends two days after START, and the day after START is a holiday."""
    home.clock.time = at
    for name in on.split():
        until = START + timedelta(days=2) if name == "alternate" and at != SATURDAY else None
        await put(home, name, GreetingSwitch(enabled=True, until=until))
    for name, seconds in LENGTHS.items():
        await record(home, name, seconds)
    day = (START + timedelta(days=1)).date()
    policies = home.desk().policies
    await policies.put("public", Holidays(days=((day, day),)))
    hours = (await policies.all(Schedule))["weekdays"]
    await policies.put("office", hours.model_copy(update={"holidays": "public"}))
    await put(home, OPTIONS, UserOptions(schedule="office"))
    call = await talk(home, invite, LEAVES)
    assert list(call.lengths.values()) == [LENGTHS[kind]]


async def test_open_and_closed_are_by_the_owners_clock(home: House) -> None:
    """At START it is 15:05 in UTC and after midnight in Tokyo."""
    await put(home, "closed", ON)
    await record(home, "closed", 3.0)
    await put(home, OPTIONS, UserOptions(time_zone="Asia/Tokyo"))
    assert (await talk(home, TO_ANNA, LEAVES)).lengths
    await put(home, OPTIONS, UserOptions(time_zone="Nowhere/Atall"))
    assert (await talk(home, TO_ANNA, LEAVES)).heard == [*SYSTEM, "tone"]


async def test_the_systems_greeting_has_the_recorded_name_in_it(home: House) -> None:
    await record(home, "name", 1.5)
    call = await talk(home, TO_ANNA, LEAVES)
    assert call.heard[1:] == ["default_greeting_after", "tone"]
    assert call.lengths == {0: 1.5}


async def test_a_recording_can_be_set_aside_for_the_systems_words_or_none(home: House) -> None:
    await record(home, "standard", 4.0)
    await put(home, "standard", GreetingSwitch(enabled=True, source=Source.SYSTEM))
    assert (await talk(home, TO_ANNA, LEAVES)).heard == [*SYSTEM, "tone"]
    await put(home, "standard", GreetingSwitch(enabled=True, source=Source.NONE, record_prompt=True))
    assert (await talk(home, TO_ANNA, LEAVES)).heard == ["record_at_tone", "tone"]


async def test_keys_are_ignored_where_the_owner_wants_that(home: House) -> None:
    await put(home, "standard", GreetingSwitch(enabled=True, ignore_keys=True))
    call = home.call(Barges("*"), invite=TO_ANNA)
    call.on_sound = lambda sound: call.script.clear() if sound == "tone" else None
    await home.pilot().handle(call)
    assert call.heard == [*SYSTEM, "tone"]


async def test_a_silent_caller_hears_the_greeting_again_as_often_as_wanted(home: House) -> None:
    await put(home, "standard", GreetingSwitch(enabled=True, reprompts=1))
    assert (await talk(home, TO_ANNA, "", LEAVES)).heard == [*SYSTEM, *SYSTEM, "tone"]
    assert (await talk(home, TO_ANNA, "#", LEAVES)).heard == [*SYSTEM, "tone"]


async def test_between_repeated_greetings_that_take_no_keys_there_is_a_pause(home: House) -> None:
    await put(home, "standard", GreetingSwitch(enabled=True, reprompts=1, ignore_keys=True))
    assert (await talk(home, TO_ANNA, LEAVES)).heard == [*SYSTEM, *["silence_1s"] * 3, *SYSTEM, "tone"]


@pytest.mark.parametrize(
    ("after", "heard"),
    [
        (Action(go=Go.HANG_UP), []),
        (Action(go=Go.HANDLER, target="goodbye"), ["goodbye"]),
        (Action(go=Go.USER, target="1002"), ["default_greeting_before", "n_1", "n_0", "n_0", "n_2"]),
        (Action(go=Go.HANDLER, target="gone"), ["invalid_key", *NAMES]),
    ],
)
async def test_what_follows_the_greeting_is_the_owners_to_say(
    home: House, after: Action, heard: list[str]
) -> None:
    await put(home, "standard", GreetingSwitch(enabled=True, after=after))
    call = await talk(home, TO_ANNA, "")
    start = len(NAMES) + 1
    assert call.heard[start : start + len(heard)] == heard
    assert call.heard[start - 1] == "default_greeting_no_message"
    assert not await home.messages()


async def test_one_key_skips_one_signs_in_one_leads_to_the_operator_and_others_do_nothing(
    home: House,
) -> None:
    assert (await talk(home, TO_ANNA, Barges("#"), LEAVES)).heard == [NAMES[0], "tone"]
    signs_in = await talk(home, TO_ANNA, Barges("*"), "1001", PIN, "*")
    assert signs_in.heard[1:4] == ["welcome", "enter_id", "enter_pin"]
    operator = await talk(home, TO_ANNA, Barges("0"))
    assert operator.heard[1:] == ["nobody_here_now", "goodbye"]
    call = home.call(Barges("5"), invite=TO_ANNA)
    call.on_sound = lambda sound: call.script.clear() if sound == "tone" else None
    await home.pilot().handle(call)
    assert call.heard == [*SYSTEM, "tone"]


async def test_a_user_who_presses_star_on_the_own_phone_is_asked_for_the_pin_only(home: House) -> None:
    call = await talk(home, replace(TO_ANNA, caller="1002"), Barges("*"), PIN, "*")
    assert call.heard[1:3] == ["welcome", "enter_pin"]


@pytest.mark.parametrize(
    ("number", "dialled"), [("2345", "2345"), (" 23-45 ", "2345"), ("900", ""), ("+4930123456", ""), ("", "")]
)
async def test_a_key_puts_through_only_where_the_restrictions_let_it(
    home: House, number: str, dialled: str
) -> None:
    await put(home, OPTIONS, UserOptions(keys={"2": Action(go=Go.TRANSFER, target=number)}))
    call = await talk(home, TO_ANNA, Barges("2"), LEAVES)
    assert [each for _, each in call.transfers] == ([dialled] if dialled else [])
    if not dialled:
        assert call.heard[1:] == ["cannot_put_through", "invalid_key", *SYSTEM, "tone"]


async def test_a_wrong_key_is_told_by_the_owners_recording(home: House) -> None:
    await put(home, OPTIONS, UserOptions(keys={"2": Action(go=Go.ERROR_GREETING)}))
    call = await talk(home, TO_ANNA, Barges("2"), LEAVES)
    assert call.heard == [NAMES[0], "invalid_key", *SYSTEM, "tone"]
    await put(home, "error", ON)
    await record(home, "error", 1.5)
    call = await talk(home, TO_ANNA, Barges("2"), LEAVES)
    assert list(call.lengths.values()) == [1.5]
    assert call.heard[2:] == [*SYSTEM, "tone"]


async def test_wrong_keys_without_end_end_the_call(home: House) -> None:
    await put(home, OPTIONS, UserOptions(keys={"2": Action(go=Go.ERROR_GREETING)}))
    call = await talk(home, TO_ANNA, *[Barges("2")] * 50)
    assert len(call.script) == 40
    assert not await home.messages()


async def test_a_full_mailbox_says_so_before_the_tone(home: House) -> None:
    await home.leave()
    await home.desk().policies.put("default", ClassOfService(quota=Quota(no_receive=1000)))
    call = await talk(home, TO_ANNA)
    assert call.heard == [*NAMES, "default_greeting_no_message", "mailbox_full", "goodbye"]
    await home.desk().policies.put("default", ClassOfService(quota=Quota(no_receive=0)))
    assert (await talk(home, TO_ANNA, LEAVES)).heard == [*SYSTEM, "tone"]


async def test_on_a_full_disk_no_message_is_asked_for(home: House) -> None:
    home.delivery.rules = replace(home.delivery.rules, least_free=2**62)
    call = await talk(home, TO_ANNA)
    assert call.heard == [*NAMES, "default_greeting_no_message", "cannot_record_now", "goodbye"]


async def test_what_callers_may_do_is_the_owners_class_of_service(home: House) -> None:
    await home.desk().policies.put("default", ClassOfService(callers_may_mark_urgent=False))
    await home.desk().policies.put("boss", ClassOfService(longest_from_outside=20.0))
    call = await talk(home, TO_ANNA, Speaks(40.0, "limit"), "2", "#")
    assert "review_urgent" not in call.heard
    assert "invalid_key" in call.heard
    await put(home, OPTIONS, UserOptions(cos="boss"))
    await talk(home, TO_ANNA, Speaks(40.0, "limit"), "2", "#")
    found = sorted((each.seconds, each.urgent) for each in await home.messages())
    assert found == [(20.0, True), (40.0, False)]


async def test_after_a_message_the_owner_may_send_callers_on(home: House) -> None:
    await put(home, OPTIONS, UserOptions(after_message=Action(go=Go.HANDLER, target="opening-greeting")))
    call = await talk(home, TO_ANNA, 5.0, "#")
    assert call.heard[call.heard.index("message_sent") + 1] == "opening_welcome"
    assert len(await home.messages()) == 1


async def test_a_mailbox_answers_in_its_owners_language(home: House) -> None:
    await home.store.users.change(replace(ANNA, language="de"))
    assert (await talk(home, TO_ANNA, LEAVES)).language == "de"


async def test_only_who_is_certain_and_may_is_the_sender(home: House) -> None:
    spoofed, certain = replace(TO_ANNA, caller="1002"), replace(TO_ANNA, identified="1002")
    await home.desk().policies.put("plain", ClassOfService(identified_messages=False))
    cases = ((spoofed, "default", None), (certain, "default", BEN.id), (certain, "plain", None))
    for invite, cos, sender in cases:
        await home.desk().policies.put(OPTIONS, UserOptions(cos=cos), BEN.id)
        call = home.call(invite=invite)
        notes: list[SpoolEntry] = []
        call.on_sound = lambda sound, notes=notes: notes.extend(home.spool.left_behind())  # type: ignore[misc]
        await home.pilot().handle(call)
        assert {envelope_of(note.envelope).sender for note in notes} == {sender}


@pytest.mark.parametrize(
    ("ended", "supervised", "heard"),
    [
        (Transferred.DONE, False, []),
        (Transferred.BUSY, True, ["line_is_busy", *NAMES, "default_greeting_after_busy", "tone"]),
        (Transferred.NO_ANSWER, True, ["no_answer_there", *SYSTEM, "tone"]),
        (Transferred.REFUSED, False, ["cannot_put_through", *SYSTEM, "tone"]),
    ],
)
async def test_a_call_that_comes_through_a_handler_rings_the_user_first(
    home: House, ended: Transferred, supervised: bool, heard: list[str]
) -> None:
    await put(home, OPTIONS, UserOptions(transfer=Transfer(enabled=True, supervised=supervised)))
    call = home.call(Barges("1"), "001", LEAVES, invite=replace(TO_ANNA, redirections=()))
    call.transferred = ended
    await home.pilot().handle(call)
    assert call.transfers == [("connect" if supervised else "transfer", "1001")]
    assert call.heard[1:] == ["please_hold", *heard]
    direct = await talk(home, TO_ANNA, LEAVES)
    assert direct.transfers == []


async def test_while_the_store_is_away_what_was_known_of_the_mailbox_holds(home: House) -> None:
    pilot = home.pilot()
    await put(home, OPTIONS, UserOptions(keys={"7": Action(go=Go.SIGN_IN)}))
    await pilot.handle(home.call(LEAVES, invite=TO_ANNA))
    home.store.state.away = True
    call = home.call(Barges("7"), "1001", PIN, invite=TO_ANNA)
    await pilot.handle(call)
    assert call.heard[-2:] == ["not_available_now", "goodbye"]


async def test_hanging_up_anywhere_leaves_a_message_from_the_tone_on_and_never_before(home: House) -> None:
    await put(home, "standard", GreetingSwitch(enabled=True, reprompts=1, record_prompt=True))
    await put(home, OPTIONS, UserOptions(keys={"2": Action(go=Go.ERROR_GREETING)}))
    seen = 0

    async def run(call: ScriptedCall) -> None:
        nonlocal seen
        await home.pilot().handle(call)
        before, seen = seen, len(await home.messages(ANNA, Folder.NEW))
        assert seen - before == (1 if call.recorded else 0), f"left at {call.leaves_at}"
        assert home.left_in_spool() == 0

    moments = await at_every_moment(
        lambda at: home.call(Barges("2"), "", 5.0, "9", "", "#", invite=TO_ANNA, leaves_at=at), run
    )
    assert moments > 30


# ---- recordings by language, ends of errors, the pause before a greeting is repeated


async def test_a_greeting_is_heard_in_the_language_of_the_call(home: House) -> None:
    await home.store.users.change(replace(ANNA, language="de"))
    await record(home, "standard", 2.0)
    await record(home, in_language("standard", "de"), 3.0)
    assert list((await talk(home, TO_ANNA, LEAVES)).lengths.values()) == [2.0], "not told of: not looked for"
    await put(home, "standard", GreetingSwitch(enabled=True, languages=("de", "fr")))
    assert list((await talk(home, TO_ANNA, LEAVES)).lengths.values()) == [3.0]
    await home.store.users.change(replace(ANNA, language="en"))
    assert list((await talk(home, TO_ANNA, LEAVES)).lengths.values()) == [2.0]


async def test_a_recording_in_a_language_that_was_taken_away_leaves_the_plain_one(home: House) -> None:
    await record(home, "standard", 2.0)
    await put(home, "standard", GreetingSwitch(enabled=True, languages=("en",)))
    assert list((await talk(home, TO_ANNA, LEAVES)).lengths.values()) == [2.0]


@pytest.mark.parametrize(("until", "length"), [(None, 3.0), (START + timedelta(days=1), 3.0), (START, None)])
async def test_an_error_greeting_ends_as_any_other(
    home: House, until: datetime | None, length: float | None
) -> None:
    await record(home, "error", 3.0)
    await put(home, "error", GreetingSwitch(enabled=True, until=until))
    await put(home, OPTIONS, UserOptions(keys={"2": Action(go=Go.ERROR_GREETING)}))
    call = await talk(home, TO_ANNA, Barges("2"), LEAVES)
    assert list(call.lengths.values()) == ([length] if length else [])
    assert ("invalid_key" in call.heard) is (length is None)


async def test_a_silent_caller_waits_as_long_as_the_greeting_says_before_it_is_repeated(home: House) -> None:
    await put(home, "standard", GreetingSwitch(enabled=True, reprompts=1, reprompt_seconds=8.0))
    began = home.clock.now()
    call = await talk(home, TO_ANNA, "", LEAVES)
    greeting = 2.0 * len(SYSTEM)
    assert (home.clock.now() - began).total_seconds() == greeting + 8.0 + 1.0 + 5.0 + (call.recorded - 1)


async def test_who_takes_no_messages_says_so_and_records_nothing(home: House) -> None:
    await put(home, OPTIONS, UserOptions(rejects=(Sort.VOICE,)))
    call = await talk(home, TO_ANNA)
    assert call.heard == [*NAMES, "default_greeting_no_message", "goodbye"] and not call.recorded
