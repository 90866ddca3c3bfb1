"""The power of both servers goes at one moment, while people leave messages: what was confirmed is on disk.

    unshare --mount .venv/bin/python -m tests.acceptance.power

Each node has a disk of its own (disks.py) that keeps what was fsynced and loses the rest; a file beside the
messages that nobody fsyncs shows that it does. `--mount`, because a disk whose power was cut can be mounted
anew only when nobody else, in a mount namespace made meanwhile, has it mounted still.
"""

import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from store.ids import uuid7
from store.model import Message, User
from store.server import STOP_FAST
from tests.acceptance import scene
from tests.acceptance.callers import Callers, Outcome
from tests.acceptance.conftest import ended
from tests.acceptance.disks import Disk
from tests.fakes.sip_pool import noise
from voicemail import pins, programs
from voicemail.secrets import NodeFiles
from voicemail.tour.local import LocalCluster, LocalNode, descendants

MAILBOXES = ("2201", "2202", "2203")
PER_SECOND = 3.0
WHOLE = 2.0
"""Seconds of a message at least, when its caller spoke for 2.5 behind the tone."""
CONTROL = b"nobody fsyncs this" * 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Two nodes on disks of their own."""

    cluster: LocalCluster
    disks: tuple[Disk, Disk]


@asynccontextmanager
async def cluster_on_disks(home: Path) -> AsyncIterator[Place]:
    plan = scene.plan(home / "power", workers=2)
    async with AsyncExitStack() as stack:
        cluster = LocalCluster(plan)
        one, two = (Disk(home / f"vm{node.number}.image", node.config.directory) for node in cluster.nodes)
        for disk in (one, two):
            stack.callback(disk.unmount)
            disk.mount()
        stack.push_async_callback(ended, cluster)
        await cluster.start()
        yield Place(cluster, (one, two))


async def people(cluster: LocalCluster) -> dict[str, UUID]:
    """Mailboxes known on both nodes."""
    first, second = cluster.nodes
    async with first.store() as here, second.store() as there:
        for extension in MAILBOXES:
            user = User(uuid7(), extension, extension, "", pin_hash=pins.hashed(scene.PIN))
            await here.users.add(user)
            await here.users.set_greeting(user.id, noise(0.3, 5))
        await scene.seen("the users on both nodes", lambda: there.users.get(user.id), 5)
        found = [await here.users.by_extension(extension) for extension in MAILBOXES]
        return {user.extension: user.id for user in found if user}


async def with_spools_alone(cluster: LocalCluster) -> None:
    """For a moment both databases stand still: calls that end now are confirmed by the spool alone."""
    scene.send([pid for node in cluster.nodes for pid in databases(node)], signal.SIGSTOP)
    await asyncio.sleep(1.5)


def databases(node: LocalNode) -> list[int]:
    (postmaster,) = scene.postmaster(node)
    return [postmaster, *descendants(postmaster)]


async def cut_power(place: Place) -> None:
    """Every process stops, both disks are gone, then every process. Who stands still confirms nothing that
    comes too late for its disk."""
    for disk in place.disks:
        (disk.place / "control").write_bytes(CONTROL)
    pids = [pid for node in place.cluster.nodes for pid in scene.tree(node)]
    scene.send(pids, signal.SIGSTOP)
    for disk in place.disks:
        disk.cut_power()
    for node in place.cluster.nodes:
        await node.kill()
    await scene.gone(pids)
    for disk in place.disks:
        disk.unmount()
        disk.mount()


def forgot(disk: Disk) -> bool:
    """Whether what nobody fsynced is lost."""
    control = disk.place / "control"
    return not control.exists() or control.read_bytes() != CONTROL


def on_two_disks(node: LocalNode) -> set[UUID]:
    """Messages whose deposit this node called done with two copies, by its log, which is on no such disk."""
    told = set()
    for line in node.log.read_text().splitlines():
        with suppress(ValueError):
            said = json.loads(line)
            if said.get("event") == "message deposited" and said["copies"] == 2:
                told.add(UUID(said["message_id"]))
    return told


async def held(node: LocalNode, boxes: dict[str, UUID]) -> list[Message]:
    """The messages of this node's database."""
    async with node.store() as store:
        listings = [await store.messages.listing(box) for box in boxes.values()]
    return [message for listing in listings for message in listing]


