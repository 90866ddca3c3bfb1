"""How a user is told of messages and spoken to: devices, menu style, private lists, language."""

from dataclasses import replace
from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from store.model import User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Mapped, Menu, choose
from voicemail.conversation.setup.devices import devices
from voicemail.conversation.setup.lists import private_lists
from voicemail.policy.key_map import MessagesKeys
from voicemail.policy.model import MenuStyle
from voicemail.words import LANGUAGES

log = structlog.get_logger()


class Do(Enum):
    """Rows of the menu."""

    DEVICES = auto()
    STYLE = auto()
    LISTS = auto()
    LANGUAGE = auto()
    BACK = auto()


MESSAGES = Mapped(
    MessagesKeys(),
    help=("message_settings_menu",),
    brief=("message_settings_brief",),
    rows=(
        (Do.DEVICES, "devices", "for_devices_press"),
        (Do.STYLE, "style", "to_change_style_press"),
        (Do.LISTS, "lists", "for_lists_press"),
        (Do.LANGUAGE, "language", "for_language_press"),
        (Do.BACK, "back", "to_go_back_press"),
    ),
)


async def message_settings(desk: Desk, call: Call, user: User) -> Desk:
    """Until the user goes back. The desk in the language and menu style chosen."""
    said: tuple[Sound, ...] = ()
    while (do := await _asked(desk, call, *said)) not in (Do.BACK, None):
        match do:
            case Do.DEVICES:
                said = await devices(desk, call, user)
            case Do.STYLE:
                desk, said = await _other_style(desk, user)
            case Do.LISTS:
                said = await private_lists(desk, call, user)
            case Do.LANGUAGE:
                desk, said = await _language(desk, call, user)
    return desk


async def _asked(desk: Desk, call: Call, *said: Sound) -> Do | None:
    return await choose(call, MESSAGES.menu(desk.keys.messages, desk.words), *said, style=desk.style)


async def _other_style(desk: Desk, user: User) -> tuple[Desk, tuple[Sound, ...]]:
    options = await desk.policies.options(user.id)
    style = MenuStyle.BRIEF if options.menu_style is MenuStyle.FULL else MenuStyle.FULL
    await reach(desk.policies.set_options(user.id, options.model_copy(update={"menu_style": style})))
    log.info("menu style changed", mailbox=user.extension, style=style.value)
    said = "menus_are_brief" if style is MenuStyle.BRIEF else "menus_are_full"
    return replace(desk, style=style), (said,)


async def _language(desk: Desk, call: Call, user: User) -> tuple[Desk, tuple[Sound, ...]]:
    """Offered by name, in the language spoken so far."""
    rows = dict(zip("123456789", LANGUAGES, strict=False))
    offer = tuple(part for key, each in rows.items() for part in (f"language_{each}", "press", f"n_{key}"))
    chosen = await choose(call, Menu(help=offer, keys={**rows, "*": ""}))
    if not chosen:
        return desk, ("nothing_changed",)
    present = await reach(desk.store.users.get(user.id)) or user
    await reach(desk.store.users.change(replace(present, language=chosen)))
    log.info("language changed", mailbox=user.extension, language=chosen)
    return desk.in_language(call, chosen), ("language_chosen",)
