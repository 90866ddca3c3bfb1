"""Setup by telephone: every menu with the right keys, a wrong one, silence, and a hang-up at each moment."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sip import wav
from sip.call import HungUp
from store.model import User
from tests.fakes.call import START, ScriptedCall, Step, at_every_moment, voice
from tests.fakes.desk import ANNA, PIN, House, house
from voicemail import pins
from voicemail.conversation import setup
from voicemail.conversation.desk import Desk
from voicemail.conversation.enrolment import enrol
from voicemail.policy.devices import Device, DeviceKind
from voicemail.policy.model import (
    MenuStyle,
    PinRules,
    PrivateList,
    Restriction,
    RestrictionTable,
    UserOptions,
)
from voicemail.policy.transfers import OnBusy, OtherTransfer, Transfer

GOOD = "274916"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def cheap_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `pins.hashed`, for nothing: what is tested here is the conversation."""
    from tests.fakes.desk import CHEAP

    monkeypatch.setattr(pins, "hashed", CHEAP.hash)


async def run(home: House, *script: Step, leaves_at: int = 0) -> ScriptedCall:
    call = home.call(*script, leaves_at=leaves_at)
    with suppress(HungUp):
        await setup.setup(home.desk(), call, ANNA)
    return call


async def options(home: House) -> UserOptions:
    return await home.desk().policies.options(ANNA.id)


async def recording(home: House, kind: str) -> bytes:
    """What a recorded greeting is made of: b"" for none."""
    audio = await home.store.users.greeting(ANNA.id, kind)
    return wav.parse(audio).data[:1] if audio else b""


EVERY_MENU = [
    *((), ("1",), ("1", "1"), ("1", "2"), ("2",), ("2", "1"), ("2", "1", "1")),
    *(("2", "4"), ("3",), ("3", "3"), ("4",)),
]


@pytest.mark.parametrize("way", EVERY_MENU)
async def test_a_wrong_key_and_silence_are_answered_in_every_menu(home: House, way: tuple[str, ...]) -> None:
    wrong = await run(home, *way, "9", "*", "*", "*", "*")
    assert "invalid_key" in wrong.heard
    silent = await run(home, *way, *[""] * 12)
    assert silent.heard.count("still_there") >= 2


@pytest.mark.parametrize("how", [("*",), ("", "", ""), ()])
async def test_what_is_not_kept_is_forgotten(home: House, how: tuple[str, ...]) -> None:
    await run(home, "3", "2", 3.0, *how)
    assert await recording(home, "name") == b""


async def test_a_name_is_recorded_after_some_that_were_too_short(home: House) -> None:
    call = await run(home, "3", "2", 0.1, 0.2, 3.0, "1", "#", "*", "*")
    assert await recording(home, "name") == voice(3)
    assert call.heard.count("too_short") == 2 and "name_kept" in call.heard


async def test_the_directory_listing(home: House) -> None:
    call = await run(home, "3", "3", "2", "*", "*")
    assert not (await options(home)).listed
    assert "you_are_not_listed" in call.heard


@pytest.mark.parametrize(
    ("pressed", "word"),
    [
        ("2749", "pin_too_short"),
        ("111222", "pin_too_simple"),
        ("100199", "pin_too_simple"),
        (PIN, "pin_used_before"),
    ],
)
async def test_a_bad_pin_is_refused_with_its_reason(home: House, pressed: str, word: str) -> None:
    call = await run(home, "3", "1", pressed, "*", "*", "*")
    assert word in call.heard
    assert (await home.store.users.get(ANNA.id)) == ANNA


@pytest.mark.parametrize("pressed", ["839203", "839205"])
async def test_a_pin_next_to_the_present_one_is_too_simple(home: House, pressed: str) -> None:
    assert PIN == "839204"
    assert "pin_too_simple" in (await run(home, "3", "1", pressed, "*", "*", "*")).heard


async def test_a_pin_is_entered_twice_and_the_old_one_remembered(home: House) -> None:
    call = await run(home, "3", "1", GOOD, "274917", GOOD, GOOD, "*", "*")
    assert "pins_differ" in call.heard and "pin_kept" in call.heard
    anna = await home.store.users.get(ANNA.id)
    assert anna and pins.is_right(anna.pin_hash, GOOD)
    assert (await options(home)).old_pins == (ANNA.pin_hash,)
    again = await run(home, "3", "1", "*", "*")
    assert "pin_changed_lately" in again.heard


async def test_no_pin_is_ever_spoken_or_half_kept(home: House) -> None:
    async def check(call: ScriptedCall) -> None:
        await home.store.users.change(ANNA)
        await home.desk().policies.set_options(ANNA.id, UserOptions())
        with suppress(HungUp):
            await setup.setup(home.desk(), call, ANNA)
        anna = await home.store.users.get(ANNA.id)
        assert anna and (anna.pin_hash == ANNA.pin_hash) == (not (await options(home)).old_pins)
        assert "pin_kept" not in call.heard or anna.pin_hash != ANNA.pin_hash

    await at_every_moment(lambda at: home.call("3", "1", GOOD, GOOD, "*", "*", leaves_at=at), check)


