"""What the runner knows of those who do the work."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from store.model import OutboxItem
from voicemail.primary.agenda import Job, Outcome, Plan, Subject
from voicemail.primary.lease import Permit


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """A destination: so many jobs at once, so many subjects waiting at most. `every`: seconds after which
    a lamp is sent again though nothing changed; None for work that is no lamp."""

    limit: int
    room: int
    every: float | None = None


class Handler(Protocol):
    """Does one kind of work."""

    def lanes(self) -> Mapping[str, LaneSettings]:
        """The destinations there are at present."""

    async def plan(self, item: OutboxItem) -> Plan:
        """Where this item has to go. Raises store errors."""

    async def perform(self, job: Job, permit: Permit) -> Outcome:
        """Do it, asking `permit` immediately before the act. Raises NotPrimary and store errors."""

    async def refresh(self) -> Sequence[tuple[str, Subject]]:
        """Users may have changed: (lane, subject) of what must be sent because of that."""

    def subjects(self, lane: str) -> Iterable[Subject]:
        """All lamps behind a destination."""
