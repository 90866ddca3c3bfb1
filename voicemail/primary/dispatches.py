"""After a cut in which a dispatch message was accepted on both sides: the last acceptance owns it, and
whoever accepted before is told (functions.md section 1.4). The lamps of all who had it are told their counts
again.

Who has it is clear without this, on both nodes and at once (store/dispatch.py); here it is only told. A look
costs one short question to the store; messages and work have ids made of what they are for, so a repeat by
whoever is Primary next adds nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID, uuid5

import structlog

from sip import wav
from store.api import Store
from store.dispatch import Dispatch
from store.errors import StoreError
from store.model import Answer, Answered, Envelope, MessageKind, NewMessage, NewWork, Work
from voicemail.primary.clock import Clock
from voicemail.primary.lease import NotPrimary, Permit
from voicemail.receipts import SILENCE

log = structlog.get_logger()

EVERY = 2.0
"""Seconds between two looks."""


class Dispatches:
    """One for the process; `epoch` gives the epoch under which this node is Primary, None when it is not."""

    def __init__(self, store: Store, clock: Clock, epoch: Callable[[], int | None], permit: Permit) -> None:
        self._store, self._clock, self._epoch, self._permit = store, clock, epoch, permit
        self._stamp: object = None
        self._settled: dict[UUID, tuple[Answered, ...]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._turn()
            await self._clock.sleep_until(self._clock.monotonic() + EVERY, asyncio.Event())

    async def _turn(self) -> None:
        if self._epoch() is None:
            self._stamp, self._settled = None, {}
            return
        try:
            await self.round()
        except NotPrimary:
            return
        except StoreError as error:
            log.warning("dispatch messages are settled later", why=str(error))
        except Exception:
            log.exception("settling dispatch messages failed unexpectedly")

    async def round(self) -> None:
        """All that has not been told yet. Raises NotPrimary and store errors."""
        stamp = await self._store.dispatches.stamp()
        if stamp == self._stamp:
            return
        answered = await self._store.dispatches.all()
        for each in answered:
            if in_dispute(each) and self._settled.get(each.id) != each.answers:
                await self._settle(each)
                self._settled[each.id] = each.answers
        self._settled = {each.id: self._settled[each.id] for each in answered if each.id in self._settled}
        self._stamp = stamp

    async def _settle(self, dispatch: Dispatch) -> None:
        for overruled in dispatch.overruled:
            await self._tell(dispatch, overruled)
        self._permit()
        await self._store.outbox.add(lamps(dispatch))
        log.info("dispatch settled", dispatch=str(dispatch.id), overruled=len(dispatch.overruled))

    async def _tell(self, dispatch: Dispatch, overruled: Answered) -> None:
        """A message to whoever it is no longer."""
        winner = await self._store.users.get(dispatch.answers[-1].mailbox_id)
        message = NewMessage(
            id=uuid5(overruled.message_id, "overruled"),
            mailbox_id=overruled.mailbox_id,
            caller=winner.extension if winner else "",
            caller_name=winner.name if winner else "",
            recorded=self._clock.now(),
            seconds=wav.PLAYABLE / wav.RATE,
            envelope=Envelope(
                MessageKind.OVERRULED, sender=winner.id if winner else None, about=overruled.message_id
            ),
        )
        self._permit()
        kept = await self._store.messages.deposit(message, SILENCE)
        log.info(
            "acceptance overruled",
            message_id=str(overruled.message_id),
            mailbox=str(overruled.mailbox_id),
            by=str(dispatch.answers[-1].mailbox_id),
            repeated=kept.repeated,
        )


def in_dispute(dispatch: Dispatch) -> bool:
    """Whether answers were given that only a cut allows: accepted twice, or declined by all. Pure."""
    declined = {each.mailbox_id for each in dispatch.answers if each.answer is Answer.DECLINE}
    return bool(dispatch.overruled) or (bool(dispatch.mailboxes) and declined >= set(dispatch.mailboxes))


def lamps(dispatch: Dispatch) -> Sequence[NewWork]:
    """Once for these answers, however often it is written."""
    state = "/".join(f"{each.hlc}-{each.node}" for each in dispatch.answers)
    boxes = dict.fromkeys((*dispatch.mailboxes, *(each.mailbox_id for each in dispatch.answers)))
    return [NewWork(uuid5(dispatch.id, f"{state}/{box}"), Work.LAMP, box) for box in boxes]
