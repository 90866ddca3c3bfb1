"""Random schedules of faults for the simulated cluster of world.py: a seed is a schedule."""

from collections.abc import Callable
from random import Random

from tests.fakes.host import Host
from tests.fakes.watch import REACTION, REDIAL
from tests.fakes.world import World
from voicemail.cluster.hearing import START
from voicemail.cluster.roles import Status

S = Status
SPANS = (0.1, 0.35, 0.7, 1.1, 1.6, 2.1, 2.6, 3.5, 5.0, 9.0)
"""Seconds that a fault lasts: about the limits that decide."""
BEACONS = 0.2
"""Seconds between two beacons: fewer than there are, to be quicker."""
STAYS = 2.0
"""Seconds without a change after which nothing is under way any more."""
ORDERS = ("make-primary", "deactivate", "activate")


def one_world(random: Random) -> World:
    """With a link, merges and starts that are slow or fast."""
    loss = random.choice((0.0, 0.0, 0.0, 0.05, 0.2))
    world = World(random, random.random() < 0.8, random.choice((0.0, 0.0, 0.05, 0.3)), loss)
    world.beacons = random.choice((0.0, 0.0, BEACONS))
    world.merge_takes = random.choice((0.0, 0.5, 3.0, 8.0))
    return world


def start(world: World, host: Host) -> None:
    slow = world.random.random()
    takes = 3.0 if slow < 0.2 else START + 4.0 if slow < 0.24 else 0.2
    world.start(host, world.random.uniform(0.1, takes))


def fault(world: World, host: Host, name: str, seconds: float) -> None:
    """Make it happen now, and end after so long."""
    ends = FAULTS[name](world, host)
    if ends:
        world.at(world.now + seconds, None, ends)


def _cut(world: World, _host: Host) -> Callable[[], None]:
    for sender in (1, 2):
        world.set_cut(sender, True)

    def heal() -> None:
        for sender in (1, 2):
            world.set_cut(sender, False)

    return heal


def _cut_one_way(world: World, host: Host) -> Callable[[], None]:
    world.set_cut(host.number, True, world.random.choice((0.0, 0.5, 2.0, 100.0)))
    return lambda: world.set_cut(host.number, False)


def _reset(world: World, _host: Host) -> None:
    world.reset()


def _frozen(supervisor: bool, duty: bool) -> Callable[[World, Host], Callable[[], None] | None]:
    def begin(world: World, host: Host) -> Callable[[], None] | None:
        if not host.awake:
            return None
        life = host.life
        world.freeze(host, supervisor, duty)
        return lambda: world.wake(host) if host.life == life and host.manager else None

    return begin


def _dead(told: bool) -> Callable[[World, Host], Callable[[], None] | None]:
    def begin(world: World, host: Host) -> Callable[[], None] | None:
        if host.manager is None:
            return None
        world.crash(host, told)
        return lambda: start(world, host) if host.manager is None else None

    return begin


def _both_dead(world: World, _host: Host) -> Callable[[], None]:
    ends = [_dead(True)(world, host) for host in world.hosts]

    def again() -> None:
        for end in ends:
            if end:
                end()

    return again


def _duties_fail(world: World, host: Host) -> Callable[[], None]:
    world.note(f"the Primary's services fail on node {host.number}")
    host.duties_work, world.watch.upset_at = False, world.now

    def mended() -> None:
        world.note(f"the Primary's services work on node {host.number}")
        host.duties_work, world.watch.upset_at = True, world.now

    return mended


def _flicker(world: World, host: Host) -> None:
    """Down for so short that the other node is just hearing of it."""
    world.at(world.now + world.random.uniform(0.1, 0.5), None, _duties_fail(world, host))


def _calls_fail(world: World, host: Host) -> Callable[[], None]:
    world.note(f"no call can be answered on node {host.number}")
    host.calls_work, world.watch.upset_at = False, world.now

    def mended() -> None:
        host.calls_work = True

    return mended


def _disk_full(world: World, host: Host) -> Callable[[], None]:
    world.note(f"the disk of node {host.number} is full")
    host.disk.full = True

    def emptied() -> None:
        host.disk.full = False

    return emptied


