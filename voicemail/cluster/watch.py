"""Looks at the node once a second: judges alarms, logs them, has the administrator told, serves metrics.

It also tells the store when both nodes have the same schema, so that what came with it may be used. All
of it runs in a task of its own beside the beat, which waits for none of this.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from sip.edge_control import EdgeControl
from sip.errors import SipError
from store import spool
from store.api import Store
from store.errors import StoreError
from store.features import agreed
from store.model import Notice, Told, Work
from voicemail.cluster.alarm_kinds import BY_NAME, Severity
from voicemail.cluster.alarms import Alarm, Memory, State, judge
from voicemail.cluster.manager import Change
from voicemail.cluster.metrics import NodeMetrics
from voicemail.cluster.snapshot import Snapshot
from voicemail.config import Config

log = structlog.get_logger()

EVERY = 1.0
SELDOM = 5
"""Looks after which what costs more is looked at: spool, outbox, the edge's counters."""
AGAIN = 30.0
"""Seconds to the next try to have an alarm mailed, or to serve metrics."""
BEFORE = "told before this server was started again"
OLD = 3600.0
"""Seconds after which something that happened is not worth a mail any more."""


class Letters:
    """Alarms that the administrator is still to be told of, the last of each name; pure."""

    def __init__(self) -> None:
        self.waiting: dict[str, Alarm] = {}
        self._next = float("-inf")

    def add(self, alarm: Alarm) -> None:
        self.waiting[alarm.kind.name] = alarm
        self.hurry()

    def hurry(self) -> None:
        """What was in the way is gone: all that waits is due."""
        self._next = float("-inf")

    def due(self, now: float) -> list[Alarm]:
        """What to try now (monotonic seconds); it is tried again later unless `tried` takes it away."""
        if now < self._next:
            return []
        self._next = now + AGAIN
        return list(self.waiting.values())

    def tried(self, alarm: Alarm, told: Told, wall: float) -> None:
        """One that stands is kept until an hour is over since it was told last, so that a second outbreak
        within the hour is not passed over for ever."""
        keeps = told in (Told.EARLIER, Told.NOT_YET) and alarm.state is not State.CLEARED
        passed = alarm.state is State.HAPPENED and (told is Told.EARLIER or wall - alarm.at > OLD)
        if (not keeps or passed) and self.waiting.get(alarm.kind.name) is alarm:
            del self.waiting[alarm.kind.name]


def notice(alarm: Alarm, server: str, to: str) -> Notice:
    """What the administrator is told."""
    kind, at = alarm.kind, datetime.fromtimestamp(alarm.at, UTC).isoformat(" ", "seconds")
    over = "is over: " if alarm.state is State.CLEARED else ""
    lines = [
        f"Alarm: {kind.name} ({kind.severity}), {alarm.state}",
        f"Server: {server}",
        f"Time: {at}",
        f"Why: {alarm.why}",
        "",
        kind.meaning,
    ]
    if alarm.state is not State.CLEARED:
        lines += ["", f"What to do: {kind.action}"]
    subject = f"Voice mail server {server}: {over}{kind.name} ({kind.severity})"
    return Notice(kind.name, alarm.state, kind.severity, server, at, to, subject, "\n".join(lines))


def changes_after(history: Sequence[Change], last: Change | None) -> tuple[Change, ...]:
    """What was added to the history since `last` (an entry of it; None: nothing is new)."""
    if last is None:
        return ()
    new: list[Change] = []
    for change in reversed(history):
        if change is last:
            break
        new.append(change)
    return tuple(reversed(new))


