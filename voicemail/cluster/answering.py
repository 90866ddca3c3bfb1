"""Whether calls can still be answered here, pure: time is told.

A program that has ended is the keeper's to notice. One that runs and does nothing (workers that hang,
an edge that is stopped) shows only in that nothing is ready: that may last as long as a restart.
"""

from dataclasses import dataclass, replace

from voicemail.cluster.keeper import GRACE
from voicemail.cluster.roles import Status

NOT_EXPECTED = frozenset({Status.STARTING, Status.DEACTIVATED})
"""Statuses in which nothing needs to be ready yet, or any more."""


@dataclass(frozen=True, slots=True)
class Answering:
    ready_at: float
    """When calls could last be answered, or need not be; monotonic seconds."""

    def seen(self, ready: bool, status: Status, now: float) -> "Answering":
        """After a look: `ready` says whether a call would be answered at this moment."""
        return replace(self, ready_at=now) if ready or status in NOT_EXPECTED else self

    def works(self, now: float) -> bool:
        """False once nothing has been ready for longer than a restart takes (GRACE seconds)."""
        return now - self.ready_at <= GRACE
