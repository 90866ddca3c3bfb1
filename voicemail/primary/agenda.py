"""Which work comes next: pure (no store, no network, no clock), told by the runner what happened.

Each destination (a trunk, an edge, a mail host) has a lane of its own, so that a dead one delays
nobody else. A lane holds *fresh* work, which comes from the outbox, and *routine* work, which only
repeats a state (a lamp re-sent at takeover); fresh goes first, routine is paced.

Work is filed under a *subject*: the lamp of a mailbox, or one mail. Items with the same subject are one
job: a lamp shows a state, so the newest state serves all items that asked for it. A subject is never
twice in flight to one destination, so states cannot overtake each other.

An item is finished when all its lanes are. If a lane failed, the item is postponed in the store, and
when it comes back only the lanes that failed are tried. What the agenda knows beyond the store is only
a saving: a new Primary that knows nothing repeats lamps and at most the mails that were in hand.

A destination that does not answer at all closes its lane for 5 s, doubling up to a minute: its items
are postponed at once, so that they take no place, and then one job goes first to see whether it is
back. If so, every lamp behind it is sent again, since a PBX forgets its lamps when it restarts.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from store.model import OutboxItem
from voicemail.primary.backoff import backoff

LONG_AGO = float("-inf")
LONGEST_CLOSED = timedelta(minutes=1)
ALIVE = 3.0
"""Seconds for which an answer proves that a destination is there: longer than a lamp is repeated (2 s)."""
STORE_REST = 1.0
"""Seconds without any work after the store did not answer."""

Subject = Hashable


class Verdict(StrEnum):
    """How a job ended."""

    SENT = "sent"
    REFUSED = "refused"
    """For good: repeating it would change nothing."""
    FAILED = "failed"
    """This one was not taken now; the destination works."""
    SILENT = "silent"
    """The destination does not answer at all, or takes nothing from us."""
    UNKNOWN = "unknown"
    """The store did not say what to send, so nothing was sent."""
    STOPPED = "stopped"
    """The lease was over before the act."""


@dataclass(frozen=True, slots=True)
class Outcome:
    verdict: Verdict
    text: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """To be done now. Without items it is routine. What is sent must be read from the store after the job
    was given out, hence after its items were fetched."""

    lane: str
    subject: Subject
    items: tuple[OutboxItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an item has to go; `otherwise` is its result when there is nowhere to go."""

    subject: Subject
    lanes: frozenset[str] = frozenset()
    otherwise: str = "nothing to tell"


@dataclass(frozen=True, slots=True)
class Done:
    item: OutboxItem
    result: str


@dataclass(frozen=True, slots=True)
class Postpone:
    item: OutboxItem
    delay: timedelta
    why: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """The destination of this lane answers again: its lamps must be sent again."""

    lane: str


Step = Done | Postpone | Recovered


@dataclass(slots=True)
class Lane:
    """`limit` jobs at once; at most `room` subjects wait, more are postponed. `lamps`: the work is state,
    so that older items of a subject are settled by newer ones and recovery means sending all again."""

    name: str
    limit: int
    room: int
    lamps: bool
    fresh: dict[Subject, list[OutboxItem]] = field(default_factory=dict)
    routine: dict[Subject, None] = field(default_factory=dict)
    flying: dict[Subject, Job] = field(default_factory=dict)
    failures: int = 0
    closed_until: float = LONG_AGO
    answered: float = LONG_AGO
    """When somebody was there last."""
    routine_at: float = LONG_AGO
    """When routine work last started here: who waited longest is next."""

    @property
    def full(self) -> bool:
        """A lane that failed last is tried with one job only."""
        return len(self.flying) >= (1 if self.failures else self.limit)

    def carries(self, item: OutboxItem) -> bool:
        """Whether the item is in flight here."""
        return any(item in job.items for job in self.flying.values())

    def opens(self, next_routine: float) -> float | None:
        """When a job may start here without any other ending before; None: not before."""
        if self.full:
            return None
        if _first(self.fresh, self.flying) is not None:
            return self.closed_until
        if _first(self.routine, self.flying) is not None:
            return max(self.closed_until, next_routine)
        return None


@dataclass(slots=True)
class Held:
    """An item in hand: the lanes it still waits for, and what went wrong in others."""

    item: OutboxItem
    lanes: set[str]
    failed: list[str] = field(default_factory=list)
    delay: timedelta = timedelta(0)
    again: bool = False
    result: str = ""


