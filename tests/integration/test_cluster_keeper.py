"""A keeper and real, tiny programs."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from structlog.testing import capture_logs

from tests.fakes.cluster import until
from voicemail.cluster.keeper import BACKOFF, GRACE, STEADY, Keeper, NotYet, Program, end_leftovers

SLEEPER = ["sleep", "60"]


def python(text: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", text, *arguments]


def program(*argv: str, prepare: Callable[[], None] = lambda: None, patience: float = 5.0) -> Program:
    return Program("tiny", lambda: list(argv), prepare, patience=patience)


@asynccontextmanager
async def kept(what: Program) -> AsyncIterator[Keeper]:
    keeper = Keeper(what)
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await keeper.stop()


def alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_program_that_ends_is_started_again() -> None:
    async with kept(program(*SLEEPER)) as keeper:
        await until(lambda: keeper.running)
        assert keeper.process
        first = keeper.process.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: keeper.running and keeper.process and keeper.process.pid != first)
        assert not keeper.failed(time.monotonic())


async def test_a_program_that_dies_again_and_again_is_started_ever_more_slowly_and_has_failed() -> None:
    starts: list[float] = []
    async with kept(program("false", prepare=lambda: starts.append(time.monotonic()))) as keeper:
        await until(lambda: len(starts) >= 4)
        pauses = [later - earlier for earlier, later in zip(starts, starts[1:], strict=False)]
        assert all(pause >= least for pause, least in zip(pauses, BACKOFF, strict=False)), pauses
        await until(lambda: keeper.failed(time.monotonic()))


async def test_a_program_that_cannot_be_found_is_told_once() -> None:
    with capture_logs() as logs:
        async with kept(program("/nowhere/at/all")) as keeper:
            await until(lambda: keeper.failures >= 3)
            assert not keeper.running
    assert [line["event"] for line in logs] == ["It cannot be started; tried again."]


async def test_what_is_not_ready_is_told_once_and_started_when_it_is() -> None:
    ready, looks = False, 0

    def prepare() -> None:
        nonlocal looks
        looks += 1
        if not ready:
            raise NotYet("its database is not up yet")

    with capture_logs() as logs:
        async with kept(program(*SLEEPER, prepare=prepare)) as keeper:
            await until(lambda: looks >= 5)
            assert not keeper.failed(time.monotonic()), "to wait is no failure"
            ready = True
            await until(lambda: keeper.running)
            await asyncio.sleep(0.05)
    assert [line.get("why") for line in logs if line["log_level"] == "warning"] == [
        "its database is not up yet"
    ]


def test_down_for_longer_than_a_restart_takes_is_failed() -> None:
    keeper = Keeper(program(*SLEEPER))
    assert keeper.down_since is not None
    assert not keeper.failed(keeper.down_since + GRACE)
    assert keeper.failed(keeper.down_since + GRACE + 0.1)
    assert STEADY > GRACE


async def test_stopping_asks_and_waits() -> None:
    async with kept(program(*SLEEPER)) as keeper:
        await until(lambda: keeper.running)
    assert keeper.process and keeper.process.returncode == -signal.SIGTERM


DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


async def test_a_program_that_does_not_stop_is_killed_after_its_patience() -> None:
    keeper = Keeper(program(*python(DEAF), patience=0.3))
    task = asyncio.create_task(keeper.run())
    await until(lambda: keeper.running)
    await asyncio.sleep(0.3)  # until it ignores the signal
    task.cancel()
    began = time.monotonic()
    await asyncio.gather(task, return_exceptions=True)
    await keeper.stop()
    assert keeper.process
    await until(lambda: keeper.process and not alive(keeper.process.pid))
    assert time.monotonic() - began >= 0.3


PARENT = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "60"])
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(60)
"""


async def test_what_a_dead_program_left_behind_is_ended_before_the_next_start(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    async with kept(program(*python(PARENT, str(note)))) as keeper:
        await until(lambda: note.exists() and note.read_text())
        first = int(note.read_text())
        assert keeper.process and alive(first)
        os.kill(keeper.process.pid, signal.SIGKILL)
        await until(lambda: not alive(first))
        await until(lambda: int(note.read_text() or first) != first)
        second = int(note.read_text())
        assert alive(second)
    await until(lambda: not alive(second))


async def test_a_program_that_does_not_read_is_neither_waited_for_nor_written_to_without_end() -> None:
    async with kept(program(*SLEEPER)) as keeper:
        await until(lambda: keeper.running)
        began = time.monotonic()
        for _ in range(5000):
            keeper.tell(b"x" * 200 + b"\n")
        assert time.monotonic() - began < 2.0
        assert keeper.process and keeper.process.stdin
        assert keeper.process.stdin.transport.get_write_buffer_size() < 70000


async def test_telling_a_program_that_is_gone_harms_nothing() -> None:
    keeper = Keeper(program("true"))
    keeper.tell(b"before its start\n")
    task = asyncio.create_task(keeper.run())
    await until(lambda: keeper.failures >= 1)
    keeper.tell(b"after its end\n")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await keeper.stop()


async def test_stopping_a_program_that_ended_already_is_done_at_once() -> None:
    keeper = Keeper(program("false"))
    await keeper.stop()
    task = asyncio.create_task(keeper.run())
    await until(lambda: keeper.failures >= 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(keeper.stop(), 1.0)


async def test_cancelled_while_it_starts_nothing_stays(tmp_path: Path) -> None:
    mark = f"{tmp_path}/mark"
    for pause in (0.0, 0.002, 0.01, 0.03):
        keeper = Keeper(program(*python("import time; time.sleep(60)", mark)))
        task = asyncio.create_task(keeper.run())
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await keeper.stop()
    await until(lambda: not with_argument(mark))


def with_argument(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "cmdline").read_bytes().decode().split("\0"):
                found.append(int(entry.name))
    return found


async def test_leftovers_are_known_by_an_argument_of_theirs(tmp_path: Path) -> None:
    mark = f"{tmp_path}/kamailio.cfg"
    left = await asyncio.create_subprocess_exec(*python("import time; time.sleep(60)", mark))
    other = await asyncio.create_subprocess_exec(*python("import time; time.sleep(60)", mark + ".other"))
    try:
        await until(lambda: with_argument(mark))
        end_leftovers((mark,))
        assert await asyncio.wait_for(left.wait(), 5) == -signal.SIGKILL
        assert other.returncode is None and alive(other.pid)
    finally:
        other.kill()
        await other.wait()
