"""How many PINs may be tried: a pure judgement of the attempts that both nodes recorded.

Attempts are counted when they begin. Each node commits its attempt on both disks and only then reads
all of them, so of several concurrent attempts the n-th to read sees at least n. Allowed are those that
see at most `policy.failures`, their own included; so no race wins an additional guess, though in one
the last guess may be lost to both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from store.signing_in import PinPolicy


@dataclass(frozen=True, slots=True)
class SignInEvent:
    """A row of sign_in_attempt: kind is "begin", "success" or "unlock"."""

    id: UUID
    hlc: int
    at: datetime
    kind: str


@dataclass(frozen=True, slots=True)
class Round:
    """Attempts that count together, since the last success, unlock or end of a lock."""

    begins: tuple[SignInEvent, ...] = ()
    locked_until: datetime | None = None

    def with_begin(self, event: SignInEvent, policy: PinPolicy) -> "Round":
        """This round, or a new one when its lock is over, with one more attempt."""
        if self.locked_until:
            locked = event.at < self.locked_until
            return (
                Round((*self.begins, event), self.locked_until)
                if locked
                else Round().with_begin(event, policy)
            )
        since = event.at - timedelta(minutes=policy.window_minutes)
        begins = (*(begin for begin in self.begins if begin.at > since), event)
        full = len(begins) >= policy.failures
        return Round(begins, event.at + timedelta(minutes=policy.lock_minutes) if full else None)


def horizon(policy: PinPolicy, now: datetime) -> datetime:
    """Events before this moment are not asked for: a day ago, or longer with a policy of long times.

    After a quiet time as long as the window and the lock, a round begins anew whatever was before. Only when
    somebody tries without such a break for a whole day, the cut decides which attempts make a round."""
    return now - max(timedelta(days=1), 4 * _quiet(policy))


def _quiet(policy: PinPolicy) -> timedelta:
    return timedelta(minutes=max(policy.window_minutes, policy.lock_minutes))


def locked_until(events: Iterable[SignInEvent], policy: PinPolicy, now: datetime) -> datetime | None:
    """When sign-in opens again; None when it is open."""
    current = Round()
    for event in in_order(events):
        current = current.with_begin(event, policy) if event.kind == "begin" else Round()
    return current.locked_until if current.locked_until and current.locked_until > now else None


def allowed(events: Iterable[SignInEvent], attempt: UUID, policy: PinPolicy) -> bool:
    """Whether the PIN of this attempt, which is among the events, may be compared."""
    current = Round()
    for event in in_order(events):
        if event.kind == "begin":
            current = current.with_begin(event, policy)
        elif any(begin.id == attempt for begin in current.begins):
            break  # what counts is the round it belongs to
        else:
            current = Round()
    mine = any(begin.id == attempt for begin in current.begins)
    return mine and len(current.begins) <= policy.failures


def in_order(events: Iterable[SignInEvent]) -> list[SignInEvent]:
    """As both nodes order them."""
    return sorted(events, key=lambda event: (event.hlc, event.id))
