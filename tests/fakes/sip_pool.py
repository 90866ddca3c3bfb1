"""A real pool of SIP workers whose conversation is chosen by the number that is dialled.

Each conversation does one thing and appends what came of it to a file of JSON lines, so that a test in
another process sees what a conversation would have seen.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from sip import wav
from sip.board import Board, State
from sip.call import Call, Handler, HungUp, RecordLimits
from sip.settings import EngineSettings, PoolSettings

READY = 20.0


def noise(seconds: float, seed: int) -> bytes:
    """A mu-law WAV file that is unlike any other."""
    values = np.random.default_rng(seed).normal(0, 3000, int(seconds * 8000))
    smooth = np.convolve(values, np.ones(4) / 4, "same")
    return wav.join([wav.parse(wav.file_pcm16(smooth.astype("<i2").tobytes()))])


def make_prompts(folder: Path) -> None:
    for seed, (name, seconds) in enumerate({"short": 0.4, "other": 0.5, "long": 4.0, "speech": 1.5}.items()):
        (folder / f"{name}.wav").write_bytes(noise(seconds, seed))
    short = (folder / "short.wav").read_bytes()
    (folder / "linear.wav").write_bytes(wav.to_pcm16(short))
    (folder / "empty.wav").write_bytes(b"")
    (folder / "de").mkdir()
    (folder / "de" / "speech.wav").write_bytes(noise(1.0, 77))
    (folder / "tiny.wav").write_bytes(wav.file_ulaw(bytes(200)))


class Conversations:
    """What the pool's callers can dial."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def report(self, **what: Any) -> None:
        with (self.folder / "reports").open("a") as out:
            out.write(json.dumps(what) + "\n")

    async def run(self, call: Call) -> None:
        verb, _, argument = call.invite.dialled.partition("-")
        began = time.monotonic()
        outcome: dict[str, Any] = {}
        try:
            await call.answer()
            outcome["result"] = await getattr(self, verb)(call, argument)
        except HungUp:
            outcome["hung_up"] = True
        invite = asdict(call.invite)
        self.report(verb=verb, pid=os.getpid(), took=time.monotonic() - began, invite=invite, **outcome)

    async def play(self, call: Call, name: str) -> str:
        return await call.play(name or "long", until="#")

    async def spoken(self, call: Call, language: str) -> str:
        """A prompt that every language has, and one that only the default one has."""
        call.use_language(language)
        return await call.play("speech", "other")

    async def transfer(self, call: Call, number: str) -> str:
        """What is heard afterwards by a caller who is still there."""
        done = str(await call.transfer(number))
        if done != "done":
            await call.play("short")
        return done

    async def connect(self, call: Call, number: str) -> str:
        """`connect-<number>-<seconds>`"""
        number, _, seconds = number.partition("-")
        done = str(await call.connect(number, float(seconds or 5)))
        if done != "done":
            await call.play("short")
        return done

    async def screen(self, call: Call, number: str) -> str:
        """Whoever answers hears a sound, and takes the call by 1; what the caller hears, who is not taken."""

        async def asks(other: Call) -> bool:
            return await other.ask("speech", keys="12", wait=5.0) == "1"

        done = str(await call.connect(number, 5.0, asks))
        if done != "done":
            await call.play("short")
        return done

    async def several(self, call: Call, ready: str) -> str:
        """Sounds of several kinds in one go, with holes in between; made ready before, if wanted."""
        folder = self.folder
        sounds = ("short", "no such prompt", folder / "linear.wav", folder / "empty.wav", folder / "tiny.wav")
        if ready:
            await call.prepare(*sounds, "other", language="")
        return await call.play(*sounds, "other")

    async def nothing(self, call: Call, _: str) -> str:
        return await call.play("no such prompt", self.folder / "empty.wav")

    async def ask(self, call: Call, name: str) -> str:
        return await call.ask(name or "long", keys="12", wait=1.0)

    async def early(self, call: Call, _: str) -> list[str]:
        """Plays something that no key stops, then asks."""
        await call.play("speech")
        return [await call.ask("long", keys="12"), await call.digits("long", most=4, wait=0.5)]

    async def digits(self, call: Call, most: str) -> str:
        return await call.digits("short", most=int(most or 4), wait=1.0, secret=True)

    async def record(self, call: Call, limits: str) -> list[Any]:
        """`record-<longest>-<silence>`; `8` pauses."""
        longest, _, silence = limits.partition("-")
        path = self.folder / "kept" / f"{call.invite.call_id}.wav"
        asked = RecordLimits(float(longest or 20), float(silence or 0), "#", pause="8", warning="other")
        recording = await call.record(path, asked)
        return [recording.ended_by, recording.key, recording.seconds, str(path), wav.closed(path)]

    async def after(self, call: Call, _: str) -> list[str]:
        """What the verbs do once the caller has gone."""
        ended = (await self.record(call, "20"))[0]
        again = (await self.record(call, "20"))[0]
        raised = []
        for verb in (call.play("long"), call.ask("long", keys="1"), call.digits(most=1), call.reject(404)):
            try:
                await verb
            except HungUp:
                raised.append("HungUp")
        await call.hang_up()
        return [ended, again, *raised]

    async def cycles(self, call: Call, _: str) -> str:
        """Every key stops one prompt and starts the next."""
        heard = ""
        while (key := await call.ask("long", keys="0123456789#", wait=0.1)) not in ("#", ""):
            heard += key
        return heard

    async def fail(self, call: Call, _: str) -> None:
        raise ValueError("a mistake in a conversation")

    async def quit(self, call: Call, _: str) -> None:
        """Ends the asyncio thread, which no conversation can do by mistake."""
        raise SystemExit


