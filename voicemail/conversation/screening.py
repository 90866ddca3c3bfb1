"""Screening: before a caller is joined with whoever answers, that one hears whom the call is for and whom it
is from, and is asked whether to take it, as the rule of the transfer says.

The caller says a name before it rings; it is played on this call only, and kept nowhere."""

from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

import structlog

from sip.call import Call, RecordLimits, Screen, Sound
from voicemail.conversation.desk import Desk
from voicemail.conversation.host import Caller
from voicemail.conversation.menu import Menu, choose
from voicemail.greetings import NAME, Greetings
from voicemail.policy.transfers import Transfer

log = structlog.get_logger()

OF_CALLER = RecordLimits(longest=8.0, silence=2.5)
"""A caller's name."""
SHORTEST = 0.4
"""Seconds of a name."""


class Do(Enum):
    """What somebody can do who is asked."""

    TAKE = auto()
    REFUSE = auto()


ASKED = Menu(help=("screen_menu",), keys={"1": Do.TAKE, "2": Do.REFUSE})


@dataclass(frozen=True, slots=True)
class Callee:
    """Whom a call is for: a user or a handler."""

    owner: UUID | None
    """Whose recorded name is spoken."""
    extension: str
    """Spoken where there is none."""
    language: str = ""


async def screening(
    desk: Desk,
    call: Call,
    greetings: Greetings,
    rule: Transfer,
    callee: Callee,
    caller: Caller,
    within: float,
) -> Screen | None:
    """What is to be asked of whoever answers; None: nothing. Asks the caller for a name, if the rule wants
    that. Raises HungUp."""
    if not rule.screened:
        return None
    said: tuple[Sound, ...] = ()
    if rule.announce:
        name = await greetings.of(callee.owner, NAME, within) if callee.owner else None
        said += ("call_for", *((name,) if name else desk.words.digits(callee.extension)))
    if rule.ask_name:
        said += await _from(desk, call, greetings, caller, within)

    async def screen(other: Call) -> bool:
        if callee.language:
            other.use_language(callee.language)
        return await _wanted(other, rule.confirm, said)

    return screen


async def _wanted(other: Call, confirm: bool, said: tuple[Sound, ...]) -> bool:
    """Whether whoever has answered takes the call: asked, who says nothing does not."""
    if not confirm:
        await other.play(*said)
        return True
    taken = await choose(other, ASKED, *said) is Do.TAKE
    log.info("who answered was asked", takes_the_call=taken)
    return taken


async def _from(
    desk: Desk, call: Call, greetings: Greetings, caller: Caller, within: float
) -> tuple[Sound, ...]:
    """The caller's name as it is recorded, or said now; else the number."""
    user = caller.identified
    recorded = await greetings.of(user.id, NAME, within) if user else None
    if name := recorded or await _said(desk, call):
        return ("call_from", name)
    number = desk.words.phone_number(call.invite.asserted or call.invite.caller)
    return ("call_from", *number) if number else ("from_outside_caller",)


async def _said(desk: Desk, call: Call) -> Sound | None:
    """None when the caller does not say it, or there is no room for it."""
    try:
        path = await desk.sounds.file(b"")
        await call.play("caller_name_at_tone", "tone")
        taken = await call.record(path, OF_CALLER)
    except OSError as error:
        log.error("a caller's name cannot be recorded", why=str(error))
        return None
    return path if taken.seconds >= SHORTEST else None
