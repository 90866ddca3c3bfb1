"""Every menu there is, in its place in a real call: the right key, a wrong one, silence, and a hang-up at
every prompt on the way.

A story is what one caller does from the first ring to the end. It is told once as it is (the right keys);
then, for each menu in it, with one wrong key first, and with one silence first: both must be told, and the
story must go on as if nothing had been; then with each question for digits left unanswered, and answered
wrongly; then with a hang-up at each of its moments. `test_no_menu_is_left_out` finds all tables of menus in
the package, and all questions in the list of prompts, so that a new one without a story fails.
"""

import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import structlog

from sip import wav
from sip.call import Sound, Transferred
from sip.invite import Invite, Reason, Redirection
from store.ids import uuid7
from store.model import Envelope, Mark, MessageKind, NewMessage, Setting, setting_id
from tests.fakes.call import START, Barges, ScriptedCall, Speaks, Step
from tests.fakes.desk import ANNA, BEN, CHEAP, PILOT, PIN, House, house
from voicemail import conversation, pins, words
from voicemail.conversation.dispatch import DURING_DISPATCH
from voicemail.conversation.hear_messages import DURING
from voicemail.conversation.menu import HELP, Mapped, Menu
from voicemail.policy.book import OPTIONS
from voicemail.policy.interview import Interview, question_kind
from voicemail.policy.model import (
    Action,
    CallHandler,
    ClassOfService,
    Go,
    MenuStyle,
    RoutingRule,
    Table,
    UserOptions,
)
from voicemail.policy.transfers import OnBusy, Transfer
from voicemail.prompts import SHIPPED, catalogue

OWN, STRANGER = Invite("c", PILOT, "1001"), Invite("c", PILOT, "+4930555")
FORWARDED = Invite("c", PILOT, "+4930555", redirections=(Redirection("1001", Reason.NO_REPLY),))
BERG, SON = replace(ANNA, name="Anna Berg", mail="anna@example.com"), replace(BEN, name="Ben Berg")
GOOD = "274916"
NOT_ASKED = {id(DURING), id(DURING_DISPATCH)}
"""They listen while something plays: test_marks.py, test_user_side.py, test_hear_messages.py,
test_dispatch.py."""
MADE_ON_THE_WAY = {"review_cancel", "language_de", "device_mail", "directory_press", "directory_search_again"}
"""Said by menus that no table has: leave_message.py, setup/messages.py, setup/devices.py, address.py,
directory.py."""
PATIENCE = 80
"""Verbs within which a call of somebody who says nothing more has ended."""


