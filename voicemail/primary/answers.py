"""What the Primary's process answers when the supervisor asks: of lamps and of the outbox.

The supervisor passes on what an administrator typed on either server (supervise/duties.py). What is known
of destinations and of tries is this process's own, so nobody else can say it. Answers are bounded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from store.api import Store
from store.errors import StoreError
from store.model import Waiting, Work
from voicemail.errors import VoicemailError
from voicemail.primary.agenda import Agenda
from voicemail.primary.clock import Clock
from voicemail.primary.lamps import trunk_name
from voicemail.primary.notifier import Notifier
from voicemail.primary.places import Lamp
from voicemail.primary.returns import drop
from voicemail.primary.runner import Runner
from voicemail.primary.work import LONG_AGO, Lane, Place, Trouble

SHOWN = 200
"""Lamps that are not taken, the latest first."""
LISTED = 1000
"""Rows of the outbox in one answer."""
LOOKED_AT = 20_000
"""Rows of the outbox among which they are sought."""
PHONES = "phones"
"""A word for all edges."""

log = structlog.get_logger()
Answer = dict[str, Any]


class Answers:
    """The table of questions, for control.serve_at."""

    def __init__(
        self, store: Store, agenda: Agenda, runner: Runner, notifier: Notifier, clock: Clock
    ) -> None:
        self._store, self._agenda, self._runner = store, agenda, runner
        self._notifier, self._clock = notifier, clock
        self._table: dict[str, Callable[[Answer], Awaitable[Answer]]] = {
            "mwi-resync": self.resync,
            "mwi-status": self.status,
            "outbox-list": self.work,
            "outbox-retry": self.retry,
            "outbox-drop": self.drop,
        }

    async def answer(self, asked: Answer) -> Answer:
        """Raises VoicemailError, in words for a person."""
        if not (run := self._table.get(str(asked["command"]))):
            raise VoicemailError(f"there is no command {asked['command']!r}")
        if not self._runner.on_duty:
            raise VoicemailError("this server does not do the Primary's work at the moment")
        try:
            return await run(asked)
        except StoreError as error:
            raise VoicemailError(f"the store does not answer: {error}") from None

    # ---- lamps

    async def resync(self, asked: Answer) -> Answer:
        """Send lamps again: of "what" (a trunk, "phones", an edge, or a user's number), or all."""
        what = str(asked.get("what") or "")
        by_lane = self._wanted(what)
        for lane, lamps in by_lane.items():
            self._runner.send_again(lane, lamps)
        count = sum(
            len(lamps if lamps is not None else list(self._notifier.subjects(lane)))
            for lane, lamps in by_lane.items()
        )
        log.info("lamps are sent again on request", what=what or "all", lamps=count)
        silent = [lane for lane in by_lane if self._agenda.lanes[lane].failures]
        more = f"; {', '.join(silent)} did not answer and is asked first" if silent else ""
        return {"said": f"{count} lamps are sent again, {self._agenda.pace:g} a second at most{more}"}

    def _wanted(self, what: str) -> dict[str, list[Lamp] | None]:
        """Lamps by destination; None: all of it. Raises VoicemailError."""
        lanes = [lane for lane in self._notifier.lanes() if lane in self._agenda.lanes]
        chosen = [lane for lane in lanes if what in ("", lane, trunk_name(lane))]
        if what == PHONES:
            chosen = [lane for lane in lanes if lane in self._notifier.where.edges]
        if chosen:
            return dict.fromkeys(chosen)
        user = self._notifier.directory.having(what)
        if user is None:
            known = ", ".join(name for lane in lanes if (name := trunk_name(lane)))
            raise VoicemailError(
                f"{what!r} is no trunk with lamps ({known or 'there is none'}), not {PHONES!r}, and no user"
            )
        found: dict[str, list[Lamp] | None] = {}
        for lane, lamp in self._notifier.directory.places(user, self._notifier.where):
            if lane in lanes:
                found[lane] = [*(found.get(lane) or ()), lamp]
        return found

    async def status(self, _: Answer) -> Answer:
        """Every destination of lamps, and the lamps that are not taken."""
        troubles = list(self._agenda.troubles.all.items())
        lanes = [lane for lane in self._agenda.lanes.values() if lane.lamps]
        return {
            "destinations": [self._lane(lane) for lane in lanes],
            "lamps": [self._lamp(*each) for each in reversed(troubles[-SHOWN:])],
            "not_taken": len(troubles),
        }

    def _lane(self, lane: Lane) -> Answer:
        lamps = [place for place in self._agenda.troubles.all if place[0] == lane.name]
        return {
            "destination": lane.name,
            "state": _state(lane),
            "lamps": sum(1 for _ in self._notifier.subjects(lane.name)) if lane.lamps else None,
            "to_send": len({*lane.fresh, *lane.routine, *lane.flying}),
            "not_taken": len(lamps),
            "answered": self._moment(lane.answered),
            **self._trouble(lane.trouble),
        }

    def _lamp(self, place: Place, trouble: Trouble) -> Answer:
        lane, lamp = place
        known = isinstance(lamp, Lamp)
        user = self._notifier.directory.users.get(lamp.mailbox) if isinstance(lamp, Lamp) else None
        return {
            "destination": lane,
            "lamp": lamp.number if isinstance(lamp, Lamp) and known else str(lamp),
            "user": user.extension if user else None,
            **self._trouble(trouble),
        }

    def _trouble(self, trouble: Trouble | None) -> Answer:
        if trouble is None:
            return {"why": None, "since": None, "tries": None, "next_try": None}
        return {
            "why": trouble.why,
            "since": self._moment(trouble.since),
            "tries": trouble.tries,
            "next_try": self._moment(trouble.again),
        }

    def _moment(self, moment: float) -> str | None:
        """A moment of the monotonic clock as the time of day."""
        if moment == LONG_AGO:
            return None
        return _told(self._clock.now() + timedelta(seconds=moment - self._clock.monotonic()))

    # ---- the outbox

    async def work(self, asked: Answer) -> Answer:
        """What was tried in vain, or with "all" everything that is left; of one "kind" or of every."""
        kind, everything = str(asked.get("kind") or ""), bool(asked.get("all"))
        waiting = await self._store.outbox.listed(LOOKED_AT)
        found = [each for each in waiting if kind in ("", each.item.kind.value)]
        wanted = [each for each in found if everything or each.item.attempts]
        others = [lane for lane in self._agenda.lanes.values() if not lane.lamps]
        return {
            "work": await asyncio.to_thread(rows, wanted[:LISTED]),
            "left_out": max(0, len(wanted) - LISTED),
            "waiting": len(found),
            "destinations": [self._lane(lane) for lane in others[:SHOWN]],
        }

    async def retry(self, asked: Answer) -> Answer:
        """Try one item ("id") or all now that were tried in vain, and whoever was silent."""
        waiting = await self._store.outbox.listed(LOOKED_AT)
        wanted = [each.item.id for each in waiting if each.item.attempts]
        if given := str(asked.get("id") or ""):
            wanted = [_waiting_id(waiting, given)]
        count = await self._store.outbox.hurry(wanted)
        self._runner.hurry()
        log.info("outbox items are tried again on request", items=count, asked=given or "all")
        if given and not count:
            return {"said": f"{given} was not tried yet; it will be when its turn comes"}
        return {"said": f"{count} {'is' if count == 1 else 'are'} tried again now"}

    async def drop(self, asked: Answer) -> Answer:
        """Give one item ("id") up; "dropped" is False when there is none."""
        try:
            item = UUID(str(asked.get("id") or ""))
        except ValueError:
            return {"dropped": False}
        return {"dropped": await drop(self._store, item)}


def rows(waiting: Iterable[Waiting]) -> list[Answer]:
    """As administrators see them, here and where the Primary cannot be asked."""
    return [
        {
            "id": str(each.item.id),
            "kind": each.item.kind.value,
            "mailbox": str(each.item.mailbox_id) if each.item.kind is not Work.ALARM else None,
            "message": str(each.item.message_id) if each.item.message_id else None,
            "created": _told(each.item.created),
            "tries": each.item.attempts,
            "next_try": _told(each.until) if each.until else None,
            "why": each.why,
        }
        for each in waiting
    ]


def _waiting_id(waiting: Iterable[Waiting], given: str) -> UUID:
    """Raises VoicemailError."""
    for each in waiting:
        if str(each.item.id) == given.lower():
            return each.item.id
    raise VoicemailError(f"nothing in the outbox has the id {given}")


def _state(lane: Lane) -> str:
    if lane.failures:
        return "does not answer"
    return "not tried yet" if lane.answered == LONG_AGO else "answers"


def _told(moment: datetime) -> str:
    return moment.isoformat("T", "seconds")
