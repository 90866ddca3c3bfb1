"""Finding somebody by name: spelled on the keypad, offered by recorded name."""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto

from sip.call import Call, Sound
from store.model import User
from voicemail import names
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.greetings import NAME, Greetings
from voicemail.phonebook import Phonebook

TRIES = 3
"""How often a silent caller, or one whose name nobody has, is asked again."""
MOST_OFFERED = 8
MOST_KEYS = 24
FEW = 100
"""Of so many matches it is asked who wants to be found; more take more letters first."""


class Left(Enum):
    """How a caller leaves who has found nobody."""

    BACK = auto()
    SILENT = auto()


async def search(desk: Desk, call: Call, phonebook: Phonebook, greetings: Greetings) -> User | Left:
    """Ask for letters until one user is found, or chosen. Raises Unavailable and HungUp."""
    tries, keys, said = 0, "", ("directory_spell",)
    while tries < TRIES:
        pressed = await call.digits(*said, most=MOST_KEYS)
        if pressed == "*":
            return Left.BACK
        keys += pressed if pressed.isdecimal() else ""
        found = await matching(desk, keys, phonebook) if keys else ()
        if len(found) > MOST_OFFERED and pressed:
            said = ("directory_spell_more",)
        elif 0 < len(found) <= MOST_OFFERED:
            if isinstance(chosen := await offer(desk, call, greetings, found), User):
                return chosen
            if chosen is None:
                return Left.SILENT
            tries, keys, said = tries + 1, "", ("directory_spell",)
        else:
            tries, keys, said = tries + 1, "", (*(("directory_nobody",) if keys else ()), "directory_spell")
    return Left.SILENT


async def matching(desk: Desk, keys: str, phonebook: Phonebook) -> Sequence[User]:
    """Raises Unavailable."""
    return await among(desk, keys, await reach(phonebook.everybody()))


async def among(desk: Desk, keys: str, everybody: Sequence[User]) -> Sequence[User]:
    """Those whose names begin so, and who want to be found."""
    return await listed(desk, await asyncio.to_thread(names.matches, keys, everybody))


async def listed(desk: Desk, users: Sequence[User]) -> Sequence[User]:
    """Those who want to be found. So many that nobody would listen to them all are left as they are."""
    if len(users) > FEW:
        return users
    options = await asyncio.gather(*(desk.policies.options(user.id) for user in users))
    return [user for user, each in zip(users, options, strict=True) if each.listed]


async def offer(desk: Desk, call: Call, greetings: Greetings, users: Sequence[User]) -> "User | Left | None":
    """Let the caller choose; the only one is chosen. Left to search again; None when the caller is silent."""
    if len(users) == 1:
        return users[0]
    recorded = await asyncio.gather(*(greetings.of(user.id, NAME) for user in users))
    said: list[Sound] = []
    keys: dict[str, User | Left] = {"*": Left.BACK}
    for key, user, name in zip("12345678", users, recorded, strict=False):
        keys[key] = user
        who = (name,) if name else ("directory_extension", *desk.words.digits(user.extension))
        said += ["directory_for", *who, "directory_press", *desk.words.digits(key)]
    return await choose(call, Menu(help=(*said, "directory_search_again"), keys=keys))
