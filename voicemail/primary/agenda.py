"""Which work comes next: pure (no store, no network, no clock), told by the runner what happened.

Each destination (a trunk, an edge, a mail host) has a lane of its own, so that a dead one delays
nobody else. A lane holds *fresh* work, which comes from the outbox, and *routine* work, which only
repeats a state (a lamp re-sent at takeover); fresh goes first, routine is paced.

Work is filed under a *subject*: a lamp of a mailbox, or one mail. Items with the same subject are one
job: a lamp shows a state, so the newest state serves all items that asked for it. A subject is never
twice in flight to one destination, so states cannot overtake each other.

An item is finished when all its places are (a subject in a lane). If one failed, the item is postponed in
the store, and when it comes back only what failed is tried. What the agenda knows beyond the store is only
a saving: a new Primary that knows nothing repeats lamps and at most the mails that were in hand.

A destination that does not answer at all closes its lane for 5 s, doubling up to a minute: its items
are postponed at once, so that they take no place, and then one job goes first to see whether it is
back. If so, every lamp behind it is sent again, since a PBX forgets its lamps when it restarts.

A lamp that is not taken by a destination that works (404, 481) rests for a while that doubles
(troubles.py), whatever asks for it meanwhile. A lane that has no room leaves work where it is, in the
store, and `hungry` says when it should be fetched again.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from store.model import OutboxItem
from voicemail.primary.backoff import backoff
from voicemail.primary.troubles import Troubles
from voicemail.primary.work import (
    LONG_AGO,
    Done,
    Held,
    Job,
    Lane,
    Outcome,
    Place,
    Plan,
    Postpone,
    Recovered,
    Step,
    Subject,
    Trouble,
    Verdict,
    first,
)

__all__ = [
    "Agenda",
    "Done",
    "Job",
    "Outcome",
    "Plan",
    "Postpone",
    "Recovered",
    "Step",
    "Subject",
    "Verdict",
]

LONGEST_CLOSED = timedelta(minutes=1)
ALIVE = 3.0
"""Seconds for which an answer proves that a destination is there: longer than a lamp is repeated (2 s)."""
BURST = 0.1
"""Seconds of routine work that are made up for when the process was busy."""
STORE_REST = 1.0
"""Seconds without any work after the store did not answer."""


class Agenda:
    """`random` gives 0 <= x < 1; `pace` is how many routine jobs start in a second at most, any second."""

    def __init__(self, random: Callable[[], float], pace: float = 500.0) -> None:
        self.pace, self._random, self._gap = pace, random, (1 + BURST) / pace
        self.lanes: dict[str, Lane] = {}
        self.troubles = Troubles(random)
        self.hungry = False
        """A lane that left work in the store has room again."""
        self._held: dict[UUID, Held] = {}
        self._satisfied: dict[UUID, set[Place]] = {}
        self._next_routine = self._paused_until = LONG_AGO

    # -- what there is to do ---------------------------------------------------------------------

    def open_lane(self, name: str, *, limit: int = 16, room: int = 5000, lamps: bool = True) -> None:
        self.lanes.setdefault(name, Lane(name, limit, room, lamps))

    def close_lane(self, name: str) -> list[Step]:
        """There is no such destination any longer: nothing is owed to it."""
        lane = self.lanes.pop(name)
        self.troubles.forget_lane(name)
        return [
            step
            for subject, item in lane.held()
            for step in self._settled(item, (name, subject), "no such destination now")
        ]

    def reopen(self) -> None:
        """Try every destination now: that it was silent may have been our own network's fault. All its
        lamps must then be sent again."""
        for lane in self.lanes.values():
            lane.failures, lane.closed_until, lane.trouble = 0, LONG_AGO, None
        self.troubles.clear()

    def hurry(self, lane: str, now: float) -> None:
        """Try this destination now; it is still one that failed last, so with one job only."""
        self.lanes[lane].closed_until = LONG_AGO
        self.troubles.hurry([place for place in self.troubles.all if place[0] == lane], now)

    def holds(self, item: OutboxItem) -> bool:
        return item.id in self._held

    @property
    def in_hand(self) -> int:
        return len(self._held)

    def add(self, item: OutboxItem, plan: Plan, now: float) -> list[Step]:
        """Work from the outbox. An item in hand already is left alone. One that is not in hand afterwards,
        though nothing followed, was left in the store for want of room."""
        if self.holds(item):
            return []
        satisfied = self._satisfied.get(item.id, set())
        owed = {place for place in plan.places - satisfied if place[0] in self.lanes}
        self._held[item.id] = Held(item, owed)
        steps: list[Step] = [] if owed else [Done(item, plan.otherwise)]
        for name, subject in sorted(owed, key=lambda place: (place[0], str(place[1]))):
            steps += self._file(self.lanes[name], item, subject, now)
        return steps

    def reassert(self, name: str, subjects: Iterable[Subject], *, changed: bool = False) -> None:
        """Send these again, at leisure, `changed` ones first; a lane that is closed does so by itself when
        it recovers, and what rests does when its time has come."""
        lane = self.lanes.get(name)
        if lane and not lane.failures:
            wanted = {subject: None for subject in subjects if (name, subject) not in self.troubles.all}
            lane.routine = {**wanted, **lane.routine} if changed else {**lane.routine, **wanted}

    def forget(self, item: OutboxItem, *, ended: bool) -> None:
        """The store has recorded what became of the item: ended for good, or postponed."""
        self._held.pop(item.id, None)
        if ended:
            self._satisfied.pop(item.id, None)

    def abandon(self) -> None:
        """Somebody else is Primary: drop everything, also what is in flight."""
        for lane in self.lanes.values():
            lane.flying.clear()
        self._held.clear()
        self.clear()

    def clear(self) -> None:
        """The lease is over: nothing waits any longer; what is in flight will still report."""
        for lane in self.lanes.values():
            lane.fresh.clear()
            lane.routine.clear()
            lane.left = False
        self.hungry = False
        self.troubles.clear()
        self._satisfied.clear()
        for held in [held for held in self._held.values() if held.places]:
            flying = {
                (name, subject)
                for name, subject in held.places
                if name in self.lanes and self.lanes[name].carries(subject, held.item)
            }
            held.again |= flying != held.places
            held.places = flying
            if not flying:
                self.forget(held.item, ended=False)

    # -- what to do now --------------------------------------------------------------------------

    def ready(self, now: float) -> list[Job]:
        """The jobs to start now; each must be answered by `finished` and then `landed`."""
        jobs: list[Job] = []
        if now < self._paused_until:
            return jobs
        for name, subject in self.troubles.due(now):
            if (lane := self.lanes.get(name)) and not lane.failures:
                lane.routine.setdefault(subject)
        for lane in self.lanes.values():
            while job := self._fresh(lane, now):
                jobs.append(job)
        while job := self._routine(now):
            jobs.append(job)
        return jobs

    def wake_at(self, now: float) -> float | None:
        """When `ready` may give more without anything having happened; None: not before."""
        moments = [lane.opens(self._next_routine) for lane in self.lanes.values()]
        known = [moment for moment in (*moments, self.troubles.next) if moment is not None]
        return max(now, self._paused_until, min(known)) if known else None

    def landed(self, job: Job) -> None:
        """The store has recorded what followed from the job: its place is free. Not earlier, so that never
        more is done but unrecorded (and repeated, if we die now) than a lane takes at once."""
        lane = self.lanes.get(job.lane)
        if lane and lane.flying.get(job.subject) is job:
            del lane.flying[job.subject]
        if lane and lane.left and len(lane.fresh) <= lane.room // 2:
            lane.left, self.hungry = False, True

    def finished(self, job: Job, outcome: Outcome, now: float) -> list[Step]:
        """What follows from the end of a job that `ready` gave. Its place is free when it has `landed`."""
        lane = self.lanes.get(job.lane)
        if lane is None or lane.flying.get(job.subject) is not job:
            return []
        match outcome.verdict:
            case Verdict.SENT | Verdict.REFUSED:
                result = outcome.text if outcome.verdict is Verdict.SENT else f"refused: {outcome.text}"
                self.troubles.cleared(job.place)
                again = self._answers(lane, now) or [Recovered(lane.name, forgot=True)] * outcome.lost
                return [*self._each(job.items, job.place, result), *again]
            case Verdict.SILENT if now - lane.answered < ALIVE:  # packets are lost, but not all
                self._rest(lane, job, outcome, now, patient=True)
                return self._put_off(lane, job.subject, job.items, outcome.text, now)
            case Verdict.FAILED:
                steps = self._answers(lane, now)
                self._rest(lane, job, outcome, now)
                return [*steps, *self._put_off(lane, job.subject, job.items, outcome.text, now)]
            case Verdict.SILENT:
                steps = self._shut(lane, job, outcome, now)
                return [*steps, *self._put_off(lane, job.subject, job.items, outcome.text, now)]
            case Verdict.UNKNOWN:
                self._paused_until = now + STORE_REST
        if not job.items:
            lane.routine[job.subject] = None
        return [step for item in job.items for step in self._released(item, job.place)]

    def trouble(self, job: Job) -> tuple[Trouble | None, Trouble | None]:
        """What is wrong with the destination of a job, and with its lamp."""
        lane = self.lanes.get(job.lane)
        return lane.trouble if lane else None, self.troubles.all.get(job.place)

    # -- inside ----------------------------------------------------------------------------------

    def _file(self, lane: Lane, item: OutboxItem, subject: Subject, now: float) -> list[Step]:
        if now < lane.closed_until:
            return self._put_off(lane, subject, (item,), _why(lane.trouble), now)
        if self.troubles.rests((lane.name, subject), now):
            trouble = self.troubles.all[lane.name, subject]
            return self._put_off(lane, subject, (item,), _why(trouble), now)
        if waiting := lane.fresh.get(subject):
            waiting.append(item)
        elif len(lane.fresh) >= lane.room:
            lane.left = True
            return self._released(item, (lane.name, subject))
        else:
            lane.fresh[subject] = [item]
        return []

    def _fresh(self, lane: Lane, now: float) -> Job | None:
        if now < lane.closed_until or lane.full:
            return None
        subject = first(lane.fresh, lane.flying)
        if subject is None:
            return None
        lane.routine.pop(subject, None)
        return self._started(lane, Job(lane.name, subject, tuple(lane.fresh.pop(subject))))

    def _routine(self, now: float) -> Job | None:
        """One more of what is repeated at leisure, in turn among the destinations."""
        if now < self._next_routine:
            return None
        for lane in sorted(self.lanes.values(), key=lambda lane: lane.routine_at):
            subject = first(lane.routine, lane.flying)
            if now < lane.closed_until or lane.full or subject is None:
                continue
            del lane.routine[subject]
            self._next_routine = lane.routine_at = max(self._next_routine, now - BURST) + self._gap
            return self._started(lane, Job(lane.name, subject))
        return None

    def _started(self, lane: Lane, job: Job) -> Job:
        lane.flying[job.subject] = job
        return job

    def _answers(self, lane: Lane, now: float) -> list[Step]:
        was, lane.failures, lane.closed_until, lane.answered = lane.failures, 0, LONG_AGO, now
        lane.trouble = None
        if was:
            self.troubles.forget_lane(lane.name)  # it was restarted, perhaps with all that it lacked
        return [Recovered(lane.name)] if was and lane.lamps else []

    def _shut(self, lane: Lane, job: Job, outcome: Outcome, now: float) -> list[Step]:
        """Several jobs in flight that fail together count as one failure."""
        if now < lane.closed_until:
            return []
        lane.failures += 1
        pause = backoff(lane.failures, self._random, LONGEST_CLOSED)
        lane.closed_until = now + pause.total_seconds()
        since = lane.trouble.since if lane.trouble else now
        lane.trouble = Trouble(since, now, lane.failures, outcome.text, lane.closed_until)
        waiting, lane.fresh = lane.fresh, {}
        lane.routine = {job.subject: None} if lane.lamps else {}
        return [
            step
            for subject, items in waiting.items()
            for step in self._put_off(lane, subject, items, outcome.text, now)
        ]

    def _rest(self, lane: Lane, job: Job, outcome: Outcome, now: float, *, patient: bool = False) -> None:
        """A lamp that was not taken is tried again by itself. A mail has its item for that."""
        if lane.lamps:
            self.troubles.note(job.place, outcome.text, now, patient=patient)

    def _put_off(
        self, lane: Lane, subject: Subject, items: Sequence[OutboxItem], why: str, now: float
    ) -> list[Step]:
        """Of several items that ask for one lamp the newest is kept for later; it does for all."""
        if not items:
            return []
        *older, newest = sorted(items, key=lambda i: (i.created, i.id))
        place = lane.name, subject
        rest, closed = self.troubles.rests(place, now), max(0.0, lane.closed_until - now)
        delay = timedelta(seconds=max(rest, closed))
        if not rest:  # a lamp that rests has its own back-off, longer or shorter than this item's
            delay = max(backoff(newest.attempts + 1, self._random), delay)
        steps = self._each(older, place, "a newer one was kept")
        return [*steps, *self._failed(newest, place, why, delay)]

    def _each(self, items: Iterable[OutboxItem], place: Place, result: str) -> list[Step]:
        return [step for item in items for step in self._settled(item, place, result)]

    def _settled(self, item: OutboxItem, place: Place, result: str) -> list[Step]:
        if held := self._held.get(item.id):
            self._satisfied.setdefault(item.id, set()).add(place)
            held.result = result
        return self._leave(item, place)

    def _failed(self, item: OutboxItem, place: Place, why: str, delay: timedelta) -> list[Step]:
        if held := self._held.get(item.id):
            held.failed.append(f"{place[0]}: {why}")
            held.delay = max(held.delay, delay)
        return self._leave(item, place)

    def _released(self, item: OutboxItem, place: Place) -> list[Step]:
        if held := self._held.get(item.id):
            held.again = True
        return self._leave(item, place)

    def _leave(self, item: OutboxItem, place: Place) -> list[Step]:
        """The item waits no longer for this place. When it waits for none, it ends: postponed if one
        failed, released without a word (to be fetched again) if one could not be tried, else done."""
        held = self._held.get(item.id)
        if held is None or place not in held.places:
            return []
        held.places.discard(place)
        if held.places:
            return []
        if held.failed:
            return [Postpone(item, held.delay, "; ".join(held.failed))]
        if held.again:
            self.forget(item, ended=False)
            return []
        return [Done(item, held.result)]


def _why(trouble: Trouble | None) -> str:
    return f"{trouble.why}; it is tried again later" if trouble else "the destination does not answer"