def session_of(conversations: Conversations) -> Callable[[int], Any]:
    away = conversations.folder / "database-away"

    @contextlib.asynccontextmanager
    async def session(_slot: int) -> AsyncIterator[Handler]:
        if away.exists():
            raise ConnectionError("the database is away")
        yield conversations.run

    return session


def serve() -> None:
    """The zygote's process: folder, SIP port, RTP port, workers."""
    from sip.pool import run_pool

    folder, sip_port, rtp_port, workers = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    engine = EngineSettings(
        sip_port=sip_port,
        rtp_port=rtp_port,
        temporary=folder / "joined",
        edge=sys.argv[5],
        hears_tones=True,
    )

    def prompts(name: str, language: str) -> Path | None:
        places = (folder / language / f"{name}.wav", folder / f"{name}.wav")
        return next((path for path in places if path.exists()), None)

    settings = PoolSettings(
        workers,
        engine,
        folder / "board",
        prompts,
        drain=2.0,
        hung=3.0,
        keep_rtp_trunks=frozenset({"talkative"}),
    )
    run_pool(settings, session_of(Conversations(folder)))


class SipPool:
    """Runs the pool, and looks at it from outside."""

    def __init__(self, folder: Path, workers: int = 1, edge: str = "") -> None:
        """`edge`: the loose-route URI by way of which it calls others."""
        self.folder, self.workers, self.edge = folder, workers, edge
        self.port = random.randrange(30000, 32000) // 64 * 64
        self.rtp = 20000 + random.randrange(0, 8000) // 2 * 2
        self.seen = 0

    async def __aenter__(self) -> Self:
        make_prompts(self.folder)
        (self.folder / "joined").mkdir()
        (self.folder / "kept").mkdir()
        with (self.folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.fakes.sip_pool",
                str(self.folder), str(self.port), str(self.rtp), str(self.workers), self.edge,
                stdout=log, stderr=log, cwd=Path(__file__).parents[2],
            )  # fmt: skip
        await self.until(lambda: (self.folder / "board").exists())
        self.board = Board.open(self.folder / "board")
        return self

    async def __aexit__(self, *_error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def until(self, holds: Callable[[], Any], within: float = READY) -> Any:
        async with asyncio.timeout(within):
            while not (value := holds()):  # noqa: ASYNC110  the other side is a process
                await asyncio.sleep(0.01)
        return value

    async def ready(self) -> None:
        await self.until(lambda: all(worker.state is State.READY for worker in self.board.read()))

    def pids(self) -> list[int]:
        return [worker.pid for worker in self.board.read()]

    def busy(self) -> int:
        return sum(worker.busy for worker in self.board.read())

    def uri(self, dialled: str, slot: int = 0) -> str:
        return f"sip:{dialled}@127.0.0.1:{self.port + slot}"

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def reports(self) -> list[dict[str, Any]]:
        path = self.folder / "reports"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def report(self, within: float = READY) -> dict[str, Any]:
        """The next report that was not looked at yet."""
        reports = await self.until(lambda: self.reports()[self.seen :], within)
        self.seen += 1
        first: dict[str, Any] = reports[0]
        return first

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


PHONE_PORTS = iter(range(random.randrange(40000, 44000) // 100 * 100, 60000, 100))


def phone_settings(**changes: Any) -> EngineSettings:
    """Settings of a softphone with RTP ports of its own."""
    from sip.softphone import PHONE

    return replace(PHONE, rtp_port=next(PHONE_PORTS), rtp_ports=100, **changes)


if __name__ == "__main__":
    serve()
