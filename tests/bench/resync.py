"""A takeover with 20,000 lamps: pace, CPU and memory of the Primary's process, and how fast fresh lamps pass.

    python -m tests.bench.resync [--lamps 20000] [--answer 0.003] [--every 0.1]

The store is the one in memory, the PBX answers each NOTIFY after so many seconds. All the while a message
comes in every tenth of a second; told is how long its lamp took. CPU is that of the whole process, with
the fakes in it.
"""

import argparse
import asyncio
import itertools
import random
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from sip.mwi import parse
from sip.requests import Answer
from store.ids import uuid7
from store.memory import MemoryStore
from store.model import NewMessage, User, Work
from voicemail.config import Trunk
from voicemail.primary.agenda import Agenda
from voicemail.primary.clock import SystemClock
from voicemail.primary.lamps import Senders
from voicemail.primary.lease import Lease
from voicemail.primary.notifier import Notifier
from voicemail.primary.runner import Runner

PBX = Trunk(name="pbx", addresses=("192.0.2.5",), lamp_uri="sip:{extension}@192.0.2.5")


class Pbx:
    """Keeps lamps. `lit` is when a lamp came first with so many messages."""

    def __init__(self, answer: float) -> None:
        self.answer = answer
        self.sent: list[float] = []
        self.shown: set[str] = set()
        self.lit: dict[tuple[str, int], float] = {}

    async def send(self, method: str, target: str, headers: object, kind: str, body: str, *_: str) -> Answer:
        now = time.monotonic()
        self.sent.append(now)
        self.shown.add(target)
        self.lit.setdefault((target, parse(body).new), now)
        await asyncio.sleep(self.answer)
        return Answer(200)


def memory() -> float:
    """Megabytes this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def most_in_a_second(moments: Sequence[float]) -> int:
    """Of those that are only repeated and of fresh ones together."""
    start, most = 0, 0
    for end, moment in enumerate(moments):
        while moments[start] <= moment - 1.0:
            start += 1
        most = max(most, end - start + 1)
    return most


async def main(lamps: int, answer: float, every: float) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    store, pbx, clock = MemoryStore(), Pbx(answer), SystemClock()
    users = [User(UUID(int=n), str(100_000 + n), name=f"User {n}") for n in range(1, lamps + 1)]
    store.state.users.update({user.id: user for user in users})
    held = memory()
    notifier = Notifier(store, pbx, (PBX,), Senders("", ""), clock)  # type: ignore[arg-type]  # takes the same words
    runner = Runner(store, {Work.LAMP: notifier}, Agenda(random.random), clock, Lease())
    running = asyncio.create_task(runner.run())
    await asyncio.sleep(0.1)
    begun, used = time.monotonic(), time.process_time()
    runner.renew(1, begun)
    came: dict[tuple[str, int], float] = {}
    most = 0.0
    for number in itertools.count():
        runner.renew(1, time.monotonic())
        user = users[(number * 7919) % lamps]
        note = NewMessage(uuid7(), user.id, "1007", "Eve", datetime.now(UTC), 7.0)
        came[f"sip:{user.extension}@192.0.2.5", 1 + number // lamps] = time.monotonic()
        await store.messages.deposit(note, b"")
        await asyncio.sleep(every)
        most = max(most, memory())
        if len(pbx.shown) == lamps:
            break
    took, used = time.monotonic() - begun, time.process_time() - used
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    waits = sorted(pbx.lit[lamp] - at for lamp, at in came.items() if lamp in pbx.lit)
    requests = len(pbx.sent)
    ms = [1000 * waits[min(int(len(waits) * part), len(waits) - 1)] for part in (0.5, 0.9, 0.99, 1.0)]
    lines = [
        f"{lamps} lamps in {took:.1f} s ({requests} requests, at most {most_in_a_second(pbx.sent)} a second)",
        f"CPU {used:.1f} s, {100 * used / took:.0f} % of a core; {1000 * used / requests:.2f} ms a request",
        f"memory {held:.0f} MB with the users, at most {most:.0f} MB",
        f"fresh lamps meanwhile: {len(waits)} of {len(came)}; ms: p50 {ms[0]:.1f}, p90 {ms[1]:.1f}, "
        f"p99 {ms[2]:.1f}, max {ms[3]:.1f}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lamps", type=int, default=20_000)
    parser.add_argument("--answer", type=float, default=0.003)
    parser.add_argument("--every", type=float, default=0.1)
    given = parser.parse_args()
    asyncio.run(main(given.lamps, given.answer, given.every))
