"""Numbers that a user gives himself, such as his mobile telephone's: calls from them and for them are his.

A number is two settings: who it leads to (as an administrator's, `ALTERNATE`, marked as the user's own), and
one of the user's, by which his own are found without reading everybody's. The second is written first and
removed last; without the first it means nothing.
"""

import json
from collections.abc import Mapping
from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from store.errors import NotFound
from store.model import Setting, User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.conversation.setup.greetings import cos_of
from voicemail.policy.base import Policy
from voicemail.policy.book import MANY, parsed
from voicemail.policy.house import ALTERNATE, OWN, House, is_own
from voicemail.policy.locations import Contact, Location
from voicemail.policy.model import RestrictionTable
from voicemail.policy.numbers import allowed, normalised
from voicemail.policy.references import taken

log = structlog.get_logger()

MOST = 20
"""Digits taken of a number."""


class Do(Enum):
    """Rows of the menu."""

    ADD = auto()
    HEAR = auto()
    REMOVE = auto()
    NEXT = auto()
    BACK = auto()


NUMBERS = Menu(
    help=("own_numbers_menu",),
    brief=("own_numbers_brief",),
    keys={"1": Do.ADD, "2": Do.HEAR, "*": Do.BACK},
)
NUMBER = Menu(help=("own_number_menu",), keys={"1": Do.REMOVE, "#": Do.NEXT, "*": Do.BACK})


async def own_numbers(desk: Desk, call: Call, user: User) -> tuple[Sound, ...]:
    """Until the user goes back. What to say in the end."""
    if not (await cos_of(desk, user)).own_extensions:
        return ("not_allowed",)
    said: tuple[Sound, ...] = ()
    while (do := await choose(call, NUMBERS, *said, style=desk.style)) not in (Do.BACK, None):
        said = await (add(desk, call, user) if do is Do.ADD else hear(desk, call, user))
    return ()


async def add(desk: Desk, call: Call, user: User) -> tuple[Sound, ...]:
    """Ask for a number and keep it. What to say about it."""
    cos = await cos_of(desk, user)
    if len(await numbers_of(desk, user)) >= cos.own_extensions:
        return ("too_many_numbers",)
    pressed = await call.digits("enter_own_number", most=MOST)
    number = normalised(pressed)
    if pressed in ("", "*"):
        return ("nothing_changed",)
    table = await desk.policies.get(RestrictionTable, cos.alternate_table)
    if not number or table is None or not allowed(table, pressed):
        log.warning("number refused", mailbox=user.extension, number=pressed, table=cos.alternate_table)
        return ("number_not_allowed",)
    if why := await in_use(desk, number):
        log.info("number refused", mailbox=user.extension, number=number, why=why)
        return ("number_taken",)
    await reach(desk.store.settings.put(Setting(OWN, number, "{}", user.id)))
    body = json.dumps({"user": str(user.id), "own": True})
    await reach(desk.store.settings.put(Setting(ALTERNATE, number, body)))
    log.info("number added", mailbox=user.extension, number=number)
    return (*desk.words.digits(number), "number_added")


async def hear(desk: Desk, call: Call, user: User) -> tuple[Sound, ...]:
    """One after the other, each to be kept or taken away."""
    said: tuple[Sound, ...] = ()
    for number in await numbers_of(desk, user):
        do = await choose(call, NUMBER, *said, *desk.words.digits(number))
        if do in (Do.BACK, None):
            return ()
        said = await remove(desk, user, number) if do is Do.REMOVE else ()
    return said or ("no_own_numbers",)


async def remove(desk: Desk, user: User, number: str) -> tuple[Sound, ...]:
    for kind, owner in ((ALTERNATE, None), (OWN, user.id)):
        try:
            await reach(desk.store.settings.remove(kind, number, owner))
        except NotFound:
            log.info("number was gone already", mailbox=user.extension, number=number, kind=kind)
    log.info("number taken away", mailbox=user.extension, number=number)
    return ("number_removed",)


async def numbers_of(desk: Desk, user: User) -> list[str]:
    """The user's own ones, that lead to him. Raises Unavailable."""
    found = []
    for each in await reach(desk.store.settings.all(OWN, user.id)):
        leads = await reach(desk.store.settings.get(ALTERNATE, each.name))
        if leads and is_own(leads, user.id):
            found.append(each.name)
    return found


async def in_use(desk: Desk, number: str) -> str:
    """What the number leads to by now, in words; "" for nothing. Raises Unavailable."""
    policies, user = desk.policies, await reach(desk.store.users.by_extension(number))
    there: dict[str, Mapping[str, Policy]] = {Location.KIND: await policies.all(Location)}
    there |= {kind.KIND: await policies.numbered(kind, number) for kind in MANY}
    contacts = await reach(desk.store.settings.numbered(Contact.KIND, number))
    there[Contact.KIND] = {each.name: read for each in contacts if (read := parsed(Contact, each))}
    return taken(House(there, {number: user} if user else {}), number)
