"""What Prometheus may read of a node: made from the same snapshots as its alarms.

The table says what there is. The server of a port has a thread of its own, so a reader that is slow or
many of them delay nothing: each reads the last snapshot, which is never changed.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from store.model import Work
from voicemail.cluster.alarm_kinds import KINDS
from voicemail.cluster.roles import Status
from voicemail.cluster.snapshot import Snapshot

log = structlog.get_logger()

PREFIX = "voicemail_"


class Seen(NamedTuple):
    """The last look, and what has been counted over all of them."""

    snapshot: Snapshot
    raised: frozenset[str] = frozenset()
    """Names of the alarms that stand."""
    changes: int = 0
    """Of status, since the start."""


Sample = tuple[tuple[str, ...], float | None]
"""The labels' values, and the figure; None leaves it out."""


class Metric(NamedTuple):
    """A line of the table. A name that ends in _total is a counter's."""

    name: str
    text: str
    labels: tuple[str, ...]
    samples: Callable[[Seen], Iterable[Sample]]


def _one(read: Callable[[Snapshot], float | None]) -> Callable[[Seen], Iterable[Sample]]:
    return lambda seen: [((), read(seen.snapshot))]


def _status(seen: Seen) -> Iterable[Sample]:
    return [((status.value,), float(status is seen.snapshot.status)) for status in Status]


def _alarms(seen: Seen) -> Iterable[Sample]:
    return [((k.name, k.severity.value), float(k.name in seen.raised)) for k in KINDS if k.holds]


def _outbox(which: int) -> Callable[[Seen], Iterable[Sample]]:
    def read(seen: Seen) -> Iterable[Sample]:
        left = seen.snapshot.outbox
        return [] if left is None else [((kind.value,), left.get(kind, (0, 0))[which]) for kind in Work]

    return read


def _edge(seen: Seen) -> Iterable[Sample]:
    named = "script."
    return [
        ((name.removeprefix(named),), value)
        for name, value in sorted(seen.snapshot.edge.items())
        if name.startswith(named)
    ]


def _programs(seen: Seen) -> Iterable[Sample]:
    return [((name,), float(up)) for name, up in seen.snapshot.running.items()]


def _build(seen: Seen) -> Iterable[Sample]:
    try:
        release = version("tandem-voicemail")
    except PackageNotFoundError:  # run from a checkout
        release = ""
    return [((release, str(seen.snapshot.schema)), 1.0)]


TABLE = (
    Metric("status", "1 for the status that the server has.", ("status",), _status),
    Metric("status_changes_total", "Changes of status.", (), lambda seen: [((), seen.changes)]),
    Metric("epoch", "The epoch of this server's duties.", (), _one(lambda s: s.epoch)),
    Metric("on_duty", "1 while the Primary's work is done here.", (), _one(lambda s: s.on_duty)),
    Metric(
        "peer_heard", "1 while keep-alives of the other server come.", (),
        _one(lambda s: s.peer is not None),
    ),
    Metric(
        "clock_ahead_seconds", "How far the other server's clock is ahead of this one's.", (),
        _one(lambda s: s.clock_ahead),
    ),
    Metric("database_up", "1 while this server's database can be used.", (), _one(lambda s: s.database)),
    Metric("program_up", "1 while the program runs.", ("program",), _programs),
    Metric(
        "replication_lag_bytes", "What the other server's database has yet to get from this one's.", (),
        _one(lambda s: s.lag),
    ),
    Metric(
        "replication_peer_lag_bytes", "What this server's database has yet to get from the other one's.", (),
        _one(lambda s: s.peer.lag if s.peer else None),
    ),
    Metric("replication_retained_bytes", "Log kept for the other server.", (), _one(lambda s: s.retained)),
    Metric("replication_room_bytes", "Log that can still be kept for it.", (), _one(lambda s: s.room)),
    Metric(
        "replication_synchronous", "1 while deposits wait for the other server's disk.", (),
        _one(lambda s: s.synchronous),
    ),
    Metric(
        "replication_apply_errors_total", "Failures to apply the other server's rows.", (),
        _one(lambda s: s.apply_errors),
    ),
    Metric("single_copies", "Messages on this server's disk only.", (), _one(lambda s: s.single_copies)),
    Metric("extension_conflicts", "Extensions that two users have.", (), _one(lambda s: s.conflicts)),
    Metric("taking_calls", "0 while an operator has stopped calls.", (), _one(lambda s: s.taking_calls)),
    Metric("calls", "Calls in progress.", (), _one(lambda s: s.busy)),
    Metric("ports", "Calls that can be taken at once.", (), _one(lambda s: s.ports)),
    Metric("workers", "Workers that take calls.", (), _one(lambda s: s.workers)),
    Metric("workers_configured", "Workers as configured.", (), _one(lambda s: s.workers_wanted)),
    Metric(
        "edge_total", "What the edge has done: calls let in, passed on to the next worker or to the other "
        "server, refused since all were busy, not_serving, too_fast, or of a stranger (refused).",
        ("what",), _edge,
    ),
    Metric("spool", "Recordings being made, or waiting for the database.", (), _one(lambda s: s.spool)),
    Metric("mail_spool", "Mails that came in and are not settled yet.", (), _one(lambda s: s.mails)),
    Metric("outbox", "Work to be done by the Primary.", ("kind",), _outbox(0)),
    Metric(
        "outbox_failed", "Of it, what was tried in vain here: lamps that were not set, mails not taken.",
        ("kind",), _outbox(1),
    ),
    Metric("disk_free_bytes", "Left for database and spool.", (), _one(lambda s: s.disk_free)),
    Metric("disk_size_bytes", "Size of that disk.", (), _one(lambda s: s.disk_size)),
    Metric("alarm", "1 while the alarm stands.", ("alarm", "severity"), _alarms),
    Metric("build_info", "Release and version of the database's schema.", ("version", "schema"), _build),
)  # fmt: skip


class NodeMetrics(Collector):
    """Of one node: `update` with each look; `start` serves them."""

    def __init__(self) -> None:
        self.seen = Seen(Snapshot())
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._server: Any = None
        self._thread: Thread | None = None
        self._told = ""

    def update(self, snapshot: Snapshot, raised: frozenset[str]) -> None:
        self.seen = Seen(snapshot, raised, self.seen.changes + len(snapshot.changes))

    def start(self, address: str, port: int) -> bool:
        """Serve until `stop`. False when the port is taken: that is told once, and may be tried again."""
        try:
            self._server, self._thread = start_http_server(port, address, self.registry)
        except OSError as error:
            if str(error) != self._told:
                log.warning("Metrics cannot be served.", address=address, port=port, why=str(error))
            self._told = str(error)
            return False
        return True

    @property
    def started(self) -> bool:
        return self._server is not None

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """See prometheus_client: called by the server's thread."""
        seen = self.seen
        for metric in TABLE:
            counts = metric.name.endswith("_total")
            family = CounterMetricFamily if counts else GaugeMetricFamily
            made = family(PREFIX + metric.name, metric.text, labels=metric.labels)
            for labels, value in metric.samples(seen):
                if value is not None:
                    made.add_metric(labels, float(value))
            yield made


def table() -> str:
    """The table as Markdown, for docs/operations.md."""
    rows = [
        f"| `{PREFIX}{m.name}{'{' + ', '.join(m.labels) + '}' if m.labels else ''}` | {m.text} |\n"
        for m in TABLE
    ]
    return "| metric | what it is |\n|---|---|\n" + "".join(rows)
