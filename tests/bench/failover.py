"""What callers notice when a node is killed, freezes or is drained, by the way they come.

    .venv/bin/python tests/bench/failover.py --rate 1 --seconds 12

Two real nodes on loopback. Four crowds call at once: by DNS SRV without and with a memory for silent
targets, by the balancer, and as a PBX with two trunks that it qualifies by OPTIONS. Each fault befalls vm1.
It prints a table and judges nothing.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from store.ids import uuid7
from store.model import User
from tests.acceptance import scene
from tests.acceptance.fronts import DOMAIN, Call, Crowd, Names, Remembering, Trunks, drained, row
from tests.fakes.balancer import running_balancer, running_dnsmasq
from tests.fakes.sip import Where
from tests.fakes.sip_pool import noise
from voicemail.deploy.balancer import balancer
from voicemail.secrets import NodeFiles
from voicemail.tour.local import LocalCluster, LocalNode, Plan

MAILBOXES = tuple(str(number) for number in range(2201, 2211))
MEMORY = 30.0
"""Seconds for which a telephone avoids a silent target."""


@dataclass(frozen=True)
class Line:
    """What callers of one way met during one fault."""

    fault: str
    way: str
    figures: dict[str, str | int]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rate", type=float, default=1.0, help="calls a second of each way")
    parser.add_argument("--seconds", type=float, default=12.0, help="from the fault until its end")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--fault", choices=list(FAULTS), action="append", help="only this one; repeatable")
    return parser.parse_args()


# ---- faults: from its beginning to its end, the node in service again


@asynccontextmanager
async def nothing(node: LocalNode) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def killed(node: LocalNode) -> AsyncIterator[None]:
    await node.kill()
    yield
    await node.start()


@asynccontextmanager
async def stopped(node: LocalNode) -> AsyncIterator[None]:
    async with scene.frozen(scene.tree(node)):
        yield


FAULTS = {"calm": nothing, "killed (-9)": killed, "frozen (SIGSTOP)": stopped, "drained": drained}


async def round_of(name: str, cluster: LocalCluster, crowds: list[Crowd], asked: argparse.Namespace) -> None:
    """Calls before, during and a little after the fault."""
    stop = asyncio.Event()

    async def run() -> float:
        await asyncio.sleep(2)
        async with FAULTS[name](cluster.nodes[0]):
            began = time.monotonic()
            await asyncio.sleep(asked.seconds)
        stop.set()
        return began

    *_, began = await asyncio.gather(*(crowd.until(stop, asked.rate) for crowd in crowds), run())
    for crowd in crowds:
        crowd.calls = [call for call in crowd.calls if call.began >= began - 2]
    await cluster.in_service(60)


async def messages(cluster: LocalCluster, mailboxes: tuple[str, ...]) -> list[list[str]]:
    """Callers of all messages, by node."""
    found = []
    for node in cluster.nodes:
        async with node.store() as store:
            callers = []
            for mailbox in mailboxes:
                user = await store.users.by_extension(mailbox)
                assert user
                callers += [message.caller for message in await store.messages.listing(user.id)]
            found.append(callers)
    return found


async def lost(cluster: LocalCluster, calls: list[Call], within: float = 20.0) -> int:
    """Confirmed calls without a message on either node, once replication had its time; doubled ones count
    too."""
    confirmed = {each.number for call in calls for each in call.tries if each.end == "confirmed"}
    ends = time.monotonic() + within
    while True:
        both = await messages(cluster, MAILBOXES)
        missing = max(len(confirmed - set(callers)) for callers in both)
        doubled = max(len(callers) - len(set(callers)) for callers in both)
        if not missing + doubled or time.monotonic() > ends:
            return missing + doubled
        await asyncio.sleep(0.5)


# ---- the callers


async def ways(stack: AsyncExitStack, cluster: LocalCluster) -> Callable[[], list[Crowd]]:
    """Starts what the callers need; makes fresh crowds for each round."""
    first = cluster.nodes[0]
    members = NodeFiles(first.config).membership().members
    front = await stack.enter_async_context(running_balancer(balancer(cluster.plan.balancers[0], members)))
    port = scene.free_port()
    text = await first.command("deploy", "dns", "--format", "dnsmasq", "--domain", DOMAIN)
    await stack.enter_async_context(running_dnsmasq(text, port))
    names = Names(("127.0.0.1", port))
    trunks = Trunks([("127.0.0.1", node.config.sip.port) for node in cluster.nodes])
    asking = asyncio.create_task(trunks.qualify())
    stack.callback(asking.cancel)

    async def balanced() -> list[Where]:
        return [front]

    def fresh() -> list[Crowd]:
        memory = Remembering(names.targets, MEMORY)
        return [
            Crowd("DNS SRV, no memory", names.targets, MAILBOXES),
            Crowd(f"DNS SRV, remembers {MEMORY:g} s", memory.targets, MAILBOXES, memory),
            Crowd("balancer", balanced, MAILBOXES),
            Crowd("PBX, two trunks, qualify 2 s", trunks.targets, MAILBOXES),
        ]

    return fresh


async def people(node: LocalNode) -> None:
    async with node.store() as store:
        for mailbox in MAILBOXES:
            user = User(uuid7(), mailbox, f"User {mailbox}", "")
            await store.users.add(user)
            await store.users.set_greeting(user.id, noise(0.5, 99))


async def measure(plan: Plan, asked: argparse.Namespace) -> list[Line]:
    lines = []
    async with AsyncExitStack() as stack:
        cluster = LocalCluster(plan)
        stack.push_async_callback(cluster.stop)
        await cluster.start()
        await people(cluster.nodes[0])
        fresh = await ways(stack, cluster)
        for fault in asked.fault or FAULTS:
            together: dict[str, list[Call]] = {}
            for _ in range(asked.rounds):
                crowds = fresh()
                await round_of(fault, cluster, crowds, asked)
                for crowd in crowds:
                    together.setdefault(crowd.way, []).extend(crowd.calls)
            for way, calls in together.items():
                lines.append(Line(fault, way, row(calls, await lost(cluster, calls))))
                print_line(lines[-1])
                whys = Counter(call.tries[-1].why for call in calls if call.end == "cut")
                if whys:
                    sys.stderr.write(f"  cut: {dict(whys)}\n")
    return lines


def print_line(line: Line) -> None:
    values = " | ".join(str(value) for value in line.figures.values())
    print(f"| {line.fault} | {line.way} | {values} |", flush=True)


def main() -> None:
    asked = options()
    folder = Path(tempfile.mkdtemp(prefix="tandem-failover-", dir="/tmp"))
    head = ["fault", "callers come by", *row([]), ""]
    print("| " + " | ".join(head).rstrip())
    plan = scene.plan(
        folder,
        workers=12,
        allowed_networks=("127.0.0.1/32",),
        balancers=(f"127.0.0.20:{scene.free_port()}",),
    )
    try:
        asyncio.run(measure(plan, asked))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
