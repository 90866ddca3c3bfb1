"""`./run`: start two nodes here, show what they do, leave them running for the user's own phone."""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

from sip.errors import SipError
from store.errors import StoreError
from voicemail.errors import VoicemailError
from voicemail.sink import Sink
from voicemail.tour.local import LocalCluster, Plan
from voicemail.tour.tour import Person, Tour, set_up

PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
FAILURES = (VoicemailError, SipError, StoreError, TimeoutError, OSError)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--tour-only", action="store_true", help="end after the tour: 0 when all was seen, else 1"
    )
    what.add_argument("--no-tour", action="store_true", help="start only")
    parser.add_argument("--address", default="127.0.0.1", help="where phones reach this machine")
    parser.add_argument("--port", type=int, default=5060, help="SIP port of the first node (second: +20)")
    parser.add_argument("--workers", type=int, default=4, help="worker processes a node, 4 calls each")
    return parser.parse_args()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Show:
    """Prints each step, what was seen and how long it took."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.steps = 0

    async def step(self, title: str, work: Awaitable[str]) -> None:
        self.steps += 1
        began = time.monotonic()
        sys.stdout.write(f"{self.steps:2}. {title} … ")
        sys.stdout.flush()
        seen = await work
        say(f"{time.monotonic() - began:.1f} s\n    {seen}")


async def add_people(cluster: LocalCluster) -> list[Person]:
    people = []
    for extension, name in (("1001", "Anna"), ("1002", "Ben")):
        mail = f"{name.lower()}@example.com"
        words = ("user", "add", extension, "--name", name, "--mail", mail, "--json")
        pin = json.loads(await cluster.nodes[0].command(*words))[0]["PIN"]
        async with cluster.nodes[0].store() as store:
            user = await store.users.by_extension(extension)
            if user and name == "Anna":  # Ben is asked for name, greeting and PIN when he first signs in
                await set_up(store, user.id)
        people.append(Person(extension, pin, user.id if user else UUID(int=0)))
        say(f"    mailbox {extension} ({name}), PIN {pin}")
    return people


async def take(tour: Tour, show: Show, anna: Person, ben: Person) -> None:
    """All steps in order."""
    await show.step("a phone subscribes to the lamp of 1001", tour.subscribe(anna))
    await show.step("a PBX forwards a caller to 1001, who leaves a message", tour.leave(anna))
    await show.step("the lamp goes on at phone and trunk", tour.lamp(on=True))
    await show.step("the mail with the recording arrives", tour.mail(1))
    await show.step("1001 dials the pilot, hears the message and deletes it", tour.retrieve(anna))
    await show.step("the lamp goes off", tour.lamp(on=False))
    await show.step("kill -9 of the Primary in the middle of a recording", tour.cut_off(ben))
    await show.step("the next call", tour.next_call(ben))
    await show.step("the killed node comes back", tour.heal(ben))


async def run(chosen: argparse.Namespace, home: Path) -> int:
    """0 when everything that was asked for was seen."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    trunk_port = free_port()
    trunk = (
        f'[[trunk]]\nname = "pbx"\naddresses = ["{chosen.address}"]\n'
        f'lamp_uri = "sip:mwi-{{extension}}@{chosen.address}:{trunk_port}"\n'
    )
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(Sink(home / "mails"))
        plan = Plan(
            home, chosen.address, chosen.port, workers=chosen.workers, allowed_networks=PRIVATE,
            mail_port=sink.port, more=trunk,
        )  # fmt: skip
        cluster = LocalCluster(plan, lambda line: say(f"    {line}"))
        stack.push_async_callback(cluster.stop)
        ended = asyncio.create_task(stop.wait())
        work = asyncio.create_task(show_all(cluster, chosen, home, trunk_port))
        await asyncio.wait({ended, work}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            return 130
        code = work.result()
        if code == 0 and not chosen.tour_only:
            tell_how(cluster, home)
            await ended
        say("stopping …")
        return code


async def show_all(cluster: LocalCluster, chosen: argparse.Namespace, home: Path, trunk_port: int) -> int:
    began = time.monotonic()
    say("Starting two nodes on this machine")
    try:
        await cluster.start()
        anna, ben = await add_people(cluster)
        say(f"    both nodes are in service after {time.monotonic() - began:.1f} s")
        if not chosen.no_tour:
            say("\nThe tour, with real calls")
            began = time.monotonic()
            async with AsyncExitStack() as stack:
                tour = Tour(cluster, home, home / "mails")
                await tour.open(stack, trunk_port)
                await take(tour, Show(), anna, ben)
            say(f"\nThe tour is over: all was seen, in {time.monotonic() - began:.0f} s.")
    except FAILURES as failure:
        say(f"\nFAILED: {failure or type(failure).__name__}")
        for node in cluster.nodes:
            say(f"    its log: {node.log}")
        return 1
    return 0


def tell_how(cluster: LocalCluster, home: Path) -> None:
    first, second = cluster.nodes
    say(
        f"\nThe cluster is up. Point a softphone (no registration) at either node and dial:\n"
        f"    sip:{cluster.plan.pilot}@{first.edge}   the pilot: sign in with ID and PIN\n"
        f"    sip:1001@{second.edge}   leave a message for 1001\n"
        f"    mails arrive in {home / 'mails'}, logs in {home}\n"
        f"    .venv/bin/voicemail cluster status --config {first.path}\n"
        f"Phones on other machines: ./run --address (this machine's address). Ctrl-C stops everything."
    )


def main() -> int:
    chosen = options()
    home = Path(tempfile.mkdtemp(prefix="tandem-", dir="/var/tmp"))
    code = 1
    try:
        code = asyncio.run(run(chosen, home))
    finally:
        if code == 1 and os.environ.get("CI"):
            for log in sorted(home.glob("*.log")):
                say(f"---- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-60:]))
        if code != 1:
            shutil.rmtree(home, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
