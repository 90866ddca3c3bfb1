"""The values that agenda, runner and handlers speak of: destinations, jobs, and how jobs end. Pure."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from store.model import OutboxItem

LONG_AGO = float("-inf")

Subject = Hashable
Place = tuple[str, Subject]
"""One subject at one destination (lane), e.g. the lamp of 1001 on the trunk pbx."""


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
    lost: bool = False
    """The destination has forgotten what it was sent before."""


@dataclass(frozen=True, slots=True)
class Job:
    """To be done now. Without items it is routine. What is sent must be read from the store after the job
    was given out, hence after its items were fetched."""

    lane: str
    subject: Subject
    items: tuple[OutboxItem, ...] = ()

    @property
    def place(self) -> Place:
        return self.lane, self.subject


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an item has to go: `subject` to each of `lanes`, and `more` subjects to lanes of their own;
    `otherwise` is its result when there is nowhere to go."""

    subject: Subject
    lanes: frozenset[str] = frozenset()
    otherwise: str = "nothing to tell"
    more: frozenset[Place] = frozenset()

    @property
    def places(self) -> frozenset[Place]:
        return self.more | {(lane, self.subject) for lane in self.lanes}


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
    """The destination of this lane answers again, or has forgotten its lamps: they must be sent again."""

    lane: str
    forgot: bool = False


Step = Done | Postpone | Recovered


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is known of a lamp, or of a whole destination, that does not take what it is sent. Moments are
    of the monotonic clock."""

    since: float
    at: float
    """When it was tried last."""
    tries: int
    why: str
    again: float
    """When it is tried next."""


@dataclass(slots=True)
class Lane:
    """`limit` jobs at once; at most `room` subjects wait, more are left in the store. `lamps`: the work is
    state, so that older items of a subject are settled by newer ones and recovery means sending all again."""

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
    trouble: Trouble | None = None
    """Of the destination as a whole."""
    left: bool = False
    """Work for it was left in the store for want of room."""

    @property
    def full(self) -> bool:
        """A lane that failed last is tried with one job only."""
        return len(self.flying) >= (1 if self.failures else self.limit)

    def carries(self, subject: Subject, item: OutboxItem) -> bool:
        """Whether the item is in flight here, as this subject."""
        job = self.flying.get(subject)
        return job is not None and item in job.items

    def held(self) -> Iterator[tuple[Subject, OutboxItem]]:
        """All items that wait or are in flight here."""
        for subject, items in self.fresh.items():
            yield from ((subject, item) for item in items)
        for job in self.flying.values():
            yield from ((job.subject, item) for item in job.items)

    def opens(self, next_routine: float) -> float | None:
        """When a job may start here without any other ending before; None: not before."""
        if self.full:
            return None
        if first(self.fresh, self.flying) is not None:
            return self.closed_until
        if first(self.routine, self.flying) is not None:
            return max(self.closed_until, next_routine)
        return None


@dataclass(slots=True)
class Held:
    """An item in hand: the places it still waits for, and what went wrong in others."""

    item: OutboxItem
    places: set[Place]
    failed: list[str] = field(default_factory=list)
    delay: timedelta = timedelta(0)
    again: bool = False
    result: str = ""


def first(waiting: Iterable[Subject], flying: dict[Subject, Job]) -> Subject | None:
    return next((subject for subject in waiting if subject not in flying), None)