async def test_calls_are_put_through_to_an_allowed_number_only(home: House) -> None:
    call = await run(home, "4", "1", "2", "9011498912345", "2", "1002", "3", "*", "*", "*")
    assert "number_not_allowed" in call.heard
    kept = (await options(home)).transfer
    assert (kept.enabled, kept.number, kept.supervised) == (True, "1002", True)
    assert "transfer_is_supervised" in call.heard
    await run(home, "4", "1", "1", "*", "*", "*")
    assert not (await options(home)).transfer.enabled


async def test_another_transfer_rule_has_an_end_and_may_lead_to_the_greeting(home: House) -> None:
    call = await run(home, "4", "2", "6", "9999", "6", "0310", "2", "1002", "7", "*", "*", "*")
    assert "no_such_day" in call.heard and "calls_go_to_greeting" in call.heard
    kept = (await options(home)).alternate_transfer
    end = datetime(2026, 3, 11, tzinfo=START.tzinfo)
    assert (kept.active, kept.until, kept.number, kept.enabled) == (True, end, "1002", False)
    assert (await options(home)).transfer == Transfer(), "the standard rule is as it was"
    await run(home, "4", "2", "1", "*", "*", "*")
    assert not (await options(home)).alternate_transfer.active
    await run(home, "4", "3", "1", "*", "*", "*")
    assert (await options(home)).closed_transfer == OtherTransfer(active=True)


async def test_a_rule_whose_end_has_come_is_told_to_be_off_and_turned_on_without_one(home: House) -> None:
    past = OtherTransfer(active=True, until=START - timedelta(days=1), number="1002")
    await home.desk().policies.set_options(ANNA.id, UserOptions(alternate_transfer=past))
    call = await run(home, "4", "2", "1", "*", "*", "*")
    at = call.heard.index("alternate_transfer")
    assert call.heard[at + 1] == "is_off"
    kept = (await options(home)).alternate_transfer
    assert (kept.active, kept.until, kept.number) == (True, None, "1002")


async def test_screening_and_waiting_need_a_supervised_transfer(home: House) -> None:
    call = await run(home, "4", "1", "4", "1", "2", "3", "2", "*", "5", "5", "*", "*", "*")
    kept = (await options(home)).transfer
    assert (kept.announce, kept.ask_name, kept.confirm) == (True, False, True)
    assert (kept.supervised, kept.enabled, kept.on_busy) == (True, False, OnBusy.HOLD)
    assert {"when_busy_ask", "when_busy_hold", "screen_name", "screen_confirm"} <= {*call.heard}
    await run(home, "4", "1", "5", "4", "3", "*", "*", "*", "*")
    kept = (await options(home)).transfer
    assert (kept.on_busy, kept.confirm) == (OnBusy.GREETING, False)


@pytest.mark.parametrize("pressed", ["*", "900"])
async def test_a_number_that_is_not_taken_changes_nothing(home: House, pressed: str) -> None:
    await run(home, "4", "2", "2", pressed, "6", "*", "*", "*", "*")
    assert await options(home) == UserOptions(enrolled=True)


async def test_a_phone_is_told_only_where_dialling_out_is_allowed(home: House) -> None:
    refused = await run(home, "2", "1", "1", "1", "2", "0891234", "*", "*", "*", "*")
    assert {"device_needs_number", "number_not_allowed"} <= {*refused.heard}
    table = RestrictionTable(rows=(Restriction(pattern="089*", allow=True),))
    await home.desk().policies.put("default_dial_out", table)
    await run(home, "2", "1", "1", "2", "0891234", "*", "*", "*", "*")
    devices = await home.desk().policies.of(Device, ANNA.id)
    assert devices["phone"] == Device(kind=DeviceKind.PHONE, enabled=True, address="0891234")


async def test_menus_become_brief_and_the_language_another(home: House) -> None:
    call = home.call("2", "2", "4", "2", "*", "*")
    desk: Desk = await setup.setup(home.desk(), call, ANNA)
    assert desk.style is MenuStyle.BRIEF is (await options(home)).menu_style
    anna = await home.store.users.get(ANNA.id)
    assert (anna and anna.language, call.language) == ("de", "de")
    assert "setup_brief" in call.heard[-2:]


