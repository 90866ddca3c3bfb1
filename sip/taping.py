"""A recording in progress: what ends it, pauses it, and what the caller is told meanwhile."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from sip import room, wav
from sip.call import RecordLimits, Sound
from sip.enginecall import EngineCall
from sip.errors import EngineError
from sip.line import Line
from sip.watch import Listener, Watched

log = structlog.get_logger()

CLOSE_PATIENCE = 1.0
"""Seconds until the recorder must have completed its file; measured: 22 ms at most."""
FIRST_FLUSH = 0.1
"""A header without audio is also what a file looks like before its first flush: wait so long."""
LAST_SECONDS = 15.0
"""Before the limit, the caller is warned."""
WARNED_FROM = 30.0
"""Seconds that a recording must be allowed for a warning to make sense."""
LONGEST_PAUSE = 60.0
"""Seconds; who paused for longer has gone away."""


class Taping:
    """One recording, from the moment when the recorder runs. `say` begins to play a sound to the caller."""

    def __init__(
        self, line: Line, path: Path, limits: RecordLimits, say: Callable[[Sound], Awaitable[object]]
    ) -> None:
        self.line, self.path, self.limits, self.say = line, path, limits, say
        self.left = limits.longest
        self.paused = self.warned = False

    async def run(self) -> tuple[str, str]:
        """Waits for the end of the recording; says why it came, and by which key. Raises OSError, HungUp."""
        await self._with_room()
        listener = Listener(self._ring, lambda: self.line.held, lambda: self.paused)
        watched = self.line.engine.watch.over(self.path, self.limits.silence, listener)
        try:
            why, key = await self._stretch(watched)
            while key and key == self.limits.pause:
                why, key = await self._pause() or await self._stretch(watched)
        finally:
            watched.over = True
        if self.warned:
            await self.line.command(EngineCall.stop)
        return why, key

    async def _stretch(self, watched: Watched) -> tuple[str, str]:
        """Until something ends or pauses the recording."""
        began = asyncio.get_running_loop().time()
        why = await self._with_warning(watched)
        self.left = max(0.0, self.left - (asyncio.get_running_loop().time() - began))
        return why or ("limit", "")

    async def _with_warning(self, watched: Watched) -> tuple[str, str] | None:
        due = self.limits.warning and not self.warned and self.limits.longest >= WARNED_FROM
        last = min(self.left, LAST_SECONDS) if due else self.left
        if (early := self.left - last) and (why := await self._end(watched, early)):
            return why
        if due and self.limits.warning:
            self.warned = True
            await self.say(self.limits.warning)
        return await self._end(watched, last)

    async def _end(self, watched: Watched, wait: float) -> tuple[str, str] | None:
        why: tuple[str, str] | None = await self.line.until(lambda: self._over(watched), wait)
        return why

    def _over(self, watched: Watched) -> tuple[str, str] | None:
        if key := self.line.keys.first_of(self.limits.keys + self.limits.pause):
            return "key", key
        if watched.error:
            raise watched.error
        if watched.silent:
            return "silence", ""
        if watched.stuck:
            log.error("recording does not grow", path=str(watched.growth.path))
            return "limit", ""
        return None

    async def _pause(self) -> tuple[str, str] | None:
        """None when the recording goes on, else why it ends."""
        self.paused = True
        await self.line.command(EngineCall.pause_recording)
        log.debug("recording pauses")
        both = self.limits.pause + self.limits.keys
        key = await self.line.until(lambda: self.line.keys.first_of(both), LONGEST_PAUSE)
        if key != self.limits.pause:
            return ("key", key) if key else ("silence", "")
        await self.line.command(EngineCall.go_on_recording)
        self.paused = False
        return None

    def _ring(self) -> None:
        """From any thread: look whether what is waited for has come."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.line.engine.loop.call_soon_threadsafe(self.line.news.set)

    async def _with_room(self) -> None:
        """The recorder made the file anew, so its room is set aside once more. Raises OSError when the disk
        has filled up in that moment."""
        size = wav.HEADER + int(self.limits.longest * wav.RATE)
        try:
            await asyncio.to_thread(room.set_aside, self.path, size)
        except OSError:
            with contextlib.suppress(EngineError):
                await self.line.command(EngineCall.stop_recording)
            raise


async def completed(path: Path) -> float:
    """Wait until the recorder has written the sizes, then fsync; gives the seconds recorded."""
    if not path.exists():  # the caller hung up before there was a recorder
        path.write_bytes(wav.file_ulaw(b""))
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (waited := loop.time() - began) < CLOSE_PATIENCE:
        size = path.stat().st_size
        if wav.closed(path) and (size > wav.HEADER or waited > FIRST_FLUSH):
            break
        await asyncio.sleep(0.005)
    else:
        log.warning("recorder left its file open", path=str(path))
    return await asyncio.to_thread(_kept, path)


def _kept(path: Path) -> float:
    """Make sure that the file is right and on disk, and takes no more room than it needs."""
    if not wav.closed(path):
        wav.repair(path)
    room.give_back(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return max(0, os.fstat(file.fileno()).st_size - wav.HEADER) / wav.RATE
