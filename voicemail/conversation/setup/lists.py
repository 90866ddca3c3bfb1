"""A user's private lists: numbered, with a spoken name, made and changed by telephone."""

from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from store.model import User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.conversation.record_sound import record_sound
from voicemail.conversation.setup.greetings import cos_of
from voicemail.conversation.setup.personal import NAME
from voicemail.policy.model import PrivateList

log = structlog.get_logger()

MOST_MEMBERS = 99
MOST = 20
"""Digits taken of an extension."""


class Do(Enum):
    """What can be done with a list."""

    HEAR = auto()
    ADD = auto()
    REMOVE = auto()
    NAME = auto()
    DELETE = auto()
    BACK = auto()


LIST = Menu(
    help=("private_list_menu",),
    keys={"1": Do.HEAR, "2": Do.ADD, "3": Do.REMOVE, "4": Do.NAME, "5": Do.DELETE, "*": Do.BACK},
)


async def private_lists(desk: Desk, call: Call, user: User) -> tuple[Sound, ...]:
    """Ask for a list's number; one that is not there begins empty. What to say in the end."""
    most = (await cos_of(desk, user)).private_lists
    if not most:
        return ("not_allowed",)
    there = await desk.policies.of(PrivateList, user.id)
    said = ("you_have", *desk.words.count("private_list", len(there)))
    pressed = await call.digits(*said, "enter_list_number", most=2)
    if pressed in ("", "*"):
        return ()
    if not pressed.isdecimal() or not 1 <= int(pressed) <= most:
        return ("no_such_list",)
    await one_list(desk, call, user, str(int(pressed)))
    return ()


async def one_list(desk: Desk, call: Call, user: User, name: str) -> None:
    """Until the user goes back or deletes it."""
    said: tuple[Sound, ...] = await title(desk, user, name)
    while (do := await choose(call, LIST, *said)) not in (Do.BACK, None):
        match do:
            case Do.HEAR:
                said = await members_aloud(desk, user, name)
            case Do.ADD:
                said = await _add(desk, call, user, name)
            case Do.REMOVE:
                said = await _remove(desk, call, user, name)
            case Do.NAME:
                said = await _record_name(desk, call, user, name)
            case Do.DELETE:
                await _delete(desk, user, name)
                await call.play("list_deleted")
                return


async def title(desk: Desk, user: User, name: str) -> tuple[Sound, ...]:
    """ "List two", its spoken name, how many members."""
    audio = await reach(desk.store.users.greeting(user.id, spoken_name(name)))
    spoken = (await desk.sounds.file(audio),) if audio else ()
    members = (await _list(desk, user, name)).members
    return ("private_list", *desk.words.number(int(name)), *spoken, *desk.words.count("member", len(members)))


def spoken_name(name: str) -> str:
    """The kind of greeting that a list's name is."""
    return f"list {name}"


async def members_aloud(desk: Desk, user: User, name: str) -> tuple[Sound, ...]:
    """Each by recorded name, else digit by digit."""
    said: tuple[Sound, ...] = ()
    for extension in (await _list(desk, user, name)).members:
        said = (*said, *await who(desk, extension))
    return said or ("list_is_empty",)


async def who(desk: Desk, extension: str) -> tuple[Sound, ...]:
    """A member as he is spoken of."""
    found = await reach(desk.store.users.by_extension(extension))
    audio = await reach(desk.store.users.greeting(found.id, NAME)) if found else None
    return (await desk.sounds.file(audio),) if audio else desk.words.digits(extension)


async def _add(desk: Desk, call: Call, user: User, name: str) -> tuple[Sound, ...]:
    extension = await call.digits("enter_member", most=MOST)
    if extension in ("", "*"):
        return ("nothing_changed",)
    found = await reach(desk.store.users.by_extension(extension))
    if not found:
        return ("nobody_has_this_extension",)
    members = (await _list(desk, user, name)).members
    if found.extension in members:
        return (*await who(desk, found.extension), "member_is_there")
    if len(members) >= MOST_MEMBERS:
        return ("list_is_full",)
    await _keep(desk, user, name, (*members, found.extension))
    return (*await who(desk, found.extension), "member_added")


async def _remove(desk: Desk, call: Call, user: User, name: str) -> tuple[Sound, ...]:
    extension = await call.digits("enter_member", most=MOST)
    members = (await _list(desk, user, name)).members
    if extension in ("", "*"):
        return ("nothing_changed",)
    if extension not in members:
        return ("not_a_member",)
    await _keep(desk, user, name, tuple(each for each in members if each != extension))
    return (*await who(desk, extension), "member_removed")


async def _record_name(desk: Desk, call: Call, user: User, name: str) -> tuple[Sound, ...]:
    longest = (await cos_of(desk, user)).longest_name
    audio = await record_sound(desk, call, longest, "record_list_name_at_tone")
    if audio is None:
        return ()
    await _keep(desk, user, name, (await _list(desk, user, name)).members)
    await reach(desk.store.users.set_greeting(user.id, audio, spoken_name(name)))
    return ("name_kept",)


async def _delete(desk: Desk, user: User, name: str) -> None:
    if name in await desk.policies.of(PrivateList, user.id):
        await reach(desk.policies.remove(PrivateList, name, user.id))
        await reach(desk.store.users.set_greeting(user.id, None, spoken_name(name)))
    log.info("private list deleted", mailbox=user.extension, list=name)


async def _list(desk: Desk, user: User, name: str) -> PrivateList:
    return (await desk.policies.of(PrivateList, user.id)).get(name, PrivateList())


async def _keep(desk: Desk, user: User, name: str, members: tuple[str, ...]) -> None:
    changed = (await _list(desk, user, name)).model_copy(update={"members": members})
    await reach(desk.policies.put(name, changed, user.id))
    log.info("private list changed", mailbox=user.extension, list=name, members=len(members))
