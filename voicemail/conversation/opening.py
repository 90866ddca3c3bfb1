"""The first words to a user who has signed in."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sip.call import Sound
from store.model import User
from store.signing_in import Glance
from voicemail import words
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.main_menu import MAIN, counted
from voicemail.conversation.setup.greetings import cos_of
from voicemail.conversation.setup.pin import rules_of
from voicemail.greetings import NAME
from voicemail.policy import pin_rules, quota
from voicemail.policy.key_map import KeyMap
from voicemail.policy.model import UserOptions
from voicemail.policy.quota import QuotaState

FULL = {
    QuotaState.OK: (),
    QuotaState.WARN: ("mailbox_nearly_full",),
    QuotaState.NO_SEND: ("mailbox_no_send",),
    QuotaState.NO_RECEIVE: ("mailbox_is_full",),
}
NOBODYS = Glance(User(UUID(int=0), ""))
"""Stands for the mailbox of an ID that nobody has."""


async def opening(desk: Desk, glance: Glance, name: Sequence[Sound]) -> tuple[Sound, ...]:
    """What is said in one go before anything else: the welcome, or the main menu."""
    options = desk.policies.seen(glance.user.id, glance.options)
    desk = replace(desk, words=words.of(glance.user.language))
    menu = MAIN.menu((await keys_of(desk, options)).main, desk.words)
    said = counted(desk.words, glance.counts, glance.reports)
    return await welcome(desk, glance, name) or (*said, *menu.opening(options.menu_style))


async def keys_of(desk: Desk, options: UserOptions) -> KeyMap:
    """A user's key map; the supplied one where his is not there, or damaged."""
    return await desk.policies.get(KeyMap, options.key_map) or KeyMap()


async def name_of(desk: Desk, glance: Glance) -> tuple[Sound, ...]:
    """The recorded name as a file; () where there is none. Raises Unavailable, OSError."""
    audio = await reach(desk.store.users.greeting(glance.user.id, NAME)) if glance.name else None
    return (await desk.sounds.file(audio),) if audio else ()


async def welcome(desk: Desk, glance: Glance, name: Sequence[Sound]) -> tuple[Sound, ...]:
    """The user's recorded name, and what he should know: a mailbox nearly full, a PIN that will expire."""
    user = glance.user
    cos, options = await cos_of(desk, user), await desk.policies.options(user.id)
    full = quota.state(cos.quota, glance.size)
    days = pin_rules.days_left(options.pin_changed, desk.now(), await rules_of(desk, user))
    expires = ("pin_expires_in", *desk.words.count("day", days)) if days is not None else ()
    return (*name, *FULL[full], *expires)
