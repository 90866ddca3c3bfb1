"""When to tell an administrator what: the judgement over the table of `alarm_kinds.py`.

`judge` is pure: a snapshot and the one before it in, alarms out. Most kinds *stand*: their condition is
looked at once a second, must hold for a while before the alarm is raised, and must have gone for a while
before it is cleared; where it is about a level, the level that clears it is another one. So each is raised
once and cleared once, however much flickers in between. The others *happen*: they are told and over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from voicemail.cluster.alarm_kinds import BY_NAME, KINDS, TAKEOVER, Kind
from voicemail.cluster.roles import SERVING, Status
from voicemail.cluster.snapshot import Snapshot

LOOK_AGAIN = 10.0
"""Seconds without a look after which nothing is known of the time between: durations begin anew."""


class State(StrEnum):
    RAISED = "raised"
    CLEARED = "cleared"
    HAPPENED = "happened"


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that was raised, cleared, or has happened. `at`: seconds since 1970."""

    kind: Kind
    state: State
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What must be known of earlier looks beside the last one."""

    raised: Mapping[str, Alarm] = field(default_factory=lambda: MappingProxyType({}))
    turning: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Since when a condition has been other than what was told last, by name (monotonic)."""
    takeover: float | None = None
    """When a takeover began that has not ended yet."""


def judge(before: Snapshot, after: Snapshot, memory: Memory) -> tuple[list[Alarm], Memory]:
    """What to tell after the look `after`, and what to remember."""
    if after.now - before.now > LOOK_AGAIN:
        memory = replace(memory, turning={})
    told, takeover = _happened(before, after, memory.takeover)
    alarms = [Alarm(BY_NAME[name], State.HAPPENED, why, after.wall) for name, why in told]
    raised, turning = dict(memory.raised), dict(memory.turning)
    for kind in KINDS:
        if kind.holds:
            alarms += _stands(kind, before, after, raised, turning)
    return alarms, Memory(raised, turning, takeover)


def _stands(
    kind: Kind, before: Snapshot, after: Snapshot, raised: dict[str, Alarm], turning: dict[str, float]
) -> Iterable[Alarm]:
    """Raise or clear one kind, if it has been other than told for long enough."""
    assert kind.holds
    is_raised = kind.name in raised
    why = kind.holds(before, after, is_raised)
    if bool(why) is is_raised:
        turning.pop(kind.name, None)
        return
    since = turning.setdefault(kind.name, after.now)
    if after.now - since < (kind.calm if is_raised else kind.after):
        return
    del turning[kind.name]
    if is_raised:
        yield Alarm(kind, State.CLEARED, raised.pop(kind.name).why, after.wall)
    else:
        raised[kind.name] = alarm = Alarm(kind, State.RAISED, why, after.wall)
        yield alarm


# ---- what happens

Happening = tuple[str, str]
"""Name and why."""


def _happened(
    before: Snapshot, after: Snapshot, takeover: float | None
) -> tuple[list[Happening], float | None]:
    told: list[Happening] = []
    for change in after.changes:
        move = (change.was, change.now)
        if by_itself(change.because) and move in TAKES_OVER:
            back = after.publisher and able(after)
            told.append(("auto_failback_succeeded" if back else "auto_failover_started", change.because))
            takeover = takeover if back else after.now
        if change.now is Status.SPLIT_BRAIN_RECOVERY:
            told.append(("split_brain_detected", change.because))
        elif change.was is Status.SPLIT_BRAIN_RECOVERY:
            merged = after.peer is not None and change.now in (Status.PRIMARY, Status.SECONDARY)
            told.append((f"split_brain_recovery_{'succeeded' if merged else 'failed'}", change.because))
    if after.refused > before.refused:
        told.append(("peer_refused", f"{after.refused - before.refused} in the last second"))
    if takeover is not None and (ended := _ended(after, takeover)):
        return [*told, ended], None
    return told, takeover


TAKES_OVER = frozenset((was, Status.PRIMARY) for was in (Status.SECONDARY, Status.REPLICATING_DATA))


def by_itself(because: str) -> bool:
    """Whether no operator wanted a change with this reason (roles.py)."""
    return "operator" not in because and "administrator" not in because


def able(s: Snapshot) -> bool:
    """The other server is in service and could do the Primary's work."""
    return s.peer is not None and s.peer.status in SERVING and s.peer.duties_work


def _ended(after: Snapshot, takeover: float) -> Happening | None:
    """How a takeover that began at `takeover` has ended; None: it has not."""
    if after.on_duty:
        return "auto_failover_succeeded", "the Primary's work is done here"
    if after.now - takeover > TAKEOVER:
        return "auto_failover_failed", f"the Primary's work is not done after {TAKEOVER:g} s"
    if after.status not in (Status.PRIMARY, Status.SPLIT_BRAIN_RECOVERY):
        return "auto_failover_failed", f"it is {after.status}: {after.because}"
    return None
