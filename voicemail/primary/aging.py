"""Messages grow old: new ones become saved, saved ones deleted, deleted ones are gone (policy `Aging`).

A round runs when this node takes over and every half an hour then. It goes in small batches with pauses
between, asks for the lease before each mark, and begins with what is gone for good, so that one round
never moves a message by more than one step. Two nodes that both think they are Primary, in a cut, make the
same marks: no harm. Broadcasts do not age: they end on their last day. Nor does what leaves for elsewhere.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from store.api import Store
from store.errors import NotFound, StoreError, Unavailable
from store.model import FIRST, Mark, Message, MessageKind
from voicemail import receipts
from voicemail.broadcasts import BROADCAST, HEARD, over
from voicemail.policy.book import aging_of
from voicemail.primary.clock import Clock
from voicemail.primary.lease import NotPrimary, Permit

log = structlog.get_logger()

EVERY = 30 * 60.0
"""Seconds between two rounds."""
AFTER_FAILURE = 60.0
LOOK = 5.0
"""Seconds between two looks at whether this node is Primary."""
PAGE = 500
"""Mailboxes that are looked through at once."""
BATCH = 50
"""Marks between two pauses."""
AGELESS = (MessageKind.BROADCAST, MessageKind.OUTGOING)
"""The first end on their last day, the others when all have them."""
PAUSE = 0.25
"""Seconds. Marks wait for the disk: 50 take about as long, so that at most half of it is ours."""


class Ager:
    """One for the process; `epoch` gives the epoch under which this node is Primary now, None when it is
    not, and `permit` raises NotPrimary."""

    def __init__(self, store: Store, clock: Clock, epoch: Callable[[], int | None], permit: Permit) -> None:
        self._store, self._clock, self._epoch, self._permit = store, clock, epoch, permit
        self._done_in: int | None = None
        self._next = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.turn()
            except Exception:
                log.exception("aging failed unexpectedly")
                self._next = self._clock.monotonic() + AFTER_FAILURE
                self._done_in = self._epoch()
            await self._sleep(LOOK)

    async def turn(self) -> None:
        """One round, if one is due."""
        epoch, now = self._epoch(), self._clock.monotonic()
        if epoch is None or (epoch == self._done_in and now < self._next):
            return
        try:
            await self.round()
        except NotPrimary:
            return
        except StoreError as error:
            log.warning("aging stopped for now", why=str(error))
            self._next = now + AFTER_FAILURE
        else:
            self._next = now + EVERY
        self._done_in = epoch

    async def round(self) -> None:
        """All that is old enough now. Raises NotPrimary and store errors."""
        policy = await aging_of(self._store)
        steps = (
            (Mark.PURGE, policy.deleted_to_gone),
            (Mark.DELETE, policy.saved_to_deleted),
            (Mark.READ, policy.new_to_saved),
        )
        now = self._clock.now()
        for mark, days in steps:
            if days:
                await self._age(mark, now - timedelta(days=days))
        if policy.deleted_to_gone:
            await self._end_dispatches(now - timedelta(days=policy.deleted_to_gone))
        await self._end_broadcasts(now)

    async def _age(self, mark: Mark, before: datetime) -> None:
        after, marked = FIRST, 0
        while boxes := await self._store.messages.mailboxes(after, PAGE):
            marked += await self._age_in(boxes, mark, before)
            after = boxes[-1]
        if marked:
            log.info("messages aged", mark=str(mark), messages=marked, before=before.isoformat())

    async def _age_in(self, boxes: Sequence[UUID], mark: Mark, before: datetime) -> int:
        """How many were marked in these mailboxes."""
        marked: set[UUID] = set()
        while ripe := [each for each in await self._ripe(mark, before, boxes) if each.id not in marked]:
            for start in range(0, len(ripe), BATCH):
                for message in ripe[start : start + BATCH]:
                    await self._tell_sender(message, mark)
                    await self._mark(message.id, mark)
                await self._sleep(PAUSE)
            marked.update(each.id for each in ripe)
        return len(marked)

    async def _ripe(self, mark: Mark, before: datetime, boxes: Sequence[UUID]) -> list[Message]:
        found = await self._store.messages.aged(mark, before, boxes)
        return [m for m in found if m.envelope.kind not in AGELESS]

    async def _tell_sender(self, message: Message, mark: Mark) -> None:
        """Before the mark, so that a crash between the two forgets nobody. Want of a receipt ages no less."""
        if mark is Mark.PURGE or not receipts.asked_for(message):
            return
        self._permit()
        try:
            if mark is Mark.READ:
                await receipts.grows_old(self._store, message)
            else:
                await receipts.expires(self._store, message)
        except Unavailable:
            raise
        except StoreError as error:
            log.warning("no receipt of aging", message_id=str(message.id), why=str(error))

    async def _mark(self, message: UUID, mark: Mark) -> None:
        self._permit()
        try:
            await self._store.messages.mark(message, mark)
        except NotFound:
            log.info("message is gone already", message_id=str(message))

    async def _end_dispatches(self, before: datetime) -> None:
        """Copies of dispatch messages that others hold go as deleted ones do; then the answers, once no copy
        is left."""
        for message in await self._store.dispatches.left_over(before):
            await self._mark(message, Mark.PURGE)
        for each in await self._store.dispatches.all():
            if not each.mailboxes and each.answered_before(before):
                self._permit()
                await self._store.dispatches.forget(each)
                log.info("dispatch forgotten", dispatch=str(each.id), answers=len(each.answers))

    async def _end_broadcasts(self, now: datetime) -> None:
        """What nobody shall hear any more goes, and who has heard it is forgotten."""
        for each in await self._store.settings.all(BROADCAST):
            if over(each.body, now):
                await self._mark(UUID(each.name), Mark.PURGE)
                await self._forget(each.name)
                await self._store.settings.remove(BROADCAST, each.name)
                log.info("broadcast ended", message_id=each.name)

    async def _forget(self, name: str) -> None:
        for each in await self._store.settings.owned(HEARD):
            if each.name == name:
                self._permit()
                await self._store.settings.remove(HEARD, name, each.owner)

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.monotonic() + seconds, asyncio.Event())