def _muted(world: World, _host: Host) -> Callable[[], None]:
    world.note("datagrams do not pass")
    world.muted = True

    def unmuted() -> None:
        world.note("datagrams pass")
        world.muted = False

    return unmuted


def _jump(world: World, host: Host) -> None:
    host.wall += world.random.choice((-86400.0, -5.0, 3600.0))


def _order(world: World, host: Host) -> None:
    world.order(host, world.random.choice(ORDERS))


def _wish(world: World, host: Host) -> None:
    world.order(host, "make-primary")


FAULTS: dict[str, Callable[[World, Host], Callable[[], None] | None]] = {
    "cut": _cut,
    "cut one way": _cut_one_way,
    "reset": _reset,
    "freeze": _frozen(True, True),
    "freeze the supervisor": _frozen(True, False),
    "freeze the Primary's process": _frozen(False, True),
    "kill": _dead(True),
    "power off": _dead(False),
    "kill both": _both_dead,
    "duties fail": _duties_fail,
    "calls fail": _calls_fail,
    "disk full": _disk_full,
    "no datagrams": _muted,
    "clock jumps": _jump,
    "order": _order,
    "services flicker": _flicker,
    "make-primary": _wish,
}


def plan(world: World, lasting: float) -> None:
    """Some faults at random times within so many seconds."""
    random = world.random
    for _ in range(random.randint(1, 7)):
        name, host = random.choice(list(FAULTS)), random.choice(world.hosts)
        seconds, when = random.choice(SPANS), world.now + random.uniform(0.0, lasting)
        world.at(when, None, lambda n=name, h=host, s=seconds: fault(world, h, n, s))  # type: ignore[misc]


def calm(world: World) -> float:
    """End every fault. Gives the seconds within which the cluster settles: the patience and starts that
    are under way, the merge, and some rounds of keep-alives."""
    world.muted = False
    for sender in (1, 2):
        world.set_cut(sender, False)
    for host in world.hosts:
        host.duties_work = host.calls_work = True
        host.disk.full = False
        if host.manager is None:
            start(world, host)
        elif host.frozen or host.duty_frozen:
            world.wake(host)
    patience = max(host.manager.hearing.patience for host in world.hosts if host.manager)
    start_ends = max(host.ready_at for host in world.hosts) - world.now
    rounds = 6 * (REACTION + world.slowest) + REDIAL
    return patience + max(0.0, start_ends) + 2 * world.merge_takes + rounds


def found(world: World) -> None:
    """The publisher is there first, alone."""
    world.joined = False
    world.start(world.hosts[0])
    world.run(1.0)
    if world.hosts[0].status is not S.PRIMARY:
        world.broken("a node alone is not Primary")
    world.joined = True
    if world.hosts[0].manager:
        world.hosts[0].manager.alone = False


def settle(world: World) -> float:
    """Seconds until one is Primary, the other not, and it has stayed so. Raises Broken."""
    within = calm(world) + STAYS
    world.changed_at = world.now
    return world.run_until(lambda: world.settled and world.now - world.changed_at > STAYS, within)


def swap(world: World) -> None:
    """An operator makes the Secondary Primary: within two seconds, and no other way."""
    chosen = next((host for host in world.hosts if host.status is S.SECONDARY), None)
    if chosen is None:
        return
    if not world.order(chosen, "make-primary"):
        world.broken("make-primary is refused in calm")
    world.run_until(lambda: chosen.status is S.PRIMARY and world.settled, 2.0 + 3 * world.slowest, 0.05)
    world.run(world.now + 1.0)
    if chosen.status is not S.PRIMARY:
        world.broken("make-primary does not last")


def schedule(seed: int) -> World:
    """A whole schedule. Raises Broken, with the seed's story."""
    random = Random(seed)
    world = one_world(random)
    if random.random() < 0.05:
        found(world)
    else:
        start(world, world.hosts[0])
    start(world, world.hosts[1])
    if random.random() < 0.6:
        world.run(3.5)
    plan(world, 8.0)
    world.run(world.now + 8.0)
    settle(world)
    if random.random() < 0.4:
        swap(world)
    return world
