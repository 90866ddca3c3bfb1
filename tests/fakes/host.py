"""One simulated node: its role manager, the process of the Primary's work, its disk. See world.py."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from voicemail.cluster.beacon import Beacons
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.manager import Health, Manager
from voicemail.cluster.roles import Status, has_duties
from voicemail.primary.feed import News
from voicemail.primary.lease import Lease


class Around(Protocol):
    """What a node asks its world."""

    now: float

    @property
    def merged(self) -> bool: ...


@dataclass
class Disk:
    epoch: int = 0
    deactivated: bool = False
    fence: int = 0
    """The newest epoch that this node's store was shown."""
    full: bool = False


@dataclass
class Connection:
    """Keep-alives of one node to the other."""

    opened: float
    last: float
    """When its last line arrives: a later one cannot be earlier."""
    stuck: list[KeepAlive] = field(default_factory=list)
    since: float | None = None
    """Since when nothing is acknowledged."""
    stalls_until: float = 0.0
    """TCP waits before it repeats what was lost."""
    open: bool = True


class Host:
    """One node: its supervisor (the manager), the process of the Primary's work, and its disk."""

    def __init__(self, world: Around, number: int) -> None:
        self.world, self.number, self.disk = world, number, Disk()
        self.manager: Manager | None = None
        self.life = 0
        """Counts crashes: what was under way before is void."""
        self.frozen = self.duty_frozen = False
        self.deferred: list[tuple[bool, Callable[[], None]]] = []
        """What a frozen supervisor will find: whether it is a line of the peer, and what it does."""
        self.calls_work = self.duties_work = True
        self.ready_at = 0.0
        self.speaking: Connection | None = None
        self.current: Connection | None = None
        self.frozen_at = self.awake_since = 0.0
        self.was_ready = False
        self.lease, self.pipe = Lease(), list[News]()
        self.wall = 0.0
        self.changes = 0
        self.said: tuple[Any, KeepAlive] | None = None
        self.dials_at = 0.0
        self.beacons: Beacons | None = None
        """None: a release without beacons."""
        self.beat = 0

    @property
    def publisher(self) -> bool:
        return self.number == 1

    @property
    def status(self) -> Status | None:
        return self.manager.status if self.manager else None

    @property
    def awake(self) -> bool:
        return self.manager is not None and not self.frozen

    @property
    def on_duty(self) -> bool:
        return self.manager is not None and has_duties(self.manager.status, self.publisher)

    def health(self) -> Health:
        ready = self.calls_work and self.world.now >= self.ready_at
        return Health(ready, self.calls_work, self.duties_work, self.world.merged)

    def keep_epoch(self, epoch: int) -> None:
        self.write("epoch", epoch)

    def keep_deactivated(self, deactivated: bool) -> None:
        self.write("deactivated", deactivated)

    def write(self, name: str, value: int) -> None:
        if self.disk.full:
            raise OSError("no space left on device")
        setattr(self.disk, name, value)

    def says(self) -> KeepAlive:
        assert self.manager
        manager, wants = self.manager, self.manager.wants_primary(self.world.now)
        state = (manager.status, manager.epoch, self.duties_work, wants, manager.awake(self.world.now))
        if self.said is None or self.said[0] != state:
            status, epoch, works, wants, awake = state
            line = KeepAlive(self.number, status, epoch, duties_work=works, wants_primary=wants, awake=awake)
            self.said = state, line
        if self.beacons is None:
            return self.said[1]
        self.beat += 1
        return replace(self.said[1], run=self.beacons.run, beat=self.beat)
