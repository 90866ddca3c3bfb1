"""What is done to the cluster: each fault has a name, a beginning and a healing."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance import scene
from tests.chaos.net import Network
from tests.chaos.nodes import NetCluster, NetNode

Act = Callable[["Stage"], Awaitable[None]]


@dataclass
class Stage:
    """Where a fault happens: `target` is the node it befalls, `other` its peer."""

    cluster: NetCluster
    network: Network
    target: NetNode
    other: NetNode
    beside: asyncio.Task[None] | None = None
    """What goes on happening until the heal."""

    async def end_beside(self) -> None:
        if self.beside:
            self.beside.cancel()
            with suppress(asyncio.CancelledError):
                await self.beside


@dataclass(frozen=True)
class Fault:
    name: str
    hold: float
    """Seconds until it is healed."""
    start: Act
    heal: Act
    moves: bool = False
    """Whether the other node becomes Primary when the target was."""
    deaf: bool = False
    """Whether the target hears no caller meanwhile: what is said then cannot be kept."""
    both_down: bool = False
    """Whether nobody may answer meanwhile."""
    splits: bool = False
    """Whether only the link between the nodes is touched, so that no call may be refused, and the
    publisher is Primary in the end."""
    alarms: bool = False
    """Whether it is a false alarm to the nodes: they need more silence to believe the next one
    (`voicemail/cluster/hearing.py`, hold-down), so the Primary moves later or not at all."""
    unnoticed: bool = False
    """Whether no status may change."""
    most: int | None = None
    """Changes of status of each node, at most."""
    lossy: bool = False
    """Whether callers' own packets are lost, so that some of them may give up."""


async def nothing(_: Stage) -> None:
    """It heals by itself."""


async def kill_node(stage: Stage) -> None:
    await stage.target.kill()


async def start_node(stage: Stage) -> None:
    await stage.target.start()


async def kill_both(stage: Stage) -> None:
    await asyncio.gather(*(node.kill() for node in stage.cluster.nodes))


async def start_both(stage: Stage) -> None:
    await asyncio.gather(*(node.start() for node in stage.cluster.nodes))


def signals(what: Callable[[NetNode], list[int]], number: signal.Signals) -> Act:
    async def act(stage: Stage) -> None:
        pids = what(stage.target)
        if not pids:
            raise RuntimeError(f"vm{stage.target.number} does not run what is to be hit")
        scene.send(pids, number)

    return act


def zygote(node: NetNode) -> list[int]:
    return scene.part(node, "voicemail.worker")[:1]


async def cut(stage: Stage) -> None:
    stage.network.cut()


async def deafen(stage: Stage) -> None:
    """The target hears nothing of its peer, which hears it."""
    stage.network.drop(stage.other.number, stage.target.number)


async def unplug(stage: Stage) -> None:
    stage.network.unplug(stage.target.number)


async def lose(stage: Stage) -> None:
    """One packet in five, between the nodes."""
    stage.network.drop(1, 2, 20)
    stage.network.drop(2, 1, 20)


async def lose_all(stage: Stage) -> None:
    """One packet in five, on every way."""
    stage.network.lose(20)


def slow(seconds: float) -> Act:
    """So late comes what one node says to the other, each way."""

    async def act(stage: Stage) -> None:
        await asyncio.to_thread(stage.network.slow, seconds)

    return act


async def flap(stage: Stage) -> None:
    """The link comes and goes, 3 s each, until it is healed."""
    stage.beside = asyncio.create_task(_flapping(stage.network))


async def _flapping(network: Network) -> None:
    while True:
        network.cut()
        await asyncio.sleep(3.0)
        network.heal()
        await asyncio.sleep(3.0)


async def kill_duties_ever_again(stage: Stage) -> None:
    """A critical service dies as soon as it runs."""
    stage.beside = asyncio.create_task(_killing(stage.target))


async def _killing(node: NetNode) -> None:
    while True:
        scene.send(scene.duties(node), signal.SIGKILL)
        await asyncio.sleep(0.1)


async def let_be(stage: Stage) -> None:
    await stage.end_beside()
    stage.network.heal()


async def mend(stage: Stage) -> None:
    stage.network.heal()


def ballast(node: NetNode) -> Path:
    return Path(node.config.directory) / "ballast"


async def fill_disk(stage: Stage) -> None:
    await asyncio.to_thread(_fill, ballast(stage.target))


def _fill(path: Path) -> None:
    block = bytes(1 << 20)
    try:
        with path.open("wb", buffering=0) as out:
            while out.write(block) == len(block):
                pass
    except OSError:
        pass  # full


async def empty_disk(stage: Stage) -> None:
    ballast(stage.target).unlink(missing_ok=True)


def clock(offset: int) -> Act:
    """Of the wall, in seconds from the right time."""

    async def act(stage: Stage) -> None:
        assert stage.target.clock
        stage.target.clock.set(offset)

    return act


KILL, STOP, CONT = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill node", 4.0, kill_node, start_node, moves=True),
        Fault(
            "freeze node", 5.0, signals(scene.tree, STOP), signals(scene.tree, CONT), moves=True, deaf=True
        ),
        Fault("unplug node", 5.0, unplug, mend, moves=True, deaf=True, alarms=True),
        Fault("cut 1 s", 1.0, cut, mend, splits=True, alarms=True),
        Fault("cut 4 s", 4.0, cut, mend, splits=True, alarms=True, moves=True),
        Fault("cut 10 s", 10.0, cut, mend, splits=True, alarms=True, moves=True),
        Fault("deaf node", 8.0, deafen, mend, splits=True, alarms=True),
        Fault("lose 20 % between", 10.0, lose, mend, splits=True, unnoticed=True),
        Fault("round trip 100 ms", 10.0, slow(0.05), mend, splits=True, unnoticed=True),
        Fault("round trip 600 ms", 10.0, slow(0.3), mend, splits=True, unnoticed=True),
        Fault("lose 20 % everywhere", 8.0, lose_all, mend, lossy=True, alarms=True),
        Fault("kill both nodes", 0.5, kill_both, start_both, both_down=True),
        Fault("full disk", 5.0, fill_disk, empty_disk),
        Fault("kill database", 2.0, signals(scene.postmaster, KILL), nothing),
        Fault("kill edge", 2.0, signals(scene.edge, KILL), nothing),
        Fault("kill workers' zygote", 2.0, signals(zygote, KILL), nothing),
        Fault("kill Primary's services", 2.0, signals(scene.duties, KILL), nothing),
        Fault("kill them ever again", 12.0, kill_duties_ever_again, let_be, moves=True),
    )
}
CLOCK = {
    fault.name: fault
    for fault in (
        Fault("clock 1 h ahead", 8.0, clock(3600), clock(0)),
        Fault("clock 1 h behind", 8.0, clock(-3600), clock(0)),
    )
}
LONG = {
    fault.name: fault
    for fault in (
        Fault("cut 30 s", 30.0, cut, mend, splits=True, alarms=True, moves=True),
        Fault("lose 20 % for 600 s", 600.0, lose, mend, splits=True, unnoticed=True),
        Fault("round trip 2 s", 10.0, slow(1.0), mend, splits=True),
        Fault("flap 20 times", 120.0, flap, let_be, splits=True, alarms=True, moves=True, most=4),
        Fault("cut 300 s", 300.0, cut, mend, splits=True, alarms=True, moves=True),
    )
}
