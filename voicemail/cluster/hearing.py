"""What was heard of the peer, and what its silence means. Pure: times come in, monotonic seconds.

A process that dies closes its sockets: its peer knows at once, but for the moment in which one that
still lives dials again. A host that falls silent is known after SILENT.

*Two ways.* The peer says the same on a connection and by beacons (`beacon.py`). What it says is numbered,
so that a line which TCP delivers late never takes the place of later news. A beacon that echoes what was
sent after the connection closed proves that closing was no death. A peer that sends no beacons is judged
by its connection alone.

*Hold-down.* A link that comes and goes would have the nodes change their status at every turn. So a
silence that proves a false alarm (the peer is heard again, and ran on all the time: neither restarted
nor frozen) makes the next silence need more patience: 2, then 8, then 30 seconds. After a false alarm
by a closed connection, closing is no evidence either: something between the nodes resets connections.
CALM minutes without a silence restore the first trust. A silence of more than the longest patience is
no false alarm: whoever took over then was right to. A peer that was restarted or frozen costs no
trust, so neither does a node that is killed again and again. While patience is long, the Primary's
work of a host that really falls silent waits for so long; calls never do.
"""

from dataclasses import dataclass, replace
from typing import Any

from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status

SILENT = 2.0
"""Seconds without a keep-alive after which the peer counts as silent. A lease is over before that."""
PATIENCE = (SILENT, 8.0, 30.0)
"""The same after so many false alarms."""
CALM = 300.0
CLOSED = 0.3
"""Seconds after its connection closed in which a peer that still lives will have dialled again."""
UNHEARD = 0.5
"""The same after its last beacon, when beacons came: so many in a row are not lost by chance."""
ROUND = 0.5
"""Seconds in which a beacon comes round when the link is well. When it takes longer, the peer counts as
heard so long after the proof, not now: cut one way, a link falls silent on both ends at about one time."""
OUTLIVED = 8
"""So many of the peer's former processes are remembered; of an older one nothing is under way any more."""
FRESH = 1.0
"""A connection that closes tells of a dead process only when keep-alives came until then."""
LISTEN = 1.0
"""Seconds after which a node that starts has heard what the peer does because it was away."""
START = 15.0
"""Seconds in which a node that starts is ready."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """The last that was heard of the peer."""

    since: float = 0.0
    """When listening began: silence before `since + patience` proves nothing."""
    last: KeepAlive | None = None
    at: float = float("-inf")
    opened: float = float("-inf")
    """When the newest connection that was heard on came in."""
    closed: float | None = None
    starting: float | None = None
    """Since when the peer has been Starting."""
    alarms: int = 0
    """False alarms, for `patience`."""
    resets: bool = False
    """One of them was by a closed connection."""
    calm: float = float("-inf")
    """The end of the last silence."""
    beacon: float = float("-inf")
    """When the last beacon came."""
    outlived: tuple[str, ...] = ()
    """Processes of the peer before the present one."""

    @property
    def patience(self) -> float:
        return PATIENCE[self.alarms]

    def heard(self, said: KeepAlive, opened: float, now: float) -> "Hearing":
        """The peer said so on a connection that came in at `opened`."""
        if self._overtaken(said):
            return replace(self, opened=opened)
        return self._news(said, now, now, opened=opened, closed=None)

    def beaconed(self, said: KeepAlive, proof: float, now: float) -> "Hearing":
        """The peer said so by a beacon, after `proof`."""
        if self._overtaken(said):
            return self
        at = max(self.at, min(now, proof + ROUND))
        if self.closed is not None and (proof > self.closed or self._another(said)):
            return self._news(said, at, now, beacon=now, closed=None)
        return self._news(said, at, now, beacon=now)

    def lost(self, now: float) -> "Hearing":
        """The peer's connection closed."""
        return replace(self, closed=now) if now - self.at <= FRESH else self

    def again(self, now: float) -> "Hearing":
        """Listening begins anew: this process was frozen."""
        return replace(Hearing(since=now, opened=now), **{name: getattr(self, name) for name in OF_ALL_TIMES})

    def outdated(self, opened: float) -> bool:
        """Whether a connection is older than what is known: its lines lay about for some time."""
        return opened < max(self.since, self.opened)

    def peer(self, now: float) -> KeepAlive | None:
        """What the peer says of itself; None when it is silent."""
        return None if now - self.at > self.patience or self._gone(now) else self.last

    def recent(self, now: float) -> KeepAlive | None:
        """The same whatever the patience: for all that is no decision on status."""
        return None if now - self.at > SILENT else self.peer(now)

    def sought(self, now: float) -> bool:
        """Whether listening has lasted long enough to know how the peer is, or to call it silent."""
        listened = now - self.since
        return listened > self.patience or (self.at > self.since and listened > LISTEN)

    def late(self, now: float) -> bool:
        """Whether the peer has been starting for longer than a start takes."""
        return self.starting is not None and now - self.starting > START

    def _gone(self, now: float) -> bool:
        if self.closed is None or self.resets:
            return False
        return now > max(self.closed + CLOSED, self.beacon + UNHEARD)

    def _another(self, said: KeepAlive) -> bool:
        """Whether another process of the peer says so than the last one."""
        return self.last is not None and said.run != self.last.run

    def _overtaken(self, said: KeepAlive) -> bool:
        """Whether newer things are known of the peer."""
        if self.last and said.run == self.last.run:
            return 0 < said.beat <= self.last.beat
        return said.run in self.outlived

    def _news(self, said: KeepAlive, at: float, now: float, **more: Any) -> "Hearing":
        starting = self.starting if self.starting is not None else now
        outlived = self.outlived
        if self.last and self.last.run and self._another(said):
            outlived = (*outlived, self.last.run)[-OUTLIVED:]
        return replace(
            self._judged(said, now),
            last=said,
            at=at,
            starting=starting if said.status is Status.STARTING else None,
            outlived=outlived,
            **more,
        )

    def _judged(self, said: KeepAlive, now: float) -> "Hearing":
        """With the trust that is left after the time since the last keep-alive."""
        silence, missed = now - self.at, self.last is not None and self.peer(now) is None
        if silence <= SILENT and not missed:
            rested = now - self.calm > CALM
            return replace(self, alarms=0, resets=False) if rested and self.alarms else self
        calmless = replace(self, calm=now)
        if not missed or silence > PATIENCE[-1] or self.last is None or said.awake != self.last.awake:
            return calmless
        alarms = min(self.alarms + 1, len(PATIENCE) - 1)
        return replace(calmless, alarms=alarms, resets=self.resets or self._gone(now))


OF_ALL_TIMES = "alarms", "resets", "calm", "outlived"
"""What a process that was frozen still knows of its peer."""
