"""A caller leaves a message: greeting, tone, recording, and what to do with it.

The rule of the hang-up: from the tone on, whoever hangs up sends what was said, unless it was cancelled.
So everything after the tone happens inside `Letter`'s guard, which sends whatever has not been cancelled,
whether the caller hung up at a prompt or something broke. A recording that replaces another one takes
its place only when it is long enough: hanging up right after "record again" loses nothing.
"""

from dataclasses import replace
from enum import Enum, auto
from types import TracebackType
from typing import Self

import structlog

from sip.call import Call, HungUp, Sound
from sip.invite import Reason
from store.ids import uuid7
from store.spool import SpoolEntry
from voicemail.conversation.desk import Box, Desk
from voicemail.conversation.menu import Menu, choose
from voicemail.delivery import Draft

log = structlog.get_logger()

TRIES = 3
"""How often a caller may end too short a recording before the call does."""

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
        async with Letter(desk, call, box) as letter:
            if await first_recording(letter):
                await review(call, letter)
    except OSError as error:
        log.error("spool cannot be used", why=str(error))
        return await _refuse(call)
    await call.play(*letter.last_words)
    return Next.GOODBYE


def greeting(desk: Desk, box: Box) -> tuple[Sound, ...]:
    """The owner's recording, or the system's words with the extension digit by digit."""
    if box.greeting:
        return (box.greeting,)
    busy = box.reason is Reason.BUSY
    after = "default_greeting_after_busy" if busy else "default_greeting_after"
    return ("default_greeting_before", *desk.words.digits(box.extension), after)


async def first_recording(letter: "Letter") -> bool:
    """Until one is long enough. False when the caller gives up."""
    said: tuple[Sound, ...] = ("tone",)
    for _ in range(TRIES):
        if await letter.record(*said):
            return True
        said = ("too_short", "record_at_tone", "tone")
    return False


async def review(call: Call, letter: "Letter") -> None:
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


class Letter:
    """The message of one call while its caller may still change it. Leaving the `async with` block,
    in whatever way, sends what is there."""

    def __init__(self, desk: Desk, call: Call, box: Box) -> None:
        self._desk, self._call, self._box = desk, call, box
        self._draft: Draft | None = None
        self._cut_off = False
        self.ended_by = ""
        self.last_words: tuple[Sound, ...] = ("goodbye",)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._draft:
            await self._desk.delivery.deliver(self._draft, complete=not self._cut_off)
            self.last_words = ("message_sent", "goodbye")

    @property
    def sounds(self) -> tuple[Sound, ...]:
        """What has been recorded, to be played back."""
        return (self._draft.path,) if self._draft else ()

    async def record(self, *before: Sound) -> bool:
        """Play `before`, record. A recording that is long enough replaces the earlier one; one that is
        not is dropped, and False."""
        new = await self._take(*before)
        if new:
            old, self._draft = self._draft, new
            if old:
                await self._desk.delivery.drop(old)
        return new is not None

    async def add(self, *before: Sound) -> bool:
        """Play `before`, record, and put it behind what is there. False when it was too short."""
        more = await self._take(*before)
        if more and self._draft:
            self._draft = await self._desk.delivery.append(self._draft, more)
        return more is not None

    async def toggle_urgent(self) -> tuple[Sound, ...]:
        """Mark it urgent, or no longer so; what to say about it."""
        if not self._draft:
            return ()
        self._draft = await self._desk.delivery.change(self._draft, urgent=not self._draft.entry.urgent)
        return ("message_marked_urgent" if self._draft.entry.urgent else "urgent_removed",)

    async def cancel(self) -> None:
        """Take it away for good."""
        draft, self._draft = self._draft, None
        if draft:
            await self._desk.delivery.drop(draft)
        self.last_words = ("message_cancelled", "goodbye")

    async def _take(self, *before: Sound) -> Draft | None:
        """A recording in a file of its own; None, and no file, when it is too short."""
        delivery = self._desk.delivery
        draft = await delivery.begin(self._entry(), self._desk.limits.longest)
        try:
            await self._call.play(*before)
            taken = await self._call.record(draft.path, self._desk.limits)
        except HungUp:
            await delivery.drop(draft)
            raise
        except Exception:
            delivery.recover([draft.entry])
            raise
        self.ended_by = taken.ended_by
        log.info(
            "message recorded",
            message_id=str(draft.entry.id),
            seconds=round(taken.seconds, 1),
            ended_by=taken.ended_by,
        )
        if taken.seconds < delivery.rules.shortest:
            await delivery.drop(draft)
            return None
        self._cut_off = taken.ended_by == "cut-off"
        if taken.ended_by in (
            "hang-up",
            "cut-off",
        ):  # delivered next: no need to note it on disk
            return replace(draft, entry=replace(draft.entry, seconds=taken.seconds))
        return await delivery.change(draft, complete=True, seconds=taken.seconds)

    def _entry(self) -> SpoolEntry:
        user, invite = self._box.user, self._call.invite
        return SpoolEntry(
            id=uuid7(),
            extension=self._box.extension,
            mailbox_id=user.id if user else None,
            caller=(invite.asserted or invite.caller)[:LONGEST_TEXT],
            caller_name=invite.caller_name[:LONGEST_TEXT],
            recorded=self._desk.now(),
            urgent=bool(self._draft and self._draft.entry.urgent),
            call_id=invite.call_id[:LONGEST_TEXT],
        )


async def _refuse(call: Call) -> Next:
    await call.play("cannot_record_now", "goodbye")
    return Next.GOODBYE