async def held_alone(node: LocalNode, boxes: dict[str, UUID]) -> set[UUID]:
    """The same, of the database alone: nothing comes from the spool or the other node."""
    server = programs.database(node.config, NodeFiles(node.config))
    await asyncio.to_thread(server.prepare)
    with node.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(*server.argv(), env=server.environment(), stderr=log)
    try:
        await asyncio.to_thread(server.wait_ready)
        return {message.id for message in await held(node, boxes)}
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(STOP_FAST)
        await process.wait()


async def leave_messages(cluster: LocalCluster) -> tuple[Callers, asyncio.Task[None]]:
    """At both edges, until the task is cancelled."""
    edges = [("127.0.0.1", node.config.sip.port) for node in cluster.nodes]
    callers = Callers((edges[0], edges[1]), MAILBOXES)
    flood = asyncio.create_task(callers.flood(1000, PER_SECOND))
    await asyncio.sleep(random.uniform(6.0, 7.0))
    return callers, flood


async def lost_nothing(nodes: Iterable[LocalNode], boxes: dict[str, UUID], told: set[UUID]) -> None:
    async with asyncio.TaskGroup() as group:
        there = [group.create_task(held_alone(node, boxes)) for node in nodes]
    missing = [told - one.result() for one in there]
    assert not any(missing), f"lost on vm1 and vm2, though told to be on two disks: {missing}"


def least(outcome: Outcome, cut: float) -> float:
    """Seconds that this call's message must have. Who hung up just before the cut may have lost a second."""
    return WHOLE if outcome.spoke[1] < cut - 0.5 else WHOLE - 1


async def hold(node: LocalNode, boxes: dict[str, UUID], wanted: dict[str, float]) -> int:
    """The node comes to hold every wanted caller once, so long; how many messages there are."""
    there: list[Message] = []

    async def all_there() -> bool:
        there[:] = await held(node, boxes)
        return set(wanted) <= {message.caller for message in there}

    await scene.seen(f"every confirmed message on vm{node.number}", all_there, 10)
    assert max(Counter(message.caller for message in there).values()) == 1, there
    short = [message for message in there if message.seconds < wanted.get(message.caller, 0.0)]
    assert not short, f"vm{node.number} lost ends of messages: {short}"
    return len(there)


async def trial(home: Path) -> str:
    """What was seen, in a line."""
    async with cluster_on_disks(home) as place:
        nodes = place.cluster.nodes
        boxes = await people(place.cluster)
        callers, flood = await leave_messages(place.cluster)
        before = callers.of("confirmed")
        await with_spools_alone(place.cluster)
        cut = time.monotonic()
        await cut_power(place)
        confirmed = callers.of("confirmed")
        wanted = {each.number: least(each, cut) for each in callers.outcomes if each.number in confirmed}
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        assert all(map(forgot, place.disks)), "these disks lose nothing, so this test shows nothing"
        told = set.union(*map(on_two_disks, nodes))
        assert len(confirmed) > len(before) > 3 and len(told) > 3, (before, confirmed, told)
        await lost_nothing(nodes, boxes, told)
        await asyncio.gather(*(node.start() for node in nodes))
        await place.cluster.in_service()
        took = time.monotonic() - cut
        there = [await hold(node, boxes, wanted) for node in nodes]
    return (
        f"power cut: {len(confirmed)} calls confirmed, {len(confirmed - before)} of them by the spool alone, "
        f"{len(told)} messages told to be on two disks, "
        f"{there} there at vm1 and vm2; both in service again {took:.1f} s after the cut"
    )


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="tandem-power-", dir="/tmp"))
    home.chmod(0o755)
    try:
        sys.stdout.write(asyncio.run(trial(home)) + "\n")
    except BaseException:
        sys.stderr.write(f"kept for a look: {home}\n")
        raise
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
