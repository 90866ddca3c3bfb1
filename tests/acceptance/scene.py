"""What all acceptance tests share: a place for two nodes, their people, their parts, and who is left."""

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from store.ids import uuid7
from store.model import Message, User
from store.replica import Digest, Replica
from voicemail import pins, programs
from voicemail.secrets import NodeFiles
from voicemail.tour.local import LocalCluster, LocalNode, Plan, descendants
from voicemail.tour.tour import Person, Tour, set_up

PIN = "481516"
BLOCK = 4000
"""Ports of one cluster; see `plan`."""
taken: list[int] = []
OWN_PHONES = "127.0.0.30"
"""Where phones of users are; 127.0.0.1 is the PBX."""


def plan(directory: Path, **more: Any) -> Plan:
    """A place below 32768, where the system gives no ports away by itself."""
    blocks = random.sample(range(8060, 28000, 40), 400)
    start = next(  # those of clusters that have ended may be used again, when there is no other
        block
        for others in (taken, taken[-2:])
        for block in blocks
        if all(abs(block - other) >= BLOCK for other in others) and free(block)
    )
    taken.append(start)
    return Plan(directory, sip=start, rtp=start + 600, workers_at=start + 3000, **more)


def free(block: int) -> bool:
    """Whether nobody uses a port of it."""
    try:
        for port in (*range(block, block + 30), *range(block + 3000, block + 3130)):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        for port in range(block + 200, block + 2200, 2):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def seen(what: str, look: Callable[[], Awaitable[Any]], within: float) -> float:
    """Seconds until `look` finds something true."""
    began = time.monotonic()
    while not await look():
        assert time.monotonic() - began < within, f"not seen within {within:g} s: {what}"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


class Scene:
    """A running cluster, its PBX, phone and stores. Users are called at `call_port`, where nobody is until a
    test is."""

    def __init__(self, cluster: LocalCluster, tour: Tour, mail_port: int, call_port: int = 0) -> None:
        self.cluster, self.tour, self.mail_port, self.call_port = cluster, tour, mail_port, call_port
        self.first, self.second = cluster.nodes
        self.people: dict[str, Person] = {}

    async def person(self, extension: str, mail: str = "", greeting: bytes | None = None) -> Person:
        """A mailbox of this extension, known on both nodes; made when it is not there."""
        if extension not in self.people:
            user = User(uuid7(), extension, f"User {extension}", mail, pin_hash=pins.hashed(PIN))
            await self.tour.stores[0].users.add(user)
            await set_up(self.tour.stores[0], user.id)
            if greeting:
                await self.tour.stores[0].users.set_greeting(user.id, greeting)
            await seen("the user on both nodes", lambda: self.tour.stores[1].users.get(user.id), 5)
            self.people[extension] = Person(extension, PIN, user.id)
        return self.people[extension]

    async def with_mail(self, person: Person, address: str) -> None:
        user = await self.tour.stores[0].users.get(person.id)
        assert user
        await self.tour.stores[0].users.change(replace(user, mail=address))

    async def messages(self, person: Person) -> tuple[list[Message], list[Message]]:
        """Of both nodes."""
        one, two = self.tour.stores
        return list(await one.messages.listing(person.id)), list(await two.messages.listing(person.id))

    async def roles(self) -> list[str]:
        return sorted([(await node.status()).get("status", "?") for node in self.cluster.nodes])

    async def settled(self, within: float = 30.0) -> float:
        """One Primary, one Secondary, everything running, and both hold the same."""
        began = time.monotonic()

        async def calm() -> bool:
            return await self.roles() == ["Primary", "Secondary"]

        await seen("one Primary and one Secondary", calm, within)
        await self.cluster.in_service(within)
        await seen("both nodes hold the same", self.alike, within)
        return time.monotonic() - began

    async def alike(self) -> bool:
        one, two = await digests(self.first, 2), await digests(self.second, 1)
        return one == two

    async def primary(self) -> tuple[LocalNode, LocalNode]:
        """The Primary and the other one."""
        for node, other in ((self.first, self.second), (self.second, self.first)):
            if (await node.status()).get("status") == "Primary":
                return node, other
        raise AssertionError("no node is Primary")


async def digests(node: LocalNode, peer: int) -> dict[str, Digest]:
    """What this node's store holds, table by table."""
    server = programs.database(node.config, NodeFiles(node.config))
    async with Replica.open(server.conninfo("postgres"), node.number, peer) as replica:
        return await replica.digests()


# ---- processes


def command_of(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def alive(pid: int) -> bool:
    """Not a zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


async def gone(pids: Iterable[int], within: float = 2.0) -> None:
    """None of them is left. The kernel may take a moment to end what was killed."""
    ends = time.monotonic() + within
    while left := [(pid, command_of(pid)) for pid in pids if alive(pid)]:
        assert time.monotonic() < ends, left
        await asyncio.sleep(0.05)


def tree(node: LocalNode) -> list[int]:
    assert node.process
    return [node.process.pid, *descendants(node.process.pid)]


def part(node: LocalNode, mark: str) -> list[int]:
    """Processes of the node with `mark` in their command, oldest first."""
    return sorted(pid for pid in tree(node) if mark in " ".join(command_of(pid)))


def workers(node: LocalNode) -> list[int]:
    """Without their zygote."""
    return part(node, "voicemail.worker")[1:]


def edge(node: LocalNode) -> list[int]:
    return part(node, f"{node.config.run_directory}/kamailio.cfg")


def postmaster(node: LocalNode) -> list[int]:
    return part(node, str(node.config.directory / "database"))[:1]


def duties(node: LocalNode) -> list[int]:
    return part(node, "voicemail.primary.service")


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@asynccontextmanager
async def frozen(pids: list[int]) -> AsyncIterator[None]:
    """SIGSTOP to all of them, SIGCONT in the end."""
    send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pids, signal.SIGCONT)
