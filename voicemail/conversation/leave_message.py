"""A caller leaves a message: greeting, tone, recording, and what to do with it.

Everything after the tone happens inside the guard of a `Letter`: whoever hangs up sends what was said.
"""

from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from sip.invite import Reason
from store.ids import uuid7
from store.spool import SpoolEntry
from voicemail.conversation.desk import Box, Desk
from voicemail.conversation.letter import Letter
from voicemail.conversation.menu import Menu, choose

log = structlog.get_logger()

LONGEST_TEXT = 128
"""Characters that are kept of what a stranger's INVITE says about itself."""


class Next(Enum):
    """What follows."""

    GOODBYE = auto()
    SIGN_IN = auto()


class Do(Enum):
    """What a caller can do with a recording."""

    SEND = auto()
    HEAR = auto()
    URGENT = auto()
    AGAIN = auto()
    ADD = auto()
    CANCEL = auto()


REVIEW = Menu(
    help=("caller_menu",),
    keys={"#": Do.SEND, "1": Do.HEAR, "2": Do.URGENT, "3": Do.AGAIN, "4": Do.ADD, "*": Do.CANCEL},
)


async def leave_message(desk: Desk, call: Call, box: Box) -> Next:
    """Greet, record, offer the choices. Hanging up after the tone sends, as pressing # does.

    Raises HungUp when the caller has gone; what was recorded is then on its way."""
    if not await desk.delivery.has_room():
        return await _refuse(call)
    if await call.play(*greeting(desk, box), until="#*") == "*":
        return Next.SIGN_IN
    try:
        async with Letter(desk, call, lambda: note(desk, call, box), desk.limits) as letter:
            if await letter.first_recording("tone"):
                await review(call, letter)
    except OSError as error:
        log.error("spool cannot be used", why=str(error))
        return await _refuse(call)
    await call.play(*letter.last_words, "goodbye")
    return Next.GOODBYE


def greeting(desk: Desk, box: Box) -> tuple[Sound, ...]:
    """The owner's recording, or the system's words with the extension digit by digit."""
    if box.greeting:
        return (box.greeting,)
    busy = box.reason is Reason.BUSY
    after = "default_greeting_after_busy" if busy else "default_greeting_after"
    return ("default_greeting_before", *desk.words.digits(box.extension), after)


async def review(call: Call, letter: Letter) -> None:
    """Until the caller sends or cancels it, or says nothing more, which sends it too."""
    said: tuple[Sound, ...] = ("limit_reached",) if letter.ended_by == "limit" else ()
    while (do := await choose(call, REVIEW, *said)) not in (Do.SEND, None):
        match do:
            case Do.HEAR:
                said = letter.sounds
            case Do.URGENT:
                said = await letter.toggle_urgent()
            case Do.AGAIN:
                said = () if await letter.record("record_at_tone", "tone") else ("too_short",)
            case Do.ADD:
                said = () if await letter.add("record_at_tone", "tone") else ("too_short",)
            case Do.CANCEL:
                return await letter.cancel()


def note(desk: Desk, call: Call, box: Box) -> SpoolEntry:
    """What is known of a caller's message before it is recorded."""
    user, invite = box.user, call.invite
    return SpoolEntry(
        id=uuid7(),
        extension=box.extension,
        mailbox_id=user.id if user else None,
        caller=(invite.asserted or invite.caller)[:LONGEST_TEXT],
        caller_name=invite.caller_name[:LONGEST_TEXT],
        recorded=desk.now(),
        call_id=invite.call_id[:LONGEST_TEXT],
    )


async def _refuse(call: Call) -> Next:
    await call.play("cannot_record_now", "goodbye")
    return Next.GOODBYE
