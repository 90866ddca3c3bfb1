"""Keeps one program running: starts it, starts it again when it ends, stops it in the end.

Each program leads a process group of its own, so that Ctrl-C reaches only the supervisor, and so that
whatever a program leaves behind (Kamailio's children after a kill -9) is ended before the next start.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from voicemail.errors import VoicemailError

log = structlog.get_logger()

GRACE = 5.0
"""Seconds a program may be down before its service counts as failed: longer than a restart."""
STEADY = 10.0
"""Seconds a program must run for its next failure to count as the first."""
BACKOFF = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds to wait before the next start, after so many failures in a row."""
WAIT = 0.2
"""Seconds until one that cannot be started yet is looked at again."""


class NotYet(VoicemailError):
    """A program cannot be started now; the reason is told once, and it is tried again."""

    retry = True


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `prepare` blocks (in a thread) before every start and may raise NotYet."""

    name: str
    argv: Callable[[], list[str]]
    prepare: Callable[[], None] = lambda: None
    environment: Callable[[], Mapping[str, str]] | None = None
    stop: signal.Signals = signal.SIGTERM
    patience: float = 10.0
    """Seconds it may take to stop."""
    at_once: signal.Signals | None = None
    """Stops it without letting it finish what it does; None when `stop` does that."""


class Keeper:
    """One program. `run` until cancelled, then `stop`."""

    def __init__(self, program: Program, started: Callable[[], None] = lambda: None) -> None:
        self.program, self.started = program, started
        self.process: asyncio.subprocess.Process | None = None
        self.down_since: float | None = time.monotonic()
        self.failures = 0
        self._trouble = ""

    @property
    def running(self) -> bool:
        return self.down_since is None

    def failed(self, now: float) -> bool:
        """Whether it has been down, or dying again and again, for longer than a restart takes."""
        return self.failures > 3 or (self.down_since is not None and now - self.down_since > GRACE)

    async def run(self) -> None:
        """Until cancelled; the program goes on then, until `stop`."""
        self.down_since, self.failures = time.monotonic(), 0
        while True:
            began = time.monotonic()
            try:
                await self._once()
            except NotYet as error:  # no failure: it waits for another program, which may have failed
                self._complain(str(error))
                await asyncio.sleep(WAIT)
                continue
            except (OSError, VoicemailError, Exception) as error:  # prepare may raise anything: told, retried
                self._complain(str(error))
            if time.monotonic() - began > STEADY:
                self.failures = 0
            wait = BACKOFF[min(self.failures, len(BACKOFF) - 1)]
            self.failures += 1
            await asyncio.sleep(wait)

    async def _once(self) -> None:
        await asyncio.to_thread(self.program.prepare)
        environment = self.program.environment
        self.process = await asyncio.create_subprocess_exec(
            *self.program.argv(),
            stdin=asyncio.subprocess.PIPE,
            env=dict(environment()) if environment else None,
            start_new_session=True,
        )
        self.down_since, self._trouble = None, ""
        log.info("Started.", program=self.program.name, pid=self.process.pid)
        settled = asyncio.get_running_loop().call_later(STEADY, self._settle)
        self.started()
        try:
            code = await self.process.wait()
        finally:
            settled.cancel()
        self.down_since = time.monotonic()
        self._end_group(signal.SIGKILL)
        log.warning("It ended and is started again.", program=self.program.name, code=code)

    def _settle(self) -> None:
        self.failures = 0

    def tell(self, line: bytes) -> None:
        """Write a line to the program's stdin. One that does not read is left behind, never waited for."""
        if self.process and self.process.stdin and self.process.returncode is None:
            transport = self.process.stdin.transport
            if transport.get_write_buffer_size() < 65536:
                with suppress(OSError, RuntimeError):
                    self.process.stdin.write(line)

    async def stop(self, at_once: bool = False) -> None:
        """Ask it to end, `at_once` or when it has finished what it does; after its patience, kill its
        group."""
        process = self.process
        if not process or process.returncode is not None:
            self.down_since = time.monotonic()
            return
        how = (self.program.at_once if at_once else None) or self.program.stop
        with suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            async with asyncio.timeout(self.program.patience):
                await process.wait()
        except TimeoutError:
            log.warning("It did not stop and is killed.", program=self.program.name)
        self._end_group(signal.SIGKILL)
        self.down_since = time.monotonic()

    def _end_group(self, how: signal.Signals) -> None:
        if self.process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, how)

    def _complain(self, why: str) -> None:
        if why != self._trouble:
            self._trouble = why
            log.warning("It cannot be started; tried again.", program=self.program.name, why=why)


def end_leftovers(marks: tuple[str, ...]) -> None:
    """Kill processes with one of `marks` among their arguments: what a killed supervisor left behind."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if set((entry / "cmdline").read_bytes().decode(errors="replace").split("\0")) & set(marks):
                log.warning("Ending a leftover process.", pid=int(entry.name))
                os.kill(int(entry.name), signal.SIGKILL)
