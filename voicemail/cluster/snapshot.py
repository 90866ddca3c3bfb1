"""How a node and its cluster are at one moment: what alarms are judged by and metrics are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from store.model import Work
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.manager import Change
from voicemail.cluster.roles import Status


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at the node. None: not known."""

    now: float = 0.0
    """Monotonic seconds."""
    wall: float = 0.0
    """Seconds since 1970."""
    name: str = ""
    peer_name: str = ""
    """"" when no other node has joined."""
    publisher: bool = True
    status: Status = Status.STARTING
    changes: tuple[Change, ...] = ()
    """Of status, since the look before."""
    because: str = ""
    epoch: int = 0
    on_duty: bool = False
    """The Primary's work is done here, and what it needs is up."""
    sought: bool = True
    """The peer was listened for long enough to call its absence silence."""
    peer: KeepAlive | None = None
    """None while it is silent."""
    clock_ahead: float | None = None
    """Seconds by which the peer's time of day is ahead of ours."""
    refused: int = 0
    """Refusals of connections to the cluster port that were logged."""
    failed: tuple[str, ...] = ()
    """Programs that are down for longer than a restart takes."""
    running: Mapping[str, bool] = field(default_factory=dict)
    database: bool = False
    taking_calls: bool = True
    """False: an operator stopped it from taking calls."""
    schema: int = 1
    workers_wanted: int = 0
    workers: int = 0
    busy: int = 0
    ports: int = 0
    """Workers up, calls in progress, calls it can take at once."""
    edge: Mapping[str, int] = field(default_factory=dict)
    """The edge's counters by name, since its start."""
    receiving: bool | None = None
    """The peer's rows arrive here; None on an external database."""
    synchronous: bool = False
    lag: int | None = None
    """Bytes that the peer's database has yet to get."""
    retained: int | None = None
    """Bytes of log kept for the peer."""
    room: int | None = None
    """How many bytes more are kept for it before it has to copy everything."""
    slot_lost: bool = False
    apply_errors: int | None = None
    """Failures to apply the peer's rows, since ever."""
    single_copies: int | None = None
    conflicts: int | None = None
    """Extensions that two users have since a split."""
    disk_free: int | None = None
    disk_size: int | None = None
    """Bytes, of the disk with database and spool."""
    least_free: int = 0
    """Bytes below which callers are told that no message can be taken."""
    spool: int | None = None
    """Recordings being made or waiting for the database."""
    mails: int | None = None
    """Mails that came in and are not settled."""
    outbox: Mapping[Work, tuple[int, int]] | None = None
    """By kind: left to do, and tried in vain here."""
