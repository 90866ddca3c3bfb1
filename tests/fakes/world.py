"""Two nodes' role managers under a clock of their own: processes, a link, disks, and what must hold.

The Manager, the Hearing, the table and the Lease are the real ones. Simulated is what surrounds them:
the beat of the node shell, the process of the Primary's work behind its pipe, keep-alives on TCP (in
order on one connection, late when packets are lost, stuck while the link is cut, given up after two
seconds) and as datagrams (lost, late, twice, out of order, recorded and sent again), connections that are
closed or reset, disks, and the stores' fences. Every event is told by one random generator, so a seed is a
schedule. What must hold is in watch.py.
"""

import heapq
from collections.abc import Callable
from random import Random

from tests.fakes.host import Connection, Host
from tests.fakes.watch import REDIAL, Broken, Watch
from voicemail.cluster.beacon import Beacon, Beacons
from voicemail.cluster.keepalive import EVERY, GIVE_UP, KeepAlive
from voicemail.cluster.manager import Manager
from voicemail.cluster.roles import Status
from voicemail.errors import RoleRefused
from voicemail.primary.feed import News
from voicemail.primary.lease import Lease

S = Status
TICK = 0.1
STRAY = 0.03
"""The chance of a datagram to come twice, the second time late."""
ACT = 0.23
"""Seconds between two acts of the Primary's work."""


