"""A message while its author may still change it: recorded, recorded again, added to, sent or cancelled.

The rule of the hang-up: from the tone on, whoever hangs up sends what was said, unless it was cancelled.
So everything after the tone happens inside the guard of a `Letter`, which sends whatever has not been
cancelled, whether its author hung up at a prompt or something broke. A recording that replaces another
one takes its place only when it is long enough: hanging up right after "record again" loses nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import structlog

from sip import wav
from sip.call import Call, HungUp, RecordLimits, Sound
from store.ids import uuid7
from store.notes import envelope_of, noted
from store.spool import SpoolEntry
from voicemail.conversation.desk import Desk
from voicemail.delivery import Draft

log = structlog.get_logger()

WORD = 0.3
"""Seconds of the shortest answer: "yes"."""
TRIES = 3
"""How often somebody may end too short a recording before the call goes on without."""


class Letter:
    """Leaving the `async with` block, in whatever way, sends what is there, as long as `sends` is true;
    otherwise it is taken away.

    `entry` makes the note of the first recording: for whom, and from whom. What was changed since
    (`change`, `toggle_urgent`) goes on to hold when it is recorded again."""

    def __init__(self, desk: Desk, call: Call, entry: Callable[[], SpoolEntry], limits: RecordLimits) -> None:
        self._desk, self._call, self._entry, self._limits = desk, call, entry, limits
        self._draft: Draft | None = None
        self._cut_off = False
        self.sends = True
        """Whether the guard sends it: false for an author who wants unsent messages discarded."""
        self.ended_by = ""
        """How the latest recording ended."""
        self.sent = False
        """Whether it was sent, once the guard has been left."""
        self.stored = False
        """Whether the store holds it, once the guard has been left; else it waits in the spool."""
        self.last_words: tuple[Sound, ...] = ()
        """What is to be said of it when the guard has been left: sent, or cancelled."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._draft and not self.sends:
            log.info("message discarded: it was not sent", message_id=str(self._draft.entry.id))
            return await self.cancel()
        if self._draft:
            self.stored = await self._desk.delivery.deliver(self._draft, complete=not self._cut_off)
            self.sent, self.last_words = True, ("message_sent",)

    @property
    def entry(self) -> SpoolEntry | None:
        """What is noted of it; None before anything has been recorded, and when it was cancelled."""
        return self._draft.entry if self._draft else None

    @property
    def sounds(self) -> tuple[Sound, ...]:
        """What has been recorded, to be played back."""
        return (self._draft.path,) if self._draft else ()

    async def leave_blank(self) -> None:
        """Begin without a recording: another message is passed on as it is (SpoolEntry.forwards)."""
        draft = await self._desk.delivery.begin(self._note())
        self._draft = await self._desk.delivery.change(draft, complete=True, seconds=0.0)

    async def record(self, *before: Sound) -> bool:
        """Play `before`, record. A recording that is long enough replaces the earlier one; one that is
        not is dropped, and False. Raises OSError when the disk is full, and HungUp in `before`."""
        new = await self._take(*before)
        if new:
            old, self._draft = self._draft, new
            if old:
                await self._desk.delivery.drop(old)
        return new is not None

    async def first_recording(self, *before: Sound) -> bool:
        """As `record`, until one is long enough. False when the author gives up."""
        said = before
        for _ in range(TRIES):
            if await self.record(*said):
                return True
            said = ("too_short", "record_at_tone", "tone")
        return False

    async def add(self, *before: Sound) -> bool:
        """Play `before`, record, and put it behind what is there. False when it was too short."""
        more = await self._take(*before, behind=self._draft)
        if more and self._draft:
            self._draft = await self._desk.delivery.append(self._draft, more)
        return more is not None

    async def answer(self, longest: float, between: bytes, *before: Sound) -> bool:
        """Play `before`, record up to `longest` seconds and put it behind what is there, after the sound
        `between`. One word is an answer; False when there was none."""
        delivery, limits = self._desk.delivery, self._limits
        if self._draft:
            self._draft = await delivery.lengthen(self._draft, between)
        self._limits = replace(limits, longest=longest)
        more = await self._take(*before, behind=self._draft, shortest=WORD)
        self._limits = limits
        if more and self._draft:
            self._draft = await delivery.append(self._draft, more)
        elif more:
            self._draft = await self._long_enough(more)
        return more is not None

    async def _long_enough(self, draft: Draft) -> Draft:
        """A message of one word is kept, too."""
        delivery = self._desk.delivery
        missing = delivery.rules.shortest - (draft.entry.seconds or 0.0)
        return (
            await delivery.lengthen(draft, wav.SILENCE * round((missing + 0.1) * wav.RATE))
            if missing > 0
            else draft
        )

    async def change(self, **changes: Any) -> None:
        """Change the note's fields (addressees, envelope …), on disk when this returns. Does nothing
        before anything has been recorded."""
        if self._draft:
            self._draft = await self._desk.delivery.change(self._draft, **changes)

    async def toggle_urgent(self) -> tuple[Sound, ...]:
        """Mark it urgent, or no longer so; what to say about it."""
        if not self._draft:
            return ()
        await self.change(urgent=not self._draft.entry.urgent)
        return ("message_marked_urgent" if self._draft.entry.urgent else "urgent_removed",)

    async def toggle_private(self) -> tuple[Sound, ...]:
        """Mark it private, or no longer so; what to say about it."""
        if not self._draft:
            return ()
        was = envelope_of(self._draft.entry.envelope)
        await self.change(envelope=noted(replace(was, private=not was.private)))
        return ("private_removed" if was.private else "message_marked_private",)

    async def cancel(self) -> None:
        """Take it away for good."""
        draft, self._draft = self._draft, None
        if draft:
            await self._desk.delivery.drop(draft)
        self.last_words = ("message_cancelled",)

    async def _take(
        self, *before: Sound, behind: Draft | None = None, shortest: float | None = None
    ) -> Draft | None:
        """A recording in a file of its own; None, and no file, when it is too short. `behind` is what it will
        be put behind."""
        delivery = self._desk.delivery
        draft = await delivery.begin(self._note(behind), self._limits.longest)
        try:
            await self._call.play(*before)
            taken = await self._call.record(draft.path, self._limits)
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
        if taken.seconds < (delivery.rules.shortest if shortest is None else shortest):
            await delivery.drop(draft)
            return None
        self._cut_off = taken.ended_by == "cut-off"
        if taken.ended_by in ("hang-up", "cut-off"):  # delivered next: no need to note it on disk
            return replace(draft, entry=replace(draft.entry, seconds=taken.seconds))
        return await delivery.change(draft, complete=True, seconds=taken.seconds)

    def _note(self, behind: Draft | None = None) -> SpoolEntry:
        if not self._draft:
            return self._entry()
        return replace(
            self._draft.entry,
            id=uuid7(),
            recorded=self._desk.now(),
            complete=False,
            seconds=None,
            continues=behind.entry.id if behind else None,
            begun_at=behind.entry.seconds or 0.0 if behind else 0.0,
        )
