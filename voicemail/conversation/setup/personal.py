"""A user's own things: PIN, recorded name, whether callers find him in the directory."""

from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from store.model import User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Mapped, Menu, choose
from voicemail.conversation.record_sound import record_sound
from voicemail.conversation.setup.greetings import cos_of
from voicemail.conversation.setup.numbers import own_numbers
from voicemail.conversation.setup.pin import change_pin
from voicemail.policy.key_map import PersonalKeys

log = structlog.get_logger()

NAME = "name"
"""The kind of greeting that a recorded name is."""


class Do(Enum):
    """Rows of the menu."""

    PIN = auto()
    NAME = auto()
    LISTING = auto()
    NUMBERS = auto()
    BACK = auto()


PERSONAL = Mapped(
    PersonalKeys(),
    help=("personal_menu",),
    brief=("personal_brief",),
    rows=(
        (Do.PIN, "pin", "to_change_pin_press"),
        (Do.NAME, "name", "to_record_name_press"),
        (Do.LISTING, "listing", "for_listing_press"),
        (Do.NUMBERS, "numbers", "for_numbers_press"),
        (Do.BACK, "back", "to_go_back_press"),
    ),
)
YES_NO: Menu[bool | None] = Menu(help=("listing_menu",), keys={"1": True, "2": False, "*": None})


async def personal(desk: Desk, call: Call, user: User) -> None:
    """Until the user goes back."""
    said: tuple[Sound, ...] = ()
    menu = PERSONAL.menu(desk.keys.personal, desk.words)
    while (do := await choose(call, menu, *said, style=desk.style)) not in (Do.BACK, None):
        match do:
            case Do.PIN:
                said = await change_pin(desk, call, user)
            case Do.NAME:
                said = await record_name(desk, call, user)
            case Do.LISTING:
                said = await listing(desk, call, user)
            case Do.NUMBERS:
                said = await own_numbers(desk, call, user)


async def record_name(desk: Desk, call: Call, user: User) -> tuple[Sound, ...]:
    """Hear the present one, record another. What to say about it."""
    cos = await cos_of(desk, user)
    if not cos.may_record_name:
        return ("not_allowed",)
    audio = await reach(desk.store.users.greeting(user.id, NAME))
    present = ("your_name_is", await desk.sounds.file(audio)) if audio else ()
    new = await record_sound(desk, call, cos.longest_name, *present, "record_name_at_tone")
    if new is None:
        return ()
    await reach(desk.store.users.set_greeting(user.id, new, NAME))
    log.info("name recorded", mailbox=user.extension)
    return ("name_kept",)


async def listing(desk: Desk, call: Call, user: User) -> tuple[Sound, ...]:
    """Listed in the directory, or not. What to say about it."""
    if not (await cos_of(desk, user)).may_change_listing:
        return ("not_allowed",)
    options = await desk.policies.options(user.id)
    wanted = await choose(call, YES_NO, listed(options.listed))
    if wanted is None:
        return ()
    await set_listed(desk, user, wanted)
    return (listed(wanted),)


async def set_listed(desk: Desk, user: User, wanted: bool) -> None:
    options = await desk.policies.options(user.id)
    await reach(desk.policies.set_options(user.id, options.model_copy(update={"listed": wanted})))
    log.info("directory listing changed", mailbox=user.extension, listed=wanted)


def listed(is_listed: bool) -> str:
    return "you_are_listed" if is_listed else "you_are_not_listed"
