"""From a key to the voice that answers it: telephones sign in at one node, all at the same moment, then walk
through the menus.

    .venv/bin/python tests/bench/keys.py --callers 50 --rounds 4     # many at once
    .venv/bin/python tests/bench/keys.py --callers 50 --spread 1.0   # many, each when he likes
    .venv/bin/python tests/bench/keys.py --callers 8 --rounds 20     # as on any day

Two real nodes; every caller is a real telephone (sip/softphone.py, 4 calls a process) and calls the first
one. Times are taken on the wire, from a key's first packet to the first packet with audible voice of the
prompt that must follow. It takes root. It prints figures and judges none; it fails only where an answer was
not heard.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sip import hears, wav
from sip.errors import EngineError
from sip.softphone import PHONE, PhoneCall, Softphone
from store.ids import uuid7
from store.model import NewMessage, User
from tests.bench import processes
from tests.bench.tap import Tap, Wanted, marks
from voicemail import pins
from voicemail.tour.local import LocalCluster, Plan
from voicemail.tour.tour import prompt, set_up
from voicemail.worker import local_time

PIN = "481516"
SIGNED_IN = ("#", "you_have")
WALK = (
    ("4", "setup_menu"),
    ("*", "main_menu"),
    ("1", "message"),
    ("*", "main_menu"),
    ("5", "enter_callers_number"),
    ("*", "main_menu"),
    ("4", "setup_menu"),
    ("3", "personal_menu"),
    ("*", "setup_menu"),
    ("*", "main_menu"),
)
"""Keys at the main menu, and with what the answer begins."""
LISTEN = 1.0
"""Seconds until the next key, and up to half of that more."""
CALLS_A_PHONE, CALLS_A_WORKER, PORTS = 4, 4, 60
RTP = 31900
"""Where telephones get their audio: below the ports that the system gives away by itself."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--callers", type=int, default=50, help="telephones at once, on one node")
    parser.add_argument("--rounds", type=int, default=4, help="how often each of them calls")
    parser.add_argument("--spread", type=float, default=0.0, help="seconds over which they press #")
    parser.add_argument("--port", type=int, default=7860, help="SIP port of the first node")
    return parser.parse_args()