class Watch:
    """Of one node. `look` gives what the node knows of itself, without asking anybody; `history` its changes
    of status. Its database may be away: what is not known stays None."""

    def __init__(
        self,
        config: Config,
        look: Callable[[], Snapshot],
        history: Callable[[], Sequence[Change]],
        store: Store,
        edge: EdgeControl,
    ) -> None:
        self.config, self._look, self._history = config, look, history
        self._store, self._edge_control = store, edge
        self.metrics = NodeMetrics()
        self.letters = Letters()
        self.memory = Memory()
        self._before: Snapshot | None = None
        self._change: Change | None = None
        self._agreed = 1
        self._count = 0
        self._spool: int | None = None
        self._mails: int | None = None
        self._outbox: Mapping[Work, tuple[int, int]] | None = None
        self._edge: Mapping[str, int] = {}
        self._serve_at = float("-inf")
        self._told = ""
        self._recalled = False

    async def run(self) -> None:
        """Until cancelled. Metrics are served until the process ends: to stop their server takes half a
        second, which a node that ends has better use for."""
        while True:
            began = time.monotonic()
            await self._safely()
            await asyncio.sleep(max(0.0, EVERY - (time.monotonic() - began)))

    async def _safely(self) -> None:
        """Watching must not harm what is watched: whatever goes wrong is told, once in a row."""
        try:
            await self.once()
            self._told = ""
        except Exception as error:
            if (why := repr(error)) != self._told:
                log.error("The node cannot be watched.", why=why)
            self._told = why

    async def once(self) -> Snapshot:
        """One look, and what follows from it."""
        history = self._history()
        snapshot = replace(self._look(), changes=changes_after(history, self._change))
        self._change = history[-1] if history else None
        snapshot = await self._completed(snapshot)
        alarms, self.memory = judge(self._before or snapshot, snapshot, self.memory)
        self._before = snapshot
        self.metrics.update(snapshot, frozenset(self.memory.raised))
        for alarm in alarms:
            tell(alarm)
            if self.config.alarm.mail_to:
                self.letters.add(alarm)
        self._serve(snapshot.now)
        await self._use_store(snapshot)
        return snapshot

    async def _completed(self, snapshot: Snapshot) -> Snapshot:
        """With what has to be asked for: seldom, but for the disk."""
        if self._count % SELDOM == 0:
            await self._ask(snapshot)
        self._count += 1
        folder = self.config.directory
        free, size = await asyncio.to_thread(spool.disk_bytes, folder)
        return replace(
            snapshot,
            disk_free=free,
            disk_size=size,
            least_free=self.config.recording.least_free_megabytes * 1_000_000,
            spool=self._spool,
            mails=self._mails,
            outbox=self._outbox,
            edge=self._edge,
        )

    async def _ask(self, snapshot: Snapshot) -> None:
        self._spool = await asyncio.to_thread(waiting, self.config.directory / "spool")
        self._mails = await asyncio.to_thread(mails, self.config.directory / "spool")
        self._edge = {}
        with suppress(SipError):
            self._edge = await self._edge_control.statistics()
        self._outbox = None
        if snapshot.database:
            with suppress(StoreError):
                self._outbox = await self._store.outbox.waiting()

    def _serve(self, now: float) -> None:
        settings = self.config.metrics
        if settings.port and not self.metrics.started and now >= self._serve_at:
            self._serve_at = now + AGAIN
            self.metrics.start(settings.address, settings.port)

    async def _use_store(self, snapshot: Snapshot) -> None:
        """Agree on the schema, and write mails. The database may be away: again later."""
        if not snapshot.database:
            return
        with suppress(StoreError):
            await self._agree(snapshot)
            await self._recall(snapshot.wall)
            for alarm in self.letters.due(snapshot.now):
                told = await self._store.outbox.alarm(
                    notice(alarm, snapshot.name, self.config.alarm.mail_to), datetime.now(UTC)
                )
                self.letters.tried(alarm, told, snapshot.wall)

    async def _agree(self, snapshot: Snapshot) -> None:
        if snapshot.peer_name and snapshot.peer is None:
            return
        version = agreed(snapshot.schema, [snapshot.peer.schema] if snapshot.peer else [])
        if version > self._agreed:
            self._agreed = await self._store.agree(version)
            self.letters.hurry()
            log.info("All nodes have this schema; what came with it is used.", schema=self._agreed)

    async def _recall(self, now: float) -> None:
        """What this node told to stand before it was started again is told to be over, once it is."""
        if self._recalled or not self.config.alarm.mail_to:
            return
        standing = [BY_NAME[name] for name in await self._store.outbox.standing() if name in BY_NAME]
        self._recalled = True
        told = {kind.name: Alarm(kind, State.RAISED, BEFORE, now) for kind in standing if kind.holds}
        self.memory = replace(self.memory, raised={**told, **self.memory.raised})


LEVELS: Mapping[Severity, str] = {
    Severity.CRITICAL: "critical",
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTICE: "info",
}


def tell(alarm: Alarm) -> None:
    """One log line for each change of an alarm."""
    kind = alarm.kind
    level = "info" if alarm.state is State.CLEARED else LEVELS[kind.severity]
    getattr(log, level)(
        "Alarm.", alarm=kind.name, severity=kind.severity.value, state=alarm.state.value, why=alarm.why
    )


def waiting(folder: Path) -> int:
    """Recordings in the spool; none when there is no spool yet."""
    return spool.waiting(folder) if folder.is_dir() else 0


def mails(folder: Path) -> int:
    """Mails in the spool (intake/spool.py); none when nothing was received yet."""
    return sum(1 for _ in (folder / "mail").glob("*.json"))