class World:
    """Starts with both nodes down and the link whole. `run` goes on to a time; faults are methods."""

    def __init__(
        self,
        random: Random,
        automatic: bool = True,
        slow: float = 0.0,
        loss: float = 0.0,
        beacons: float = 0.0,
        stalls: float = 0.0,
    ) -> None:
        self.random, self.automatic, self.slow, self.loss = random, automatic, slow, loss
        self.beacons, self.stalls = beacons, stalls
        """Seconds between two beacons (0: a release without them), and the chance of a line on TCP to be held
        up for so long that its connection may be given up."""
        self.muted = False
        """Whether datagrams are lost while all else passes."""
        self.now = 0.0
        self.merge_takes = 0.5
        self.hosts = (Host(self, 1), Host(self, 2))
        self.cut = {1: False, 2: False}
        """Whether what node 1 (2) sends is lost."""
        self.passes_until = 0.0
        """While only one way is cut, lines on the other arrive until then, though not acknowledged."""
        self.calm_link_since = 0.0
        """Since when it is neither cut nor reset."""
        self.whole_since: float | None = None
        """Since when the link is whole and both nodes run."""
        self.joined = True
        self.watch = Watch(self)
        self.changed_at = 0.0
        self.log: list[str] = []
        self._events: list[tuple[float, int, int, int, Callable[[], None]]] = []
        self._count = 0

    # ---- time

    def at(self, when: float, host: Host | None, act: Callable[[], None]) -> None:
        """Do it then, if the host has not crashed meanwhile."""
        self._count += 1
        number, life = (host.number, host.life) if host else (0, 0)
        heapq.heappush(self._events, (when, self._count, number, life, act))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, number, life, act = heapq.heappop(self._events)
            if number == 0 or self.hosts[number - 1].life == life:
                act()
        self.now = until

    def run_until(self, holds: Callable[[], bool], within: float, step: float = 0.25) -> float:
        """Seconds until it holds. Raises Broken when it does not in time."""
        began = self.now
        while not holds():
            if self.now - began > within:
                self.broken(f"not within {within:.1f} s")
            self.run(self.now + step)
        return self.now - began

    def broken(self, what: str) -> None:
        states = " ".join(f"{host.number}:{host.status}" for host in self.hosts)
        raise Broken("\n".join([f"at {self.now:.2f} s: {what} ({states})", *self.log[-60:]]))

    def note(self, what: str) -> None:
        self.log.append(f"{self.now:7.2f} {what}")

    @property
    def slowest(self) -> float:
        """The longest a line is under way on a whole link."""
        return 0.01 + self.slow + (0.6 if self.loss else 0.0)

    # ---- the link

    @property
    def whole(self) -> bool:
        return not (self.cut[1] or self.cut[2])

    @property
    def merged(self) -> bool:
        return self.whole_since is not None and self.now >= self.whole_since + self.merge_takes

    def looked(self) -> None:
        """Something changed about who runs or hears: note since when all is whole."""
        if not (self.whole and all(host.awake for host in self.hosts)):
            self.whole_since = None
        elif self.whole_since is None:
            self.whole_since = self.now
        self.watch.judge()

    def set_cut(self, sender: int, cut: bool, passes: float = 0.0) -> None:
        if self.cut[sender] != cut:
            self.note(f"the way from {sender} is {'cut' if cut else 'whole'}")
        self.calm_link_since = self.now
        self.cut[sender], self.passes_until = cut, self.now + passes
        self.looked()

    def reset(self) -> None:
        """Something between the nodes resets both connections."""
        self.note("connections are reset")
        self.calm_link_since = self.now
        for host in self.hosts:
            self.close(host)

    def close(self, sender: Host, told: bool = True) -> None:
        """The connection of `sender` ends; the other one is told if the link allows."""
        connection, sender.speaking = sender.speaking, None
        if not connection:
            return
        connection.open = False
        if told and not self.cut[sender.number]:
            other = self.hosts[2 - sender.number]
            soon = self.now + self.random.uniform(0.01, 0.1)
            self.at(soon, sender, lambda: self.deliver(sender, False, lambda: self.tell(sender)))
            self.at(
                self.now + 0.001,
                other,
                lambda: self.deliver(other, False, lambda: self.ended(other, connection)),
            )

    def ended(self, listener: Host, connection: Connection) -> None:
        if listener.current is connection and listener.manager:
            listener.current = None
            listener.manager.lost(self.now)

    def deliver(self, host: Host, is_line: bool, act: Callable[[], None]) -> None:
        """To the supervisor, or to what it finds when it wakes."""
        if host.frozen:
            host.deferred.append((is_line, act))
        elif host.manager:
            act()

    def way(self) -> float:
        """Seconds that a line is under way."""
        late = self.random.uniform(0.2, 0.6) if self.loss and self.random.random() < self.loss else 0.0
        return 0.001 + (self.random.random() * self.slow if self.slow else 0.0) + late

    def speak(self, host: Host) -> None:
        """One round of a node's keep-alives."""
        self.at(self.now + EVERY, host, lambda: self.deliver(host, False, lambda: self.speak(host)))
        self.tell(host)

    def tell(self, host: Host) -> None:
        """Say it on the connection, or dial."""
        other = self.hosts[2 - host.number]
        if host.speaking is None:
            if not (self.whole and other.awake):
                return
            if self.now < host.dials_at:
                return
            host.speaking = Connection(self.now + 0.001, self.now + 0.002)
        connection = host.speaking
        if self.stalls and not connection.stuck and self.random.random() < self.stalls:
            connection.stalls_until = self.now + self.random.uniform(0.2, 8.0)
        stalls = self.now < connection.stalls_until
        if stalls or self.cut[host.number] or (self.cut[other.number] and self.now > self.passes_until):
            connection.since = self.now if connection.since is None else connection.since
            if self.now - connection.since > GIVE_UP:
                host.dials_at = self.now + (self.random.uniform(0.0, 6.0) if self.stalls else 0.0)
                self.close(host, told=stalls)
            else:
                connection.stuck.append(host.says())
            return
        if connection.stuck:  # sent again when TCP thinks it is time
            connection.last = max(connection.last, self.now + self.random.uniform(0.0, REDIAL))
        for line in (*connection.stuck, host.says()):
            self.send(other, connection, line)
        connection.stuck, connection.since = [], None

    def send(self, other: Host, connection: Connection, line: KeepAlive) -> None:
        connection.last = max(connection.last, self.now + self.way())
        self.at(
            connection.last,
            other,
            lambda: self.deliver(other, True, lambda: self.take(other, connection, line)),
        )

    def take(self, host: Host, connection: Connection, line: KeepAlive) -> None:
        """A line arrives at the listener."""
        assert host.manager
        if not connection.open:
            return
        host.current = (
            connection if host.current is None or host.current.opened <= connection.opened else host.current
        )
        if not host.manager.heard(line, connection.opened, self.now):
            connection.open = False
            sender = self.hosts[2 - host.number]
            if sender.speaking is connection:
                sender.speaking = None
            self.ended(host, connection)

    # ---- datagrams

    def shine(self, host: Host) -> None:
        """A node sends a beacon, and so on."""
        self.at(self.now + self.beacons, host, lambda: self.deliver(host, False, lambda: self.shine(host)))
        assert host.beacons
        said = host.says()
        host.beacons = host.beacons.sends(said.beat, self.now)
        self.throw(self.hosts[2 - host.number], Beacon(said, host.beacons.echo))

    def throw(self, other: Host, beacon: Beacon) -> None:
        """A datagram goes its way, whatever else does."""
        sender = beacon.said.number
        if self.muted or self.cut[sender] or self.random.random() < self.loss:
            return
        self.at(self.now + 0.001 + self.random.random() * self.slow, None, lambda: self.catch(other, beacon))
        if self.random.random() < STRAY:
            late = self.now + self.random.choice((0.0, 0.1, 1.0, 1.9, 4.0))
            self.at(late + 0.002, None, lambda: self.catch(other, beacon))

    def catch(self, host: Host, beacon: Beacon) -> None:
        self.deliver(host, True, lambda: self.see(host, beacon))

    def see(self, host: Host, beacon: Beacon) -> None:
        if host.beacons and host.manager:
            host.beacons, proof = host.beacons.hears(beacon, self.now)
            if proof is not None:
                host.manager.beaconed(beacon.said, proof, self.now)

    # ---- the nodes

    def start(self, host: Host, ready_after: float = 0.2) -> None:
        self.note(f"node {host.number} starts")
        host.manager = Manager(
            host.publisher, host.number, host.disk.epoch, host.keep_epoch, self.now,
            self.automatic, host.disk.deactivated, host.keep_deactivated,
        )  # fmt: skip
        host.manager.alone = not self.joined
        host.awake_since, host.was_ready = self.now, False
        host.ready_at = self.now + ready_after
        host.lease, host.pipe, host.duty_frozen = Lease(), [], False
        host.beacons = None
        if self.beacons:
            host.beacons = Beacons(f"{self.random.getrandbits(64):x}")
            self.at(self.now + self.random.random() * TICK, host, lambda: self.shine(host))
        self.at(self.now + self.random.random() * TICK, host, lambda: self.beat(host))
        self.at(self.now + self.random.random() * EVERY, host, lambda: self.speak(host))
        self.at(self.now + self.random.random() * ACT, host, lambda: self.work(host))
        self.looked()

    def crash(self, host: Host, told: bool = True) -> None:
        """The process dies (its connections close), or, not told, the machine."""
        self.note(f"node {host.number} dies")
        other = self.hosts[2 - host.number]
        self.close(host, told)
        if other.speaking and told:
            self.close(other, told=False)
        host.manager, host.frozen, host.deferred, host.current = None, False, [], None
        host.life += 1
        self.looked()

    def freeze(self, host: Host, supervisor: bool, duty: bool) -> None:
        self.note(f"node {host.number} freezes")
        host.frozen_at = self.now
        host.frozen, host.duty_frozen = host.frozen or supervisor, host.duty_frozen or duty
        self.looked()

    def wake(self, host: Host) -> None:
        """What came meanwhile is found in any order, but for lines of one connection."""
        self.note(f"node {host.number} wakes")
        host.frozen, found, host.deferred = False, host.deferred, []
        if self.random.random() < 0.5:
            found.sort(key=lambda one: one[0])
        for _, act in found:
            if host.manager and not host.frozen:
                act()
        if self.random.random() < 0.5 and host.duty_frozen:
            self.act(host)
        host.duty_frozen, host.awake_since = False, self.now
        self.read_pipe(host)
        self.looked()

    def beat(self, host: Host) -> None:
        """What the node shell does ten times a second."""
        assert host.manager
        again = self.now + TICK
        self.at(again, host, lambda: self.deliver(host, False, lambda: self.beat(host)))
        health = host.health()
        change = host.manager.tick(health, self.now, self.now + host.wall)
        if change:
            host.changes += 1
            self.changed_at = self.now
            self.note(f"node {host.number}: {change.was} -> {change.now}: {change.because} ({change.epoch})")
        self.watch.beat(host, health, change)
        host.pipe.append(News(host.manager.duty(self.now), host.manager.epoch, self.now))
        if not host.duty_frozen:
            self.read_pipe(host)
        self.watch.judge()

    def read_pipe(self, host: Host) -> None:
        for news in host.pipe:
            host.lease = host.lease.renew(news.epoch, news.at or 0.0) if news.duty else host.lease.revoke()
        host.pipe.clear()

    def work(self, host: Host) -> None:
        self.at(self.now + ACT, host, lambda: self.work(host))
        if not host.duty_frozen:
            self.act(host)

    def act(self, host: Host) -> None:
        """One act of the Primary's work, if the lease and the store allow."""
        epoch = host.lease.epoch
        if not host.lease.valid(self.now):
            return
        host.disk.fence = max(host.disk.fence, epoch)
        if epoch < host.disk.fence:
            host.lease = host.lease.refuse()
            return
        self.watch.act(host, epoch)

    def settled_link(self, seconds: float) -> bool:
        """Whether both nodes run and hear each other for so long."""
        return self.whole_since is not None and self.now - self.whole_since > seconds

    @property
    def settled(self) -> bool:
        """One Primary, the other Secondary or Deactivated."""
        states = {host.status for host in self.hosts}
        return states in ({S.PRIMARY, S.SECONDARY}, {S.PRIMARY, S.DEACTIVATED})

    def order(self, host: Host, order: str) -> bool:
        """An operator's order. False: refused."""
        if not host.awake or host.manager is None:
            return False
        try:
            match order:
                case "make-primary":
                    host.manager.order_primary(self.now)
                case "deactivate":
                    host.manager.deactivate(self.now + host.wall)
                case "activate":
                    host.manager.activate(self.now + host.wall)
        except RoleRefused:
            return False
        self.note(f"node {host.number}: {order}")
        self.watch.upset_at = self.watch.ordered_at = self.now
        self.watch.judge()
        return True