async def test_a_private_list_is_made_heard_changed_and_deleted(home: House) -> None:
    call = await run(
        home, "2", "3", "7", "2", "1002", "2", "1002", "2", "4711", "4", 2.0, "#", "1", "3", "1002", "1", "*"
    )
    assert {"member_added", "member_is_there", "nobody_has_this_extension"} <= {*call.heard}
    assert {"name_kept", "member_removed", "list_is_empty"} <= {*call.heard}
    assert await home.desk().policies.of(PrivateList, ANNA.id) == {"7": PrivateList()}
    assert await recording(home, "list 7") == voice(1)
    gone = await run(home, "2", "3", "07", "5", "*", "*")
    assert "list_deleted" in gone.heard
    assert not await home.desk().policies.of(PrivateList, ANNA.id)
    none = await run(home, "2", "3", "99", "*", "*")
    assert "no_such_list" in none.heard


async def enrolled(home: House, *script: Step, leaves_at: int = 0) -> tuple[ScriptedCall, UserOptions]:
    call = home.call(*script, leaves_at=leaves_at)
    with suppress(HungUp):
        await enrol(home.desk(), call, ANNA, await options(home))
    return call, await options(home)


STEPS: tuple[Step, ...] = (2.0, "#", "1", 4.0, "#", GOOD, GOOD, "2")


async def test_the_first_time(home: House) -> None:
    await _afresh(home)
    call, kept = await enrolled(home, *STEPS)
    assert (await recording(home, "name"), await recording(home, "standard")) == (voice(1), voice(2))
    assert kept.enrolled and not kept.listed and kept.pin_changed
    assert call.heard[-1] == "enrol_done"


async def test_who_is_cut_off_goes_on_with_the_next_step(home: House) -> None:
    await _afresh(home)
    await enrolled(home, 2.0, "#")
    call, kept = await enrolled(home, "#", GOOD, GOOD, "*")
    assert kept.enrolled and kept.listed
    assert "record_name_at_tone" not in call.heard
    assert await recording(home, "name") == voice(1) and not await recording(home, "standard")


async def test_nobody_is_enrolled_without_a_pin_of_his_own(home: House) -> None:
    await _afresh(home)
    _, kept = await enrolled(home, 2.0, "#", "#", "*")
    assert not kept.enrolled
    await home.desk().policies.set_options(ANNA.id, UserOptions(enrolled=True, must_change_pin=True))
    call, kept = await enrolled(home, "111111", GOOD, GOOD)
    assert call.heard[0] == "pin_must_be_changed" and "enrol_welcome" not in call.heard
    assert not kept.must_change_pin


async def test_enrolment_is_done_when_it_says_so_and_not_before(home: House) -> None:
    async def check(call: ScriptedCall) -> None:
        await _afresh(home)
        with suppress(HungUp):
            await enrol(home.desk(), call, ANNA, await options(home))
        kept = await options(home)
        assert kept.enrolled or "enrol_done" not in call.heard
        assert not kept.enrolled or kept.pin_changed

    assert await at_every_moment(lambda at: home.call(*STEPS, leaves_at=at), check) > 12


async def _afresh(home: House, user: User = ANNA) -> None:
    await home.store.users.change(user)
    await home.desk().policies.set_options(user.id, UserOptions())
    for kind in ("name", "standard"):
        await home.store.users.set_greeting(user.id, None, kind)


WHOLE: tuple[Step, ...] = (
    *("1", "1", "1", "2", 3.0, "#", "*", "2", "3", "4", "1224", "5", "*", "*"),
    *(
        "2",
        "1",
        "1",
        "1",
        "*",
        "*",
        "2",
        "3",
        "4",
        "2",
        "1002",
        "4",
        2.0,
        "#",
        "3",
        "1002",
        "5",
        "4",
        "1",
        "*",
    ),
    *("3", "2", 2.0, "#", "3", "1", "*", "4", "1", "1", "2", "1002", "3", "*", "*", "*"),
)


async def test_hanging_up_anywhere_leaves_what_was_confirmed_and_nothing_broken(home: House) -> None:
    async def check(call: ScriptedCall) -> None:
        await _afresh(home)
        with suppress(HungUp):
            await setup.setup(home.desk(), call, ANNA)
        assert "greeting_kept" not in call.heard or await recording(home, "standard")
        assert "transfer_is_supervised" not in call.heard or (await options(home)).transfer.supervised

    assert await at_every_moment(lambda at: home.call(*WHOLE, leaves_at=at), check) > 70


async def test_a_pin_too_much_like_the_present_one_is_refused_where_the_rules_say_so(home: House) -> None:
    await home.desk().policies.put("default", PinRules(least_changed=2))
    assert "pin_too_similar" in (await run(home, "3", "1", PIN[:-1] + "9", "", "*", "*")).heard
    assert "pin_kept" in (await run(home, "3", "1", GOOD, GOOD, "*", "*")).heard


async def test_without_a_history_the_present_pin_is_still_not_a_new_one(home: House) -> None:
    await home.desk().policies.put("default", PinRules(history=0))
    assert "pin_too_similar" in (await run(home, "3", "1", PIN, "", "*", "*")).heard
