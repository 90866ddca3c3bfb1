"""Calls that are put through by rules: which rule, what is asked of the caller, and of whoever answers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sip import wav
from sip.call import Sound, Transferred
from sip.invite import Invite
from tests.fakes.call import FILE, START, Barges, ScriptedCall, Speaks, Step, at_every_moment, voice
from tests.fakes.desk import ANNA, BEN, PILOT, House, house
from voicemail.policy.book import OPTIONS
from voicemail.policy.model import CallHandler, Schedule, UserOptions
from voicemail.policy.transfers import OtherTransfer, Transfer

STRANGER = Invite("c", PILOT, "+4930555")
TO_ANNA: tuple[Step, ...] = (Barges("1"), "001")
HER_NUMBER = ("n_1", "n_0", "n_0", "n_1")
HIS_NUMBER = ("plus", "n_4", "n_9", "n_3", "n_0", "n_5", "n_5", "n_5")
NAME = ("caller_name_at_tone", "tone")
NEVER = "never"
"""A schedule."""


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        await opened.desk().policies.put(NEVER, Schedule())
        yield opened


async def options(home: House, **fields: object) -> None:
    made = UserOptions.model_validate({"enrolled": True, **fields})
    await home.desk().policies.put(OPTIONS, made, ANNA.id)


async def screens(home: House, *what: str, **more: object) -> None:
    rule = {"enabled": True, "supervised": True, **dict.fromkeys(what, True), **more}
    await options(home, transfer=rule)


def calling(home: House, *script: Step, answers: tuple[Step, ...] = ("1",), **more: object) -> ScriptedCall:
    call = home.call(*TO_ANNA, *script, invite=STRANGER)
    call.answers = list(answers)
    return replace(call, **more)  # type: ignore[arg-type]


async def talk(home: House, *script: Step, **more: object) -> ScriptedCall:
    call = calling(home, *script, **more)  # type: ignore[arg-type]
    await home.pilot().handle(call)
    assert call.ended
    return call


async def through_the_shop(home: House, **more: str) -> Invite:
    """A colleague, who would sign in at the pilot number."""
    await home.desk().policies.put("shop", CallHandler(extension="5100"))
    return replace(STRANGER, dialled="5100", **more)


def heard(call: ScriptedCall | None) -> list[Sound]:
    return [FILE if isinstance(each, Path) else each for each in call.heard] if call else []


@pytest.mark.parametrize(
    ("alternate", "closed", "schedule", "called"),
    [
        ({}, {}, NEVER, ["1001"]),
        ({}, {"active": True, "number": "1002"}, NEVER, ["1002"]),
        ({}, {"active": True, "number": "1002"}, "always", ["1001"]),
        ({}, {"active": True, "enabled": False}, NEVER, []),
        ({"active": True, "number": "1003"}, {"active": True, "number": "1002"}, NEVER, ["1003"]),
        ({"active": True, "number": "1003", "until": START}, {}, "always", ["1001"]),
        ({"active": True, "until": START + timedelta(days=1), "enabled": False}, {}, "always", []),
        ({"active": True, "number": "900"}, {}, "always", []),
    ],
)
async def test_the_rule_that_holds_now_puts_the_call_through(
    home: House, alternate: dict[str, object], closed: dict[str, object], schedule: str, called: list[str]
) -> None:
    await options(
        home,
        transfer={"enabled": True},
        schedule=schedule,
        alternate_transfer=alternate,
        closed_transfer=closed,
    )
    call = await talk(home, Speaks(5.0, "hang-up"))
    assert [number for _, number in call.transfers] == called
    assert ("default_greeting_after" in call.heard) == (not called)


async def test_a_handler_is_closed_by_its_own_schedule(home: House) -> None:
    closed = OtherTransfer(active=True, number="1002")
    for schedule, called in ((NEVER, "1002"), ("always", "200")):
        shop = CallHandler(
            extension="5100",
            schedule=schedule,
            transfer=Transfer(enabled=True, number="200"),
            closed_transfer=closed,
        )
        await home.desk().policies.put("shop", shop)
        call = home.call(invite=replace(STRANGER, dialled="5100"))
        await home.pilot().handle(call)
        assert call.transfers == [("transfer", called)]


@pytest.mark.parametrize(
    ("what", "other"),
    [
        (("announce",), ["call_for", *HER_NUMBER]),
        (("confirm",), ["screen_menu"]),
        (("announce", "confirm"), ["call_for", *HER_NUMBER, "screen_menu"]),
        (("ask_name",), ["call_from", FILE]),
        (
            ("announce", "ask_name", "confirm"),
            ["call_for", *HER_NUMBER, "call_from", FILE, "screen_menu"],
        ),
    ],
)
async def test_who_answers_hears_what_the_rule_says_and_is_then_joined(
    home: House, what: tuple[str, ...], other: list[str]
) -> None:
    await screens(home, *what)
    call = await talk(home, *([1.0] if "ask_name" in what else []))
    assert call.gone and call.transfers == [("connect", "1001")]
    assert call.heard[1:] == [*(NAME if "ask_name" in what else ()), "please_hold"]
    assert heard(call.other) == other
    if "ask_name" in what:
        assert call.other and max(call.other.lengths.values()) == pytest.approx(1.0)
    assert not list((home.folder / "sounds").glob("*.wav")), "nothing of a name is kept"


@pytest.mark.parametrize(
    ("answers", "other"),
    [
        (("2",), ["screen_menu"]),
        ((), ["screen_menu"]),
        (("7", "2"), ["screen_menu", "invalid_key", "screen_menu"]),
        (("", "", ""), ["screen_menu", *["still_there", "screen_menu"] * 2]),
    ],
)
async def test_who_is_not_wanted_hears_the_greeting(
    home: House, answers: tuple[Step, ...], other: list[str]
) -> None:
    await screens(home, "confirm")
    call = await talk(home, Speaks(5.0, "hang-up"), answers=answers)
    assert heard(call.other) == other
    assert call.heard[1:4] == ["please_hold", "no_answer_there", "default_greeting_before"]
    assert len(await home.messages()) == 1


@pytest.mark.parametrize("answers", [("0", "1"), ("9", "1"), ("", "1")])
async def test_a_wrong_key_or_a_pause_does_not_refuse(home: House, answers: tuple[Step, ...]) -> None:
    await screens(home, "confirm")
    assert (await talk(home, answers=answers)).gone


async def test_whoever_hangs_up_when_asked_refuses(home: House) -> None:
    """At each moment of whoever answers: the caller is never joined with nobody."""
    await screens(home, "announce", "confirm")

    class Leaves(ScriptedCall):
        moment = 0

        def somebody(self) -> ScriptedCall:
            return replace(super().somebody(), leaves_at=self.moment)

    for moment in range(1, 8):
        whole = calling(home, Speaks(5.0, "hang-up"))
        call = Leaves(whole.script, whole.invite, clock=home.clock, answers=["1"])
        call.moment = moment
        await home.pilot().handle(call)
        assert "no_answer_there" in call.heard and call.other and call.other.gone
    assert len(await home.messages()) == 7


async def test_a_caller_may_hang_up_anywhere(home: House) -> None:
    await screens(home, "announce", "ask_name", "confirm")

    async def check(call: ScriptedCall) -> None:
        await home.pilot().handle(call)
        assert call.ended and not list((home.folder / "sounds").glob("*.wav"))
        assert not await home.messages() and not home.left_in_spool()

    await at_every_moment(lambda at: calling(home, 1.0, leaves_at=at), check)


@pytest.mark.parametrize(
    ("caller", "said"), [("+4930555", ["call_from", *HIS_NUMBER]), ("", ["from_outside_caller"])]
)
async def test_who_says_no_name_is_told_by_the_number(home: House, caller: str, said: list[str]) -> None:
    await screens(home, "ask_name")
    call = calling(home, Speaks(0.0, "silence"))
    call.invite = replace(STRANGER, caller=caller)
    await home.pilot().handle(call)
    assert call.heard[1:] == [*NAME, "please_hold"] and heard(call.other) == said


async def test_names_that_are_recorded_are_spoken_and_not_asked_for(home: House) -> None:
    await screens(home, "announce", "ask_name")
    for user in (ANNA, BEN):
        await home.store.users.set_greeting(user.id, wav.file_ulaw(voice(1) * wav.RATE), "name")
    call = calling(home)
    call.invite = await through_the_shop(home, caller="1002", identified="1002")
    await home.pilot().handle(call)
    assert call.heard[1:] == ["please_hold"]
    assert heard(call.other) == ["call_for", FILE, "call_from", FILE]


async def test_whose_number_only_looks_like_a_users_says_a_name(home: House) -> None:
    await screens(home, "ask_name")
    await home.store.users.set_greeting(BEN.id, wav.file_ulaw(voice(1) * wav.RATE), "name")
    call = calling(home, 1.0)
    call.invite = await through_the_shop(home, caller="1002")
    await home.pilot().handle(call)
    assert call.heard[1:] == [*NAME, "please_hold"]


async def test_who_answers_is_spoken_to_in_the_owners_language(home: House) -> None:
    await home.store.users.change(replace(ANNA, language="de"))
    await screens(home, "confirm")
    call = await talk(home)
    assert call.other and (call.other.language, call.other.heard) == ("de", ["screen_menu"])


@pytest.mark.parametrize("more", [{"supervised": False}, {"number": "900"}])
async def test_nobody_is_asked_for_a_name_in_vain(home: House, more: dict[str, object]) -> None:
    """By REFER the caller is out of our hands; and a number that may not be dialled is not."""
    await screens(home, "announce", "ask_name", "confirm", **more)
    call = await talk(home, Speaks(5.0, "hang-up"))
    assert call.other is None and NAME[0] not in call.heard


async def test_a_full_disk_asks_for_no_name(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> Path:
        raise OSError("no space left on device")

    await screens(home, "ask_name")
    monkeypatch.setattr("voicemail.conversation.desk.Sounds.file", full)
    assert heard((await talk(home)).other) == ["call_from", *HIS_NUMBER]


async def test_a_name_is_asked_for_once_by_who_waits(home: House) -> None:
    await screens(home, "ask_name", on_busy="hold")
    call = await talk(
        home, 1.0, Barges("1", "holding_menu"), Barges("2", "still_holding"), 5.0, "#",
        transferred=Transferred.BUSY,
    )  # fmt: skip
    assert call.heard.count(NAME[0]) == 1 and call.heard.count("line_is_busy") == 1
