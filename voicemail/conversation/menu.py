"""Asking for a key. What a menu offers is data: rows of (key, action); a key may be a sequence, as 42."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sip.call import Call, Sound
from voicemail.policy.key_map import Part
from voicemail.policy.model import MenuStyle
from voicemail.words import Words

Action = TypeVar("Action")

HELP = "0"
ROUNDS = 3
"""How often a silent caller is asked before the menu gives up."""
BETWEEN = 1.5
"""Seconds between the keys of a sequence."""
WRONG = 10
"""Wrong keys in a row after which nobody is believed to be there: machines press keys, too."""


@dataclass(frozen=True)
class Menu(Generic[Action]):
    """`help` says all keys: first, when 0 is pressed, and after silence. `brief`, where there is one, is
    said first instead to users who know the keys by heart (MenuStyle.BRIEF)."""

    help: tuple[Sound, ...]
    keys: Mapping[str, Action]
    wait: float = 5.0
    brief: tuple[Sound, ...] = ()

    @property
    def offered(self) -> str:
        """The first keys of `keys`, and 0."""
        return "".join(dict.fromkeys(key[0] for key in self.keys)) + HELP

    def more(self, pressed: str) -> str:
        """The keys that may follow what was pressed."""
        longer = (key for key in self.keys if key.startswith(pressed) and key != pressed)
        return "".join(dict.fromkeys(key[len(pressed)] for key in longer))

    def opening(self, style: MenuStyle) -> tuple[Sound, ...]:
        """What is said first."""
        return self.brief or self.help if style is MenuStyle.BRIEF else self.help


@dataclass(frozen=True)
class Mapped(Generic[Action]):
    """A menu whose keys are the user's to have otherwise. Each row: an action, its row in a part of his key
    map, and the words that come before its key. `help` is spoken in one piece, for the keys as supplied."""

    keys: Part
    """As supplied."""
    rows: tuple[tuple[Action, str, Sound], ...]
    help: tuple[Sound, ...]
    brief: tuple[Sound, ...] = ()
    """Names no key."""

    def menu(self, part: Part, words: Words) -> Menu[Action]:
        """With the keys of this part of a map. Pure."""
        keys = {key: action for action, row, _ in self.rows for key in part.row(row)}
        if all(part.row(row) == self.keys.row(row) for _, row, _ in self.rows):
            return Menu(self.help, keys, brief=self.brief)
        return Menu(self._offers(part, words), keys, brief=self.brief)

    def _offers(self, part: Part, words: Words) -> tuple[Sound, ...]:
        """ "To save it, press" "two". What has no key is not offered."""
        offered = [(said, part.row(row)) for _, row, said in self.rows]
        return tuple(sound for said, keys in offered if keys for sound in (said, *words.digits(keys[-1])))


async def choose(
    call: Call, menu: Menu[Action], *first: Sound, style: MenuStyle = MenuStyle.FULL
) -> Action | None:
    """Say `first`, then the menu, until a key of it is pressed. None: the caller stays silent, or
    presses nothing but wrong keys.

    A wrong key is answered with "that key does nothing here" and the menu; as somebody is there, it
    does not count as silence."""
    said: tuple[Sound, ...] = (*first, *menu.opening(style))
    silent = wrong = 0
    while silent < ROUNDS and wrong < WRONG:
        match await call.ask(*said, keys=menu.offered, wait=menu.wait):
            case "":
                silent += 1
                said = ("still_there", *menu.help)
            case key if (whole := await finished(call, menu, key)) in menu.keys:
                return menu.keys[whole]
            case key:
                silent, wrong = 0, wrong + 1
                said = menu.help if key == HELP else ("invalid_key", *menu.help)
    return None


async def finished(call: Call, menu: Menu[Action], key: str) -> str:
    """The whole sequence that begins with a key: where longer ones begin so, the next key is waited for."""
    while key and (more := menu.more(key)):
        following = await call.ask(keys=more, wait=BETWEEN)
        if not following:
            break
        key += following
    return key
