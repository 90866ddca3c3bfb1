"""A caller leaves a message: tone, recording, and what to do with it.

Everything after the tone happens inside the guard of a `Letter`: whoever hangs up sends what was said.
"""

from collections.abc import Callable
from enum import Enum, auto
from uuid import UUID

import structlog

from sip.call import Call, RecordLimits, Sound
from store.ids import uuid7
from store.model import Envelope
from store.notes import noted
from store.spool import SpoolEntry
from voicemail.conversation.desk import Desk
from voicemail.conversation.host import Letterbox
from voicemail.conversation.letter import Letter
from voicemail.conversation.menu import Menu, choose

log = structlog.get_logger()

LONGEST_TEXT = 128
"""Characters that are kept of what a stranger's INVITE says about itself."""
PAUSE = "8"
"""Pauses the recording, and lets it go on."""


class Do(Enum):
    """What a caller can do with a recording."""

    SEND = auto()
    HEAR = auto()
    URGENT = auto()
    AGAIN = auto()
    ADD = auto()
    PRIVATE = auto()
    CANCEL = auto()


ROWS = (
    ("#", Do.SEND, "review_send"),
    ("1", Do.HEAR, "review_hear"),
    ("2", Do.URGENT, "review_urgent"),
    ("3", Do.AGAIN, "review_again"),
    ("4", Do.ADD, "review_add"),
    ("5", Do.PRIVATE, "review_private"),
    ("*", Do.CANCEL, "review_cancel"),
)


def review_menu(box: Letterbox) -> Menu[Do]:
    """What the owner of the mailbox lets callers do."""
    refused = {
        Do.HEAR: not box.may_edit,
        Do.AGAIN: not box.may_edit,
        Do.ADD: not box.may_edit,
        Do.URGENT: not box.may_mark_urgent,
        Do.PRIVATE: not box.may_mark_private,
    }
    rows = [row for row in ROWS if not refused.get(row[1])]
    return Menu(help=tuple(said for _, _, said in rows), keys={key: do for key, do, _ in rows})


async def leave_message(
    desk: Desk,
    call: Call,
    box: Letterbox,
    *before: Sound,
    sender: UUID | None = None,
    sent: Callable[[], None] = lambda: None,
) -> None:
    """Say `before`, record, offer the choices. Hanging up after the tone sends, as pressing # does.
    `sender` is the user who certainly is calling; `sent` is called once there is a message.

    Raises HungUp when the caller has gone; what was recorded is then on its way."""
    if box.full:
        log.info("no message taken: the mailbox is full", mailbox=box.extension)
        await call.play("mailbox_full")
        return
    if not await desk.delivery.has_room():
        await call.play("cannot_record_now")
        return
    limits = RecordLimits(box.longest, desk.limits.silence, pause=PAUSE, warning="fifteen_seconds_left")
    letter = Letter(desk, call, lambda: note(desk, call, box, sender), limits)
    try:
        async with letter:
            if await letter.first_recording(*before, "tone"):
                await review(call, letter, review_menu(box))
    except OSError as error:
        log.error("spool cannot be used", why=str(error))
        await call.play("cannot_record_now")
        return
    finally:
        if letter.sent:
            sent()
    await call.play(*letter.last_words)


async def review(call: Call, letter: Letter, menu: Menu[Do]) -> None:
    """Until the caller sends or cancels it, or says nothing more, which sends it too."""
    said: tuple[Sound, ...] = ("limit_reached",) if letter.ended_by == "limit" else ()
    while (do := await choose(call, menu, *said)) not in (Do.SEND, None):
        match do:
            case Do.HEAR:
                said = letter.sounds
            case Do.URGENT:
                said = await letter.toggle_urgent()
            case Do.PRIVATE:
                said = await letter.toggle_private()
            case Do.AGAIN:
                said = () if await letter.record("record_at_tone", "tone") else ("too_short",)
            case Do.ADD:
                said = () if await letter.add("record_at_tone", "tone") else ("too_short",)
            case Do.CANCEL:
                return await letter.cancel()


def note(desk: Desk, call: Call, box: Letterbox, sender: UUID | None) -> SpoolEntry:
    """What is known of a caller's message before it is recorded."""
    invite, name = call.invite, uuid7()
    return SpoolEntry(
        id=name,
        extension=box.extension,
        mailbox_id=box.mailbox_id,
        caller=(invite.asserted or invite.caller)[:LONGEST_TEXT],
        caller_name=invite.caller_name[:LONGEST_TEXT],
        recorded=desk.now(),
        call_id=invite.call_id[:LONGEST_TEXT],
        addressees=box.addressees,
        envelope=noted(Envelope(sender=sender, dispatch=name if box.dispatch else None)),
    )