@pytest.fixture(autouse=True)
def cheap_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `pins.hashed`, for nothing."""
    monkeypatch.setattr(pins, "hashed", CHEAP.hash)


@dataclass
class Told(ScriptedCall):
    """Follows its script, but for what happens at question number `turn` (from 1)."""

    turn: int = 0
    instead: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """("menu" or "digits", the last thing said before waiting)."""
    noticed: list[Sound] = field(default_factory=list)
    """What was said first after something else was done."""
    all_act: bool = False
    """Whether every key means something there: there is no wrong one."""
    silent: bool = False
    verbs: int = 0

    def _next(self) -> Step:
        self.verbs += 1
        assert self.verbs < PATIENCE, f"the call does not end: {self.heard[-9:]}"
        return "" if self.silent else super()._next()

    def _question(self, kind: str, sounds: tuple[Sound, ...]) -> bool:
        self.asked.append((kind, str(sounds[-1])))
        return len(self.asked) == self.turn

    async def ask(self, *sounds: Sound, keys: str, wait: float = 5.0) -> str:
        menu = bool(sounds) and keys[-1] == HELP and sounds[-1] not in ("paused", "message_damaged")
        asked = menu and self._question("menu", sounds)
        self.all_act |= asked and self.instead == "wrong" and set(keys) >= set("0123456789*#")
        if not asked or self.all_act:
            return await super().ask(*sounds, keys=keys, wait=wait)
        await self.play(*sounds)
        self.on_sound = self.noticed.append
        if self.instead == "wrong":
            return "?"
        return ""

    def somebody(self) -> ScriptedCall:
        """Whose questions are questions of this call, too."""
        other = Told(
            list(self.answers), clock=self.clock, answered=True, turn=self.turn, instead=self.instead
        )
        other.asked, other.noticed = self.asked, self.noticed
        return other

    async def digits(self, *sounds: Sound, most: int, wait: float = 5.0, secret: bool = False) -> str:
        if not (sounds and self._question("digits", sounds)):
            return await super().digits(*sounds, most=most, wait=wait, secret=secret)
        await self.play(*sounds)
        self.on_sound = self.noticed.append
        self.silent, self.script = True, []
        return "" if self.instead == "silence" else "0" * most

    async def record(self, path: Path, limits: Any) -> Any:
        if self.silent:
            self.script = [Speaks(0.0, "silence")]
            self.silent = False
            done = await super().record(path, limits)
            self.silent = True
            return done
        return await super().record(path, limits)


Before = Callable[[House], Awaitable[object]]


@dataclass(frozen=True)
class Story:
    """What somebody does; `before` makes the house as it needs it."""

    script: tuple[Step, ...]
    before: Before | None = None
    invite: Invite = OWN
    transferred: Transferred = Transferred.DONE
    answers: tuple[Step, ...] = ("1",)
    """What those do who are called."""


async def options(home: House, **changes: object) -> None:
    present = await home.desk().policies.options(ANNA.id)
    changed = present.model_copy(update=changes).model_dump_json()
    await home.store.settings.put(Setting(UserOptions.KIND, OPTIONS, changed, ANNA.id))


async def from_ben(home: House) -> None:
    await home.leave(envelope=Envelope(sender=BEN.id))


async def deleted(home: House) -> None:
    await home.store.messages.mark((await home.leave()).id, Mark.DELETE)


async def dispatched(home: House) -> None:
    new = NewMessage(uuid7(), ANNA.id, "+4930555", "", START, 4.0)
    new = replace(new, envelope=Envelope(dispatch=new.id))
    await home.store.messages.send(new, [ANNA.id, BEN.id], wav.file_ulaw(b"\x55" * 4 * wav.RATE))


async def waiting(home: House) -> None:
    due = START + timedelta(days=1)
    await home.leave(BEN, envelope=Envelope(sender=ANNA.id, recipients=("1002",), deliver_at=due))


async def may_broadcast(home: House) -> None:
    await home.desk().policies.put("default", ClassOfService(may_broadcast=True))


async def rings_first(home: House, **more: object) -> None:
    await options(home, transfer=Transfer.model_validate({"enabled": True, "supervised": True, **more}))


async def lets_wait(home: House) -> None:
    await rings_first(home, on_busy=OnBusy.ASK)


async def holds(home: House) -> None:
    await rings_first(home, on_busy=OnBusy.HOLD)


async def screens(home: House) -> None:
    await rings_first(home, announce=True, ask_name=True, confirm=True)


async def asks(home: House) -> None:
    for number in (1, 2):
        question = wav.file_ulaw(b"\x20" * wav.RATE)
        await home.store.users.set_greeting(
            setting_id(Interview.KIND, "claims"), question, question_kind(number)
        )
    interview = Interview(extension="4600", questions=(30.0, 30.0), messages_to=("1001",))
    await home.store.settings.put(Setting(Interview.KIND, "claims", interview.model_dump_json()))


async def two_types(home: House) -> None:
    await options(home, type_menu=True)
    await home.leave()
    await home.leave(envelope=Envelope(MessageKind.READ_RECEIPT, sender=BEN.id))


async def leads_to(home: House, go: Go) -> None:
    """Whatever is called."""
    rule = RoutingRule(table=Table.DIRECT, order=1, action=Action(go=go))
    await home.desk().policies.put("first", rule)


async def calls_on(home: House) -> None:
    await leads_to(home, Go.SYSTEM_TRANSFER)


async def owns_a_handler(home: House) -> None:
    await leads_to(home, Go.GREETINGS_ADMINISTRATION)
    await home.desk().policies.put("sales", CallHandler(extension="5100", owners=("1001",)))


STORIES: dict[str, Story] = {
    "signing in elsewhere": Story((Barges("*"), "1001", PIN, "*"), invite=STRANGER),
    "hearing a message": Story((PIN, "1", "9", "2", "*"), House.leave),
    "a dispatch message": Story((PIN, "1", "9", "2", "*"), dispatched),
    "deleted messages": Story((PIN, "3", "2", "9", "2", "*"), deleted),
    "finding": Story((PIN, "5", "4930555", "#", "*"), House.leave),
    "replying": Story((PIN, "1", "4", "", 5.0, "#", "#", "*"), from_ben),
    "forwarding": Story((PIN, "1", "5", "1", "002", "#", "1", 5.0, "#", "#", "*"), House.leave),
    "sending": Story(
        (PIN, "2", "1", "002", "3", "#", "1", "#", "#", "2", "374", "2", "2", "#", 5.0)
        + ("1", "4", "0310", "1530", "5", "*", "9", "1", "#", "#", "*")
    ),
    "what waits": Story((PIN, "2", "2", "1", "3", "*"), waiting),
    "a broadcast": Story((PIN, "2", "3", 5.0, "3", "0310", "4", "0312", "1", "#", "*"), may_broadcast),
    "greetings": Story(
        (PIN, "4", "1", "2", "2", 4.0, "1", "#", "4", "0310", "*", "1", "1", "*", "*", "*", "*")
    ),
    "what is said of wrong keys": Story(
        (PIN, "4", "1", "7", "1", "2", 4.0, "1", "#", "1", "5", "*", "*", "*", "*")
    ),
    "devices": Story((PIN, "4", "2", "1", "1", "1", "*", "2", "2", "030555", "*", "*", "*", "*", "*")),
    "menu style and language": Story((PIN, "4", "2", "2", "2", "4", "1", "*", "*", "*")),
    "private lists": Story(
        (PIN, "4", "2", "3", "1", "2", "1002", "1", "4", 2.0, "#", "3", "1002", "*", "*", "*", "*")
    ),
    "personal": Story((PIN, "4", "3", "1", GOOD, GOOD, "2", 2.0, "#", "3", "1", "*", "*", "*")),
    "own numbers": Story((PIN, "4", "3", "4", "1", "030555777", "2", "1", "*", "*", "*", "*")),
    "transfer": Story((PIN, "4", "4", "1", "1", "2", "1002", "3", "4", "3", "*", "5", "*", "*", "*", "*")),
    "another transfer": Story(
        (PIN, "4", "4", "2", "1", "2", "1002", "6", "0310", "7", "4", "1", "*", "*", "3", "5", "*", "*")
        + ("*", "*")
    ),
    "the first time": Story(
        (PIN, 2.0, "#", "1", 3.0, "#", GOOD, GOOD, "1", "*"), lambda home: options(home, enrolled=False)
    ),
    "leaving a message": Story((5.0, "1", "2", "4", 2.0, "#", ""), invite=FORWARDED),
    "waiting for a busy line": Story(
        (Barges("1"), "001", "1", "2", 5.0, "#", ""), lets_wait, STRANGER, Transferred.BUSY
    ),
    "on hold": Story(
        (Barges("1"), "001", Barges("1", "holding_menu"), Barges("2", "holding_menu"), 5.0, "#", ""),
        holds,
        STRANGER,
        Transferred.BUSY,
    ),
    "a caller who is not wanted": Story(
        (Barges("1"), "001", 2.0, 5.0, "#", ""), screens, STRANGER, answers=("2",)
    ),
    "an interview": Story((4.0, 4.0, ""), asks, Invite("c", "4600", "+4930555")),
    "types of messages": Story((PIN, "1", "2", "*", "*"), two_types),
    "calling a number on": Story(("4711", "*"), calls_on, STRANGER),
    "greetings of a handler": Story((PIN, "5100", "*", "*"), owns_a_handler),
    "the directory": Story((Barges("4"), "", "23", "2", 5.0, "#", ""), invite=STRANGER),
}


@asynccontextmanager
async def home_of(folder: Path, story: Story, style: MenuStyle, language: str) -> AsyncIterator[House]:
    folder.mkdir(parents=True)
    async with house(folder, replace(BERG, language=language), SON) as home:
        await options(home, menu_style=style)
        if story.before:
            await story.before(home)
        yield home


async def tell(
    folder: Path,
    story: Story,
    *,
    turn: int = 0,
    instead: str = "",
    leaves_at: int = 0,
    style: MenuStyle = MenuStyle.FULL,
    language: str = "en",
) -> Told:
    """Hold the call. It must have ended, without anything broken, whatever was done in it."""
    with structlog.testing.capture_logs() as lines:
        async with home_of(
            folder / f"{turn}{instead}{leaves_at}{style}{language}", story, style, language
        ) as home:
            call = Told(
                list(story.script), story.invite, leaves_at, home.clock, turn=turn, instead=instead,
                transferred=story.transferred, answers=list(story.answers),
            )  # fmt: skip
            await home.pilot().handle(call)
    broke = [line for line in lines if "broke" in line["event"] or "exc_info" in line]
    assert call.ended and not broke, (broke, call.heard[-9:])
    return call


def found_menus() -> dict[str, Menu[Any]]:
    """Every table of a menu in the conversations, by module and name."""
    found = {}
    for module in pkgutil.walk_packages(conversation.__path__, conversation.__name__ + "."):
        for name, value in vars(import_module(module.name)).items():
            if isinstance(value, Menu | Mapped) and id(value) not in NOT_ASKED:
                menu = value.menu(value.keys, words.en) if isinstance(value, Mapped) else value
                found[f"{module.name}.{name}"] = menu
    return found


@pytest.mark.parametrize("name", STORIES)
async def test_the_right_keys_lead_to_the_end(tmp_path: Path, name: str) -> None:
    call = await tell(tmp_path, STORIES[name])
    assert call.script == [], "the call ended before its caller had done everything"
    assert not call.gone, "we hang up in the end"


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize(("instead", "told"), [("wrong", "invalid_key"), ("silence", "still_there")])
async def test_a_wrong_key_and_silence_are_told_and_the_menu_asked_again(
    tmp_path: Path, name: str, instead: str, told: str
) -> None:
    whole = await tell(tmp_path, STORIES[name])
    for turn, (kind, _) in enumerate(whole.asked, 1):
        if kind == "menu":
            call = await tell(tmp_path, STORIES[name], turn=turn, instead=instead)
            if call.all_act:
                continue
            assert call.noticed[0] == told, whole.asked[turn - 1]
            assert call.asked[:turn] + call.asked[turn + 1 :] == whole.asked, "and it goes on as before"


@pytest.mark.parametrize("name", STORIES)
async def test_no_digits_and_wrong_ones_are_answered_and_who_then_is_silent_is_let_go(
    tmp_path: Path, name: str
) -> None:
    whole = await tell(tmp_path, STORIES[name])
    for turn, (kind, question) in enumerate(whole.asked, 1):
        for instead in ("silence", "wrong") if kind == "digits" else ():
            call = await tell(tmp_path, STORIES[name], turn=turn, instead=instead)
            assert call.noticed and not call.gone, f"{question}: nothing is said to it"


@pytest.mark.parametrize("name", STORIES)
async def test_hanging_up_anywhere_ends_it(tmp_path: Path, name: str) -> None:
    whole = await tell(tmp_path, STORIES[name])
    for moment in range(1, whole.moments + 1):
        call = await tell(tmp_path, STORIES[name], leaves_at=moment)
        assert call.gone


async def test_no_menu_is_left_out(tmp_path: Path) -> None:
    """Neither a table, nor its short form, nor a question for digits, nor a menu that is made on the way."""
    asked: dict[MenuStyle, set[str]] = {style: set() for style in MenuStyle}
    for style, language in zip(MenuStyle, ("en", "de"), strict=True):
        for name, story in STORIES.items():
            folder = tmp_path / f"{style}-{name}"
            told = await tell(folder, story, style=style, language=language)
            asked[style] |= {question for _, question in told.asked} | set(map(str, told.heard))
    menus = found_menus()
    assert len(menus) >= 25
    left = [name for name, menu in menus.items() if str(menu.help[-1]) not in asked[MenuStyle.FULL]]
    left += [
        name
        for name, menu in menus.items()
        if str(menu.opening(MenuStyle.BRIEF)[-1]) not in asked[MenuStyle.BRIEF]
    ]
    speech = catalogue(SHIPPED / "en")["speech"]
    digits = {name for name in speech if name.startswith(("enter_", "directory_s"))} - {
        "directory_spell_more"
    }
    assert left == []
    assert (digits | MADE_ON_THE_WAY) - asked[MenuStyle.FULL] == set()
