"""The right to act as Primary, pure: time is told, never asked for.

The supervisor renews the lease every 200 ms. A peer takes over after 2 s of silence, so a lease must
be over before that: a process that was frozen (SIGSTOP, swapping, a paused machine) wakes to find
its lease expired and does nothing until it is renewed. What it was told before it froze may still lie
unread in its pipe: a renewal therefore counts from when it was written, not from when it is read.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from voicemail.errors import VoicemailError

TTL = 1.5
"""Seconds a renewal is good for; shorter than the 2 s after which a silent node is replaced."""

LONG_AGO = float("-inf")


class NotPrimary(VoicemailError):
    """The lease is over: the act at hand must not be done. Whoever is Primary now will do it."""


class Permit(Protocol):
    def __call__(self) -> None:
        """Called immediately before each act. Raises NotPrimary when the lease does not hold."""


@dataclass(frozen=True, slots=True)
class Lease:
    """All times are seconds of the machine's monotonic clock."""

    epoch: int = 0
    renewed: float = LONG_AGO
    refused: int = -1
    """The newest epoch of ours that the store refused; neither it nor older ones ever hold again."""

    def renew(self, epoch: int, written: float) -> "Lease":
        """The supervisor said at `written` that this node is Primary of `epoch`."""
        if epoch <= self.refused or epoch < self.epoch:
            return self
        return replace(
            self, epoch=epoch, renewed=max(written, self.renewed if epoch == self.epoch else LONG_AGO)
        )

    def revoke(self) -> "Lease":
        """This node is Primary no longer; a later renewal, even of the same epoch, brings it back."""
        return replace(self, renewed=LONG_AGO)

    def refuse(self) -> "Lease":
        """The store knows a newer Primary: only a newer epoch brings the lease back."""
        return replace(self, renewed=LONG_AGO, refused=max(self.refused, self.epoch))

    def valid(self, now: float) -> bool:
        return now < self.renewed + TTL
