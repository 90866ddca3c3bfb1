"""Concurrent callers leave messages on a cluster of two nodes; every message is compared with what was said.

    .venv/bin/python tests/bench/load.py --calls 100 --total 300

Two real nodes by the administrator's commands, SIPp as callers on both edges, a UDP socket as the PBX
with the lamps: all on this machine, on loopback, and gone afterwards. It prints figures and judges none;
it fails only when a message was lost, doubled or damaged beyond recognition.
"""

import argparse
import asyncio
import json
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

sys.path.insert(0, str(Path(__file__).parents[2]))

from sip import wav
from store.model import User
from tests.bench import processes
from tests.bench.callers import Caller, Crowd, Seen
from tests.bench.lamps import Lamps
from tests.bench.sound import Match, compare, noise
from voicemail.tour.local import LocalCluster, LocalNode, Plan

GREETING, TONE, MARGIN = 2.0, 0.4, 0.4
"""Seconds; callers speak so long after the answer, and a little later."""
SOUNDS = 8
"""Different noises, so that a message of somebody else is noticed."""
LAST_WORK = 3.0
"""Seconds after the last BYE that still count: lamps, replication."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=100, help="calls at once, over all edges")
    parser.add_argument("--total", type=int, default=300, help="calls in all")
    parser.add_argument("--seconds", type=float, default=10.0, help="of speech in each call")
    parser.add_argument("--mailboxes", type=int, default=100)
    parser.add_argument("--workers", type=int, default=16, help="of each node, 4 calls each")
    parser.add_argument("--edges", type=int, choices=(1, 2), default=2, help="how many take calls")
    parser.add_argument("--rate", type=int, default=10, help="new calls a second while filling up")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of idling measured first")
    parser.add_argument("--deaf", action="store_true", help="hears_tones = false: what hearing them costs")
    parser.add_argument("--port", type=int, default=7060, help="SIP port of the first node")
    parser.add_argument(
        "--keep", action="store_true", help="leave logs, databases and recordings where they are"
    )
    return parser.parse_args()


@dataclass(slots=True)
class Spent:
    """CPU seconds between two moments: of each node by part, of the callers, of the whole machine."""

    wall: float = 0.0
    nodes: list[Counter[str]] = field(default_factory=list)
    callers: float = 0.0
    machine: float = 0.0


class Meter:
    """Reads the clocks; `since` gives what was spent meanwhile."""

    def __init__(self, nodes: tuple[LocalNode, ...]) -> None:
        self.pids = [node.process.pid for node in nodes if node.process]
        self.began, self.busy = time.monotonic(), processes.busy()
        self.before = [processes.cpu(pid) for pid in self.pids]

    def since(self, callers: float = 0.0) -> Spent:
        after = [processes.cpu(pid) for pid in self.pids]
        return Spent(
            time.monotonic() - self.began,
            [
                Counter({part: a[part] - b[part] for part in a})
                for a, b in zip(after, self.before, strict=True)
            ],
            callers,
            processes.busy() - self.busy,
        )


class Bench:
    """One run."""

    def __init__(self, chosen: argparse.Namespace, home: Path) -> None:
        self.chosen, self.home, self.lamps = chosen, home, Lamps()
        self.sounds = [noise(seed, chosen.seconds) for seed in range(SOUNDS)]
        self.users: dict[str, UUID] = {}

    async def run(self) -> int:
        async with AsyncExitStack() as stack:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: self.lamps, ("127.0.0.1", 0))
            stack.callback(transport.close)
            self.cluster = LocalCluster(self.plan(), note)
            stack.push_async_callback(self.cluster.stop)
            await self.cluster.start()
            await self.add_users()
            note("settling")
            await asyncio.sleep(6.0)
            idle = await self.idle()
            crowds = self.crowds()
            note(f"{self.chosen.total} calls, {self.chosen.calls} at once")
            load = await self.load(crowds)
            memory = [processes.memory(node.process.pid) for node in self.cluster.nodes if node.process]
            return await self.report(crowds, idle, load, memory)

    def plan(self) -> Plan:
        trunk = (
            '[[trunk]]\nname = "pbx"\naddresses = ["127.0.0.1"]\n'
            f'lamp_uri = "sip:{{extension}}@127.0.0.1:{self.lamps.port}"\n'
        )
        port = self.chosen.port
        return Plan(
            self.home,
            sip=port,
            workers_at=port + 240,
            rtp=16000,
            workers=self.chosen.workers,
            hears_tones=not self.chosen.deaf,
            more=trunk,
        )

    async def add_users(self) -> None:
        note(f"adding {self.chosen.mailboxes} mailboxes")
        greeting = wav.file_ulaw(noise(SOUNDS, GREETING))
        async with self.cluster.nodes[0].store() as store:
            for extension in map(str, range(2000, 2000 + self.chosen.mailboxes)):
                user = User(uuid4(), extension, f"User {extension}")
                await store.users.add(user)
                await store.users.set_greeting(user.id, greeting)
                self.users[extension] = user.id

    async def idle(self) -> Spent:
        if not self.chosen.idle:
            return Spent()
        note(f"idle for {self.chosen.idle:g} s")
        meter = Meter(self.cluster.nodes)
        await asyncio.sleep(self.chosen.idle)
        return meter.since()

    def crowds(self) -> list[Crowd]:
        """One for each sound, in turns on the edges. Mailboxes get calls in turns, too."""
        chosen, extensions = self.chosen, list(self.users)
        callers = [Caller(f"c{n:05}", extensions[n % len(extensions)]) for n in range(chosen.total)]
        crowds = []
        for number, sound in enumerate(self.sounds):
            crowd = Crowd(
                self.home / f"callers-{number}",
                self.cluster.nodes[number % chosen.edges].edge,
                self.cluster.plan.pilot,
                chosen.port + 400 + number,
                free_udp(8000 + 1000 * number),
                tuple(callers[number :: len(self.sounds)]),
                len(range(number, chosen.calls, len(self.sounds))),
                chosen.rate / len(self.sounds),
            )
            if crowd.callers and crowd.at_once:
                crowd.write(GREETING + TONE + MARGIN, sound)
                crowds.append(crowd)
        return crowds

    async def load(self, crowds: list[Crowd]) -> Spent:
        meter = Meter(self.cluster.nodes)
        sipps = []
        try:
            for crowd in crowds:
                sipps.append(await crowd.start())
                await asyncio.sleep(1 / self.chosen.rate)
            own = await asyncio.gather(*(spent_by(sipp) for sipp in sipps))
        finally:
            for sipp in sipps:
                if sipp.returncode is None:
                    sipp.kill()
        await asyncio.sleep(LAST_WORK)
        return meter.since(sum(own))

    async def report(self, crowds: list[Crowd], idle: Spent, load: Spent, memory: list[Counter[str]]) -> int:
        calls = {key: call for crowd in crowds for key, call in crowd.seen().items()}
        callers = {caller.key: caller for crowd in crowds for caller in crowd.callers}
        deposits = self.deposits()
        kept, elsewhere, matches = await self.kept(callers)
        print_cost(idle, load, memory, calls)
        print_times(calls, deposits, self.lamp_times(calls, callers, deposits))
        return print_messages(calls, kept, elsewhere, matches, deposits)

    def deposits(self) -> dict[str, tuple[float, int]]:
        """From the workers' logs: caller's key -> when the deposit had been confirmed, copies on disk."""
        found = {}
        for node in self.cluster.nodes:
            for line in node.log.read_text(errors="replace").splitlines():
                if '"message deposited"' in line:
                    told = json.loads(line[line.index("{") :])
                    at = datetime.fromisoformat(told["timestamp"]).timestamp()
                    found[key_of(told["message_call_id"])] = (at, int(told["copies"]))
        return found

    async def kept(self, callers: dict[str, Caller]) -> tuple[Counter[str], int, dict[str, Match]]:
        """Messages of each caller on the first node, how many the second has not or has alone, and how
        each compares with what was said."""
        first, second = self.cluster.nodes
        messages: Counter[str] = Counter()
        matches: dict[str, Match] = {}
        async with first.store() as one, second.store() as two:
            ids = [set(await store.messages.all_ids()) for store in (one, two)]
            for extension, user in self.users.items():
                for message in await one.messages.listing(user):
                    key = message.caller.removeprefix("caller")
                    messages[key] += 1
                    audio = await one.messages.audio(message.id)
                    if callers[key].extension == extension and audio == await two.messages.audio(message.id):
                        if self.chosen.keep:
                            (self.home / f"{key}.wav").write_bytes(audio)
                        matches[key] = compare(audio, self.sounds[int(key[1:]) % SOUNDS])
        return messages, len(ids[0] ^ ids[1]), matches

    def lamp_times(
        self, calls: dict[str, Seen], callers: dict[str, Caller], deposits: dict[str, tuple[float, int]]
    ) -> list[float]:
        """Seconds from each BYE until the lamp showed as many messages as the mailbox then had."""
        rank: Counter[str] = Counter()
        times = []
        for key, _ in sorted(deposits.items(), key=lambda item: item[1]):
            extension = callers[key].extension
            rank[extension] += 1
            at = self.lamps.at_least(extension, rank[extension], calls[key].bye)
            times.append(at - calls[key].bye if at else float("inf"))
        return times


async def spent_by(sipp: asyncio.subprocess.Process) -> float:
    """Wait for its end; CPU seconds it took."""
    spent = 0.0
    while sipp.returncode is None:
        with suppress(OSError):  # it has ended, and we are told in a moment
            spent = processes.seconds(sipp.pid)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(sipp.wait()), 1.0)
    return spent


def free_udp(start: int) -> int:
    """The first port of a hundred that SIPp can have; it takes this one and the third."""
    for port in range(start, start + 1000, 10):
        with suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", port))
            with socket.socket(type=socket.SOCK_DGRAM) as two:
                two.bind(("127.0.0.1", port + 2))
                return port
    raise OSError(f"no free port from {start}")


def key_of(call_id: str) -> str:
    return call_id.partition("///")[0]


def note(text: str) -> None:
    print(f"… {text}", flush=True)


# ---- what is printed


def print_cost(idle: Spent, load: Spent, memory: list[Counter[str]], calls: dict[str, Seen]) -> None:
    talked = sum(call.bye - call.answered for call in calls.values() if call.answered and call.bye)
    talked = max(talked, 0.001)
    print(f"\n{'':12}  idle, % of a core    load, CPU ms per call-second     PSS, MB")
    print(f"{'':12}     vm1     vm2        vm1     vm2    both             vm1   vm2")
    for part in (*processes.ORDER, "all"):
        i, s, m = row(idle.nodes, part), row(load.nodes, part), row([*memory], part)
        shares = [100 * each / idle.wall if idle.wall else 0.0 for each in i]
        costs = [1000 * each / talked for each in (*s, sum(s))]
        print(
            f"{part:12}{shares[0]:8.1f}{shares[1]:8.1f}   {costs[0]:8.3f}{costs[1]:8.3f}{costs[2]:8.3f}"
            f"        {m[0]:8.0f}{m[1]:6.0f}"
        )
    others = load.machine - load.callers - sum(row(load.nodes, "all"))
    print(
        f"\n{talked:.0f} call-seconds in {load.wall:.0f} s "
        f"({talked / load.wall:.0f} calls at once on average); "
        f"machine {100 * load.machine / load.wall:.0f} % of a core, of it SIPp "
        f"{100 * load.callers / load.wall:.0f} %, neither SIPp nor nodes {100 * others / load.wall:.0f} %"
    )


def row(nodes: list[Counter[str]], part: str) -> list[float]:
    values = [float(sum(node.values()) if part == "all" else node[part]) for node in nodes]
    return values or [0.0, 0.0]


def print_times(calls: dict[str, Seen], deposits: dict[str, tuple[float, int]], lamps: list[float]) -> None:
    answered = [call.answered - call.invite for call in calls.values() if call.answered]
    disks = [at - calls[key].bye for key, (at, copies) in deposits.items() if copies == 2 and calls[key].bye]
    print(f"\n{'ms':22}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>8}")
    for name, values in (("INVITE → 200", answered), ("BYE → both disks", disks), ("BYE → lamp", lamps)):
        ms = [1000 * each for each in sorted(values)] or [float("nan")]
        marks = (ms[int(share * (len(ms) - 1))] for share in (0.5, 0.9, 0.99, 1.0))
        print(f"{name:22}" + "".join(f"{mark:8.1f}" for mark in marks))


def print_messages(
    calls: dict[str, Seen],
    kept: Counter[str],
    elsewhere: int,
    matches: dict[str, Match],
    deposits: dict[str, tuple[float, int]],
) -> int:
    """0 when each caller's message is there once, on both nodes, and nothing else is."""
    ended = {key for key, call in calls.items() if call.bye}
    lost, doubled = ended - kept.keys(), sum(count - 1 for count in kept.values())
    sent, bad = sum(m.sent for m in matches.values()), sum(m.bad for m in matches.values())
    wrong_length = sum(abs(match.off) > 0.1 for match in matches.values())
    wrong = sum(match.bad > match.sent // 2 for match in matches.values()) + len(kept) - len(matches)
    hurt = [match.bad for match in matches.values() if match.bad]
    refused = Counter(call.refused for call in calls.values() if call.refused)
    single = sum(copies == 1 for _, copies in deposits.values())
    print(
        f"\n{len(ended)} of {len(calls)} calls complete, {sum(kept.values())} messages: {len(lost)} lost, "
        f"{doubled} doubled, {elsewhere} on one node only, {single} confirmed by one disk only, "
        f"{wrong} not what was said"
        f"\nbad frames: {bad} of {sent} ({100 * bad / max(sent, 1):.3f} %), in "
        f"{len(hurt)} messages, at most {max(hurt, default=0)}; "
        f"length off by more than 100 ms: {wrong_length}" + (f"\nrefused: {dict(refused)}" if refused else "")
    )
    return int(bool(lost or doubled or elsewhere or wrong or len(ended) < len(calls)))


def main() -> int:
    chosen = options()
    home = Path(tempfile.mkdtemp(prefix="tandem-bench-", dir="/var/tmp"))
    try:
        return asyncio.run(Bench(chosen, home).run())
    finally:
        if chosen.keep:
            note(f"logs in {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