class Agenda:
    """`random` gives 0 <= x < 1; `pace` is how many routine jobs start in a second."""

    def __init__(self, random: Callable[[], float], pace: float = 500.0) -> None:
        self._random, self._gap = random, 1 / pace
        self.lanes: dict[str, Lane] = {}
        self._held: dict[UUID, Held] = {}
        self._satisfied: dict[UUID, set[str]] = {}
        self._next_routine = self._paused_until = LONG_AGO

    # -- what there is to do ---------------------------------------------------------------------

    def open_lane(self, name: str, *, limit: int = 16, room: int = 5000, lamps: bool = True) -> None:
        self.lanes.setdefault(name, Lane(name, limit, room, lamps))

    def close_lane(self, name: str) -> list[Step]:
        """There is no such destination any longer: nothing is owed to it."""
        lane = self.lanes.pop(name)
        items = [item for waiting in lane.fresh.values() for item in waiting]
        items += [item for job in lane.flying.values() for item in job.items]
        return [step for item in items for step in self._settled(item, name, "no such destination now")]

    def reopen(self) -> None:
        """Try every destination now: that it was silent may have been our own network's fault. All its
        lamps must then be sent again."""
        for lane in self.lanes.values():
            lane.failures, lane.closed_until = 0, LONG_AGO

    def holds(self, item: OutboxItem) -> bool:
        return item.id in self._held

    @property
    def in_hand(self) -> int:
        return len(self._held)

    def add(self, item: OutboxItem, plan: Plan, now: float) -> list[Step]:
        """Work from the outbox. An item in hand already is left alone."""
        if self.holds(item):
            return []
        owed = self.lanes.keys() & plan.lanes - self._satisfied.get(item.id, set())
        self._held[item.id] = Held(item, set(owed))
        steps: list[Step] = [] if owed else [Done(item, plan.otherwise)]
        for name in sorted(owed):
            steps += self._file(self.lanes[name], item, plan.subject, now)
        return steps

    def reassert(self, name: str, subjects: Iterable[Subject]) -> None:
        """Send these again, at leisure; a lane that is closed does so by itself when it recovers."""
        lane = self.lanes.get(name)
        if lane and not lane.failures:
            lane.routine.update(dict.fromkeys(subjects))

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
        self._satisfied.clear()
        for held in [held for held in self._held.values() if held.lanes]:
            flying = {
                name for name in held.lanes if name in self.lanes and self.lanes[name].carries(held.item)
            }
            held.again |= flying != held.lanes
            held.lanes = flying
            if not flying:
                self.forget(held.item, ended=False)

    # -- what to do now --------------------------------------------------------------------------

    def ready(self, now: float) -> list[Job]:
        """The jobs to start now; each must be answered by `finished` and then `landed`."""
        jobs: list[Job] = []
        if now < self._paused_until:
            return jobs
        for lane in self.lanes.values():
            while job := self._fresh(lane, now):
                jobs.append(job)
        while job := self._routine(now):
            jobs.append(job)
        return jobs

    def wake_at(self, now: float) -> float | None:
        """When `ready` may give more without anything having happened; None: not before."""
        moments = [lane.opens(self._next_routine) for lane in self.lanes.values()]
        known = [moment for moment in moments if moment is not None]
        return max(now, self._paused_until, min(known)) if known else None

    def landed(self, job: Job) -> None:
        """The store has recorded what followed from the job: its place is free. Not earlier, so that never
        more is done but unrecorded (and repeated, if we die now) than a lane takes at once."""
        lane = self.lanes.get(job.lane)
        if lane and lane.flying.get(job.subject) is job:
            del lane.flying[job.subject]

    def finished(self, job: Job, outcome: Outcome, now: float) -> list[Step]:
        """What follows from the end of a job that `ready` gave. Its place is free when it has `landed`."""
        lane = self.lanes.get(job.lane)
        if lane is None or lane.flying.get(job.subject) is not job:
            return []
        match outcome.verdict:
            case Verdict.SENT | Verdict.REFUSED:
                result = outcome.text if outcome.verdict is Verdict.SENT else f"refused: {outcome.text}"
                return [*self._each(job.items, lane, result), *self._answers(lane, now)]
            case Verdict.SILENT if now - lane.answered < ALIVE:  # packets are lost, but not all
                if not job.items:
                    lane.routine[job.subject] = None
                return self._put_off(lane, job.items, outcome.text, now)
            case Verdict.FAILED:
                return [*self._answers(lane, now), *self._put_off(lane, job.items, outcome.text, now)]
            case Verdict.SILENT:
                steps = self._shut(lane, job, outcome, now)
                return [*steps, *self._put_off(lane, job.items, outcome.text, now)]
            case Verdict.UNKNOWN:
                self._paused_until = now + STORE_REST
        if not job.items:
            lane.routine[job.subject] = None
        return [step for item in job.items for step in self._released(item, lane.name)]

    # -- inside ----------------------------------------------------------------------------------

    def _file(self, lane: Lane, item: OutboxItem, subject: Subject, now: float) -> list[Step]:
        if now < lane.closed_until:
            return self._put_off(lane, (item,), "the destination does not answer", now)
        if waiting := lane.fresh.get(subject):
            waiting.append(item)
        elif len(lane.fresh) >= lane.room:
            return self._put_off(lane, (item,), "too much waits for the destination", now)
        else:
            lane.fresh[subject] = [item]
        return []

    def _fresh(self, lane: Lane, now: float) -> Job | None:
        if now < lane.closed_until or lane.full:
            return None
        subject = _first(lane.fresh, lane.flying)
        if subject is None:
            return None
        lane.routine.pop(subject, None)
        return self._started(lane, Job(lane.name, subject, tuple(lane.fresh.pop(subject))))

    def _routine(self, now: float) -> Job | None:
        """One more of what is repeated at leisure, in turn among the destinations."""
        if now < self._next_routine:
            return None
        for lane in sorted(self.lanes.values(), key=lambda lane: lane.routine_at):
            subject = _first(lane.routine, lane.flying)
            if now < lane.closed_until or lane.full or subject is None:
                continue
            del lane.routine[subject]
            self._next_routine = lane.routine_at = max(self._next_routine, now - 0.1) + self._gap
            return self._started(lane, Job(lane.name, subject))
        return None

    def _started(self, lane: Lane, job: Job) -> Job:
        lane.flying[job.subject] = job
        return job

    def _answers(self, lane: Lane, now: float) -> list[Step]:
        was, lane.failures, lane.closed_until, lane.answered = lane.failures, 0, LONG_AGO, now
        return [Recovered(lane.name)] if was and lane.lamps else []

    def _shut(self, lane: Lane, job: Job, outcome: Outcome, now: float) -> list[Step]:
        """Several jobs in flight that fail together count as one failure."""
        if now < lane.closed_until:
            return []
        lane.failures += 1
        pause = backoff(lane.failures, self._random, LONGEST_CLOSED)
        lane.closed_until = now + pause.total_seconds()
        waiting, lane.fresh = lane.fresh, {}
        lane.routine = {job.subject: None} if lane.lamps else {}
        return [s for items in waiting.values() for s in self._put_off(lane, items, outcome.text, now)]

    def _put_off(self, lane: Lane, items: Sequence[OutboxItem], why: str, now: float) -> list[Step]:
        """Of several items that ask for one lamp the newest is kept for later; it does for all."""
        if not items:
            return []
        *older, newest = sorted(items, key=lambda i: (i.created, i.id))
        wait = max(0.0, lane.closed_until - now)
        delay = max(backoff(newest.attempts + 1, self._random), timedelta(seconds=wait))
        steps = self._each(older, lane, "a newer one was kept")
        return [*steps, *self._failed(newest, lane.name, why, delay)]

    def _each(self, items: Iterable[OutboxItem], lane: Lane, result: str) -> list[Step]:
        return [step for item in items for step in self._settled(item, lane.name, result)]

    def _settled(self, item: OutboxItem, lane: str, result: str) -> list[Step]:
        if held := self._held.get(item.id):
            self._satisfied.setdefault(item.id, set()).add(lane)
            held.result = result
        return self._leave(item, lane)

    def _failed(self, item: OutboxItem, lane: str, why: str, delay: timedelta) -> list[Step]:
        if held := self._held.get(item.id):
            held.failed.append(f"{lane}: {why}")
            held.delay = max(held.delay, delay)
        return self._leave(item, lane)

    def _released(self, item: OutboxItem, lane: str) -> list[Step]:
        if held := self._held.get(item.id):
            held.again = True
        return self._leave(item, lane)

    def _leave(self, item: OutboxItem, lane: str) -> list[Step]:
        """The item waits no longer for this lane. When it waits for none, it ends: postponed if one
        failed, released without a word (to be fetched again) if one could not be tried, else done."""
        held = self._held.get(item.id)
        if held is None or lane not in held.lanes:
            return []
        held.lanes.discard(lane)
        if held.lanes:
            return []
        if held.failed:
            return [Postpone(item, held.delay, "; ".join(held.failed))]
        if held.again:
            self.forget(item, ended=False)
            return []
        return [Done(item, held.result)]


def _first(waiting: Iterable[Subject], flying: dict[Subject, Job]) -> Subject | None:
    return next((subject for subject in waiting if subject not in flying), None)