class Bench:
    """One run."""

    def __init__(self, chosen: argparse.Namespace, home: Path) -> None:
        self.chosen, self.home, self.dice = chosen, home, random.Random(1)
        phones = -(-chosen.callers // CALLS_A_PHONE)
        self.settings = [replace(PHONE, rtp_port=RTP + PORTS * n, rtp_ports=PORTS) for n in range(phones)]
        self.ended = 0
        """Calls that were over before their caller hung up."""
        self.tap = Tap(range(RTP, RTP + PORTS * phones))

    async def run(self) -> int:
        async with AsyncExitStack() as stack:
            workers = -(-self.chosen.callers // CALLS_A_WORKER) + 1
            port = self.chosen.port
            plan = Plan(self.home, sip=port, workers_at=port + 240, rtp=16000, workers=workers)
            self.cluster = LocalCluster(plan, note)
            stack.push_async_callback(self.cluster.stop)
            await self.cluster.start()
            await self.add_users()
            note(f"{len(self.settings)} telephones start")
            phones = [await stack.enter_async_context(Softphone(each)) for each in self.settings]
            self.tap.start()
            began, busy = time.monotonic(), processes.busy()
            cpu, talk = self.spent(), telephones(phones)
            for number in range(self.chosen.rounds):
                note(f"round {number + 1}: {self.chosen.callers} callers")
                await self.round(phones)
            wall, machine, nodes = time.monotonic() - began, processes.busy() - busy, self.spent() - cpu
            talk = telephones(phones) - talk
            print(
                f"\n{os.cpu_count()} cores, {100 * machine / wall:.0f} % of one busy over {wall:.0f} s: "
                f"nodes {100 * nodes / wall:.0f} %, telephones {100 * talk / wall:.0f} %, others "
                f"{100 * (machine - nodes - talk) / wall:.0f} %; load average {os.getloadavg()[0]:.1f}"
            )
        return self.report()

    def spent(self) -> float:
        pids = [node.process.pid for node in self.cluster.nodes if node.process]
        return float(sum(sum(processes.cpu(pid).values()) for pid in pids))

    async def add_users(self) -> None:
        note(f"adding {self.chosen.callers} users with a message each")
        sound = wav.file_ulaw(b"\x55" * 4 * wav.RATE)
        async with self.cluster.nodes[0].store() as store:
            for number in range(self.chosen.callers):
                user = User(uuid7(), str(3000 + number), f"User {number}", pin_hash=pins.hashed(PIN))
                await store.users.add(user)
                await set_up(store, user.id)
                message = NewMessage(uuid7(), user.id, "+4930555", "", local_time(), 4.0)
                await store.messages.deposit(message, sound)

    async def round(self, phones: list[Softphone]) -> None:
        calls = []
        for number in range(self.chosen.callers):
            target = f"sip:{self.cluster.plan.pilot}@{self.cluster.nodes[0].edge}"
            caller = f"sip:{3000 + number}@127.0.0.1"
            calls.append(await phones[number // CALLS_A_PHONE].dial(target, caller=caller))
            await asyncio.sleep(0.1)
        await asyncio.gather(*(call.answered(15.0) for call in calls))
        await asyncio.sleep(2.0)
        await asyncio.gather(*(self.press_pin(call) for call in calls))
        await asyncio.sleep(len(PIN) * 0.35 + 2 * LISTEN)
        await asyncio.gather(*(self.walk(call) for call in calls))

    async def press_pin(self, call: PhoneCall) -> None:
        await asyncio.sleep(self.dice.uniform(0.0, self.chosen.spread))
        await call.press(PIN + "#")

    async def walk(self, call: PhoneCall) -> None:
        try:
            for key, _ in WALK:
                await asyncio.sleep(LISTEN * self.dice.uniform(0.0, 0.5))
                await call.press(key)
                await asyncio.sleep(LISTEN)
            await call.hang_up()
        except EngineError:
            self.ended += 1

    def report(self) -> int:
        """0 when every key was answered."""
        took: dict[str, list[float]] = defaultdict(list)
        missed = 0
        wanted = {name: Wanted.of(hears.samples(prompt(name))) for _, name in (SIGNED_IN, *WALK)}
        for stream in tuple(self.tap.streams.values()):
            steps: Iterator[tuple[str, str]] = iter(())
            keys = tuple(stream.keys)
            for key, following in zip_longest(keys, keys[1:]):
                if key.key == "#":
                    steps = iter(WALK)
                    name = SIGNED_IN[1]
                elif (step := next(steps, None)) is None:
                    continue  # a digit of the PIN
                else:
                    assert step[0] == key.key, (step, key)
                    name = step[1]
                ends = following.at if following else key.at + LISTEN
                at = stream.answer(key.at, min(ends, key.at + 5.0), wanted[name])
                missed += at is None
                if at is not None:
                    kind = "signing in, # to voice" if key.key == "#" else "menus, key to voice"
                    took[kind].append(at - key.at)
        print(f"\n{'ms':26}{'keys':>6}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>8}")
        for name, values in took.items():
            print(f"{name:26}{len(values):6}{marks(values)}")
        print(f"not answered before the next key: {missed}; ended by the node: {self.ended} calls")
        asked = self.chosen.callers * self.chosen.rounds * (1 + len(WALK))
        heard = sum(map(len, took.values()))
        return int(missed > 0 or heard != asked)


def telephones(phones: Iterable[Softphone]) -> float:
    """CPU seconds they have taken."""
    return sum(processes.seconds(phone.pid) for phone in phones)


def note(text: str) -> None:
    print(f"… {text}", flush=True)


def main() -> int:
    chosen = options()
    home = Path(tempfile.mkdtemp(prefix="tandem-bench-", dir="/var/tmp"))
    try:
        return asyncio.run(Bench(chosen, home).run())
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
