"""Whether and where to a user's calls are put through before his greeting."""

from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from store.model import User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.conversation.setup.greetings import cos_of
from voicemail.policy.model import RestrictionTable, Transfer
from voicemail.policy.numbers import allowed

log = structlog.get_logger()

MOST = 30
"""Digits taken of a number."""


class Do(Enum):
    """Rows of the menu."""

    SWITCH = auto()
    NUMBER = auto()
    HOW = auto()
    BACK = auto()


TRANSFER = Menu(
    help=("transfer_menu",),
    brief=("transfer_brief",),
    keys={"1": Do.SWITCH, "2": Do.NUMBER, "3": Do.HOW, "*": Do.BACK},
)


async def transfer_settings(desk: Desk, call: Call, user: User) -> None:
    """Until the user goes back."""
    said = state(desk, user, (await desk.policies.options(user.id)).transfer)
    while (do := await choose(call, TRANSFER, *said, style=desk.style)) not in (Do.BACK, None):
        transfer = (await desk.policies.options(user.id)).transfer
        match do:
            case Do.SWITCH:
                said = await _kept(desk, user, enabled=not transfer.enabled)
            case Do.HOW:
                said = await _kept(desk, user, supervised=not transfer.supervised)
            case Do.NUMBER:
                said = await _number(desk, call, user)


def state(desk: Desk, user: User, transfer: Transfer) -> tuple[Sound, ...]:
    """On or off, where to, and whether we wait until it is answered."""
    if not transfer.enabled:
        return ("transfer_of_calls", "is_off")
    number = desk.words.digits(transfer.number or user.extension)
    return ("transfer_of_calls", "is_on", "calls_go_to", *number, how(transfer))


def how(transfer: Transfer) -> str:
    return "transfer_is_supervised" if transfer.supervised else "transfer_is_released"


async def _number(desk: Desk, call: Call, user: User) -> tuple[Sound, ...]:
    """Checked here and once more when a call is put through. No number: the own telephone."""
    pressed = await call.digits("enter_transfer_number", most=MOST)
    if pressed == "*":
        return ("nothing_changed",)
    if pressed and not await number_allowed(desk, user, pressed):
        return ("number_not_allowed",)
    return await _kept(desk, user, number=pressed, enabled=True)


async def number_allowed(desk: Desk, user: User, number: str, *, dial_out: bool = False) -> bool:
    """By the user's class of service. A table that has been taken away allows nothing."""
    cos = await cos_of(desk, user)
    name = cos.dial_out_table if dial_out else cos.transfer_table
    table = await desk.policies.get(RestrictionTable, name)
    is_allowed = table is not None and allowed(table, number)
    if not is_allowed:
        log.warning("number refused", mailbox=user.extension, number=number, table=name)
    return is_allowed


async def _kept(desk: Desk, user: User, **changes: object) -> tuple[Sound, ...]:
    options = await desk.policies.options(user.id)
    transfer = options.transfer.model_copy(update=changes)
    await reach(desk.policies.set_options(user.id, options.model_copy(update={"transfer": transfer})))
    log.info("transfer changed", mailbox=user.extension, **transfer.model_dump())
    return state(desk, user, transfer)
