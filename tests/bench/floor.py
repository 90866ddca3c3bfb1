"""What calls cost when nothing is done with them: the least that workers of this engine can cost.

    .venv/bin/python tests/bench/floor.py --calls 100 --total 300

The same callers, edges and engines as in load.py, but each engine only answers, plays, records and lets
go: no database, no spool, no fsync, no supervisor. Compare its line with "workers" and "edge" there.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parents[2]))

from sip import wav
from sip.edge import Address, Listen
from sip.endpoint import Engine
from sip.enginecall import EngineCall
from sip.errors import EngineError
from sip.hosting import run_engine
from sip.settings import EngineSettings
from tests.bench import processes
from tests.bench.callers import Caller, Crowd
from tests.bench.load import GREETING, MARGIN, SOUNDS, TONE, free_udp, note
from tests.bench.sound import noise
from tests.fakes.edge import running_edge, settings

PILOT = "5000"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=100, help="calls at once, over both edges")
    parser.add_argument("--total", type=int, default=300, help="calls in all")
    parser.add_argument("--seconds", type=float, default=10.0, help="of speech in each call")
    parser.add_argument("--workers", type=int, default=16, help="of each of two edges, 4 calls each")
    parser.add_argument("--rate", type=int, default=10, help="new calls a second while filling up")
    parser.add_argument("--port", type=int, default=7600, help="SIP port of the first edge")
    return parser.parse_args()


class Bare:
    """The asyncio side of a worker that keeps nothing."""

    def __init__(self, greeting: Path, folder: Path) -> None:
        self.greeting, self.folder = greeting, folder
        self.calls: dict[int, asyncio.Queue[str]] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, engine: Engine) -> None:
        self.engine = engine
        engine.listener = self.heard
        await asyncio.Event().wait()

    def heard(self, number: int, event: str, _value: object) -> None:
        if event == "call":
            self.calls[number] = asyncio.Queue()
            task = asyncio.get_running_loop().create_task(self.talk(number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif number in self.calls:
            self.calls[number].put_nowait(event)

    async def talk(self, number: int) -> None:
        command = self.engine.command
        path = self.folder / f"{os.getpid()}-{number}.wav"
        try:
            await command(EngineCall.reply, number, 200)
            await self.until(number, "media")
            await command(EngineCall.play, number, str(self.greeting), 1)
            await self.until(number, "played")
            await command(EngineCall.stop, number)
            await command(EngineCall.record, number, str(path))
            await self.until(number, "ended")
        except EngineError as error:
            note(f"call {number}: {error}")
        finally:
            del self.calls[number]

    async def until(self, number: int, wanted: str) -> None:
        while await self.calls[number].get() != wanted:
            pass


def start_worker(home: Path, port: int, rtp: int) -> int:
    """Fork one; its process id."""
    if pid := os.fork():
        return pid
    bare = Bare(home / "greeting.wav", home)
    become(EngineSettings(sip_port=port, rtp_port=rtp), bare)


def become(engine: EngineSettings, bare: Bare) -> NoReturn:
    run_engine(engine, bare.serve)


def crowd(chosen: argparse.Namespace, home: Path, number: int, edge: str) -> Crowd:
    """The callers of one edge."""
    callers = tuple(Caller(f"c{n:05}", str(2000 + n % 100)) for n in range(number, chosen.total, 2))
    folder = home / f"callers-{number}"
    rtp = free_udp(8000 + 4000 * number)
    sip, at_once, rate = chosen.port + 300 + number, chosen.calls // 2, chosen.rate / 2
    made = Crowd(folder, edge, PILOT, sip, rtp, callers, at_once, rate)
    made.write(GREETING + TONE + MARGIN, noise(number, chosen.seconds))
    return made


async def measure(chosen: argparse.Namespace, home: Path, pids: list[int]) -> None:
    async with AsyncExitStack() as stack:
        edges = []
        for number in (0, 1):
            first = chosen.port + 100 * (number + 1)
            own = [("127.0.0.1", first + slot) for slot in range(chosen.workers)]
            listen = (Listen(Address("127.0.0.1", chosen.port + 20 * number)),)
            edges.append(await stack.enter_async_context(running_edge(settings(own, listen=listen, **OPEN))))
        note("settling")
        await asyncio.sleep(6.0)
        crowds = [crowd(chosen, home, number, edge.uri) for number, edge in enumerate(edges)]
        kamailios = [edge.processes["edge"].pid for edge in edges]
        note(f"{chosen.total} calls, {chosen.calls} at once")
        before = cost(pids, kamailios)
        sipps = [await crowd.start() for crowd in crowds]
        await asyncio.gather(*(sipp.wait() for sipp in sipps))
        await asyncio.sleep(3.0)
        report(crowds, cost(pids, kamailios) - before)


OPEN = {"requests_per_source_second": 1000}


def cost(workers: list[int], edges: list[int]) -> Counter[str]:
    """CPU seconds so far."""
    spent = Counter({"workers": sum(processes.seconds(pid) for pid in workers)})
    for edge in edges:
        spent["edge"] += sum(map(processes.seconds, (edge, *processes.descendants(edge))))
    return spent


def report(crowds: list[Crowd], spent: Counter[str]) -> None:
    calls = [call for crowd in crowds for call in crowd.seen().values()]
    talked = sum(call.bye - call.answered for call in calls if call.answered and call.bye)
    print(
        f"{sum(bool(call.bye) for call in calls)} of {len(calls)} calls complete, {talked:.0f} call-seconds"
    )
    for part in ("workers", "edge"):
        print(f"{part:10}{1000 * spent[part] / max(talked, 0.001):8.3f} ms per call-second")


def main() -> None:
    chosen = options()
    home = Path(tempfile.mkdtemp(prefix="tandem-bench-", dir="/var/tmp"))
    pids: list[int] = []
    try:
        (home / "greeting.wav").write_bytes(wav.file_ulaw(noise(SOUNDS, GREETING + TONE)))
        for slot in range(2 * chosen.workers):
            port = chosen.port + 100 * (1 + slot // chosen.workers) + slot % chosen.workers
            pids.append(start_worker(home, port, 20000 + 40 * slot))
        asyncio.run(measure(chosen, home, pids))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
