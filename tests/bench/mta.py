"""What mails, and voice messages to other systems, cost the Primary; how soon a mail is with the mail server.

    .venv/bin/python tests/bench/mta.py --mails 200

Two real nodes by the administrator's commands, a real Postfix as smart host and as the other system: all on
this machine, on loopback, and gone afterwards. It prints figures and judges none. Only root can run it.
"""

import argparse
import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from sip import wav
from store.ids import uuid7
from store.model import OUTGOING, Envelope, NewMessage, Setting, User
from store.postgres import PostgresStore
from tests.bench import processes
from tests.bench.sound import noise
from tests.fakes.postfix import Pace, Postfix, running_postfix
from voicemail import departures
from voicemail.policy.locations import Location, Tls
from voicemail.tour.local import LocalCluster, Plan

HERE, FAR = "example.com", "far.example"
LONGEST = 300.0
"""Seconds that a part of the run may take."""
AT_ONCE = 4
"""Deposits."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mails", type=int, default=200, help="in each part")
    parser.add_argument(
        "--rate", type=float, default=5.0, help="deposits a second while the delay is measured"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of sound in each message")
    parser.add_argument("--port", type=int, default=9060, help="SIP port of the first node")
    return parser.parse_args()


@dataclass(frozen=True, slots=True)
class Spent:
    """While so many mails went out: seconds, CPU seconds of the Primary's process and of all else."""

    mails: int
    wall: float
    primary: float
    machine: float

    def __str__(self) -> str:
        return (
            f"{self.mails / self.primary:.0f} per core-second ({1000 * self.primary / self.mails:.1f} ms); "
            f"{self.mails / self.wall:.0f}/s by the clock; machine {self.machine / self.wall:.1f} cores busy"
        )


class Bench:
    """One run."""

    def __init__(self, chosen: argparse.Namespace, home: Path, postfix: Postfix, pace: Pace) -> None:
        self.chosen, self.postfix, self.pace = chosen, postfix, pace
        port = chosen.port
        plan = Plan(
            home, sip=port, workers_at=port + 240, rtp=16000, workers=1, mail_port=postfix.port,
        )  # fmt: skip
        self.cluster = LocalCluster(plan, note)
        self.sound = wav.file_ulaw(noise(1, chosen.seconds))
        self.users: dict[str, UUID] = {}
        self.author = uuid4()

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.cluster.stop)
            await self.cluster.start()
            self.store: PostgresStore = await stack.enter_async_context(self.cluster.nodes[0].store())
            await self.add_people()
            await asyncio.sleep(5.0)
            idle = await self.idle(10.0)
            await self.delays()
            for what, act in (
                ("mails", self.deposits),
                ("voice messages to another system", self.departures),
            ):
                spent = await self.load(act, idle)
                print(f"{what}: {spent}")

    async def add_people(self) -> None:
        note(f"adding {self.chosen.mails} mailboxes")
        for number in range(self.chosen.mails):
            address = f"{mailbox(number)}@{HERE}"
            user = User(uuid4(), mailbox(number), f"User {number}", address, attach=True)
            await self.store.users.add(user)
            self.users[address] = user.id
        far = Location(domain=FAR, dial_id="82", host=f"127.0.0.1:{self.postfix.port}", tls=Tls.NONE)
        await self.store.settings.put(Setting(Location.KIND, "far", far.model_dump_json()))
        self.author = next(iter(self.users.values()))

    def spent(self) -> tuple[float, float, float]:
        process = self.cluster.nodes[0].process
        assert process
        return time.monotonic(), processes.cpu(process.pid)["primary"], processes.busy()

    async def idle(self, seconds: float) -> float:
        """CPU seconds a second that the Primary's process takes for nothing."""
        began = self.spent()
        await asyncio.sleep(seconds)
        ended = self.spent()
        wall, primary, machine = (after - before for after, before in zip(ended, began, strict=True))
        print(
            f"idle: the Primary's process {100 * primary / wall:.1f} % of a core, "
            f"the machine {machine / wall:.1f} cores; load average {os.getloadavg()[0]:.1f}"
        )
        return primary / wall

    async def deposit(self, mailbox_id: UUID) -> None:
        message = NewMessage(uuid7(), mailbox_id, "+4930555", "Carla", datetime.now(UTC), self.chosen.seconds)
        await self.store.messages.deposit(message, self.sound)

    async def delays(self) -> None:
        """From the deposit's return until Postfix has the whole mail, at a calm pace."""
        note(f"{self.chosen.mails} deposits, {self.chosen.rate:g} a second")
        at: dict[str, float] = {}
        for address, mailbox_id in self.users.items():
            await self.deposit(mailbox_id)
            at[address] = time.time()
            await asyncio.sleep(1 / self.chosen.rate)
        await self.all_taken(len(at))
        late = sorted(self.pace.taken[address][0] - at[address] for address in at)
        p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
        print(f"deposit -> mail taken by Postfix: p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms")

    async def deposits(self) -> None:
        some = asyncio.Semaphore(AT_ONCE)

        async def one(mailbox_id: UUID) -> None:
            async with some:
                await self.deposit(mailbox_id)

        await asyncio.gather(*map(one, self.users.values()))

    async def departures(self) -> None:
        """As delivery leaves them."""
        for number in range(self.chosen.mails):
            envelope = Envelope(sender=self.author)
            message = NewMessage(
                uuid7(), OUTGOING, mailbox(0), "", datetime.now(UTC), self.chosen.seconds, envelope=envelope
            )
            await departures.depart(self.store, message, (f"{mailbox(number)}@{FAR}",), self.sound, 1.0)

    async def load(self, act: Callable[[], Awaitable[None]], idle: float) -> Spent:
        self.pace.taken.clear()
        began = self.spent()
        await act()
        await self.all_taken(self.chosen.mails)
        ended = self.spent()
        wall, primary, machine = (after - before for after, before in zip(ended, began, strict=True))
        return Spent(self.chosen.mails, wall, primary - idle * wall, machine)

    async def all_taken(self, count: int) -> None:
        async with asyncio.timeout(LONGEST):
            while sum(map(len, self.pace.taken.values())) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def mailbox(number: int) -> str:
    return str(20000 + number)


def note(what: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {what}", file=sys.stderr)


async def main() -> None:
    chosen = options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    home = Path(tempfile.mkdtemp(prefix="mta-", dir="/tmp"))
    users = [mailbox(number) for number in range(chosen.mails)]
    pace = Pace()
    try:
        async with pace.open():
            with running_postfix({HERE: users, FAR: users}, more=pace.more) as postfix:
                await Bench(chosen, home, postfix, pace).run()
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
