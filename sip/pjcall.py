"""A call as a conversation sees it (`sip.call.Call`), in the asyncio thread, on top of the engine.

One coroutine at a time runs a call, so there is no lock: events only change fields and ring `_news`,
and every verb waits by `_until(what it waits for)`. A hang-up rings too, and then raises HungUp.
"""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from sip import room, wav
from sip.call import HungUp, Prompts, Recording, RecordLimits, Sound
from sip.endpoint import Engine
from sip.enginecall import EngineCall
from sip.errors import EngineError
from sip.invite import Invite
from sip.keys import Keys
from sip.sounds import chosen
from sip.watch import Listener, Watched

log = structlog.get_logger()

ANSWER_PATIENCE = 10.0
"""Seconds from our 200 until it must be acknowledged and audio flow; the 200 is repeated meanwhile
(RFC 3261 section 13.3.1.4). Without an ACK nobody listens: an edge died, and the caller went elsewhere."""
CLOSE_PATIENCE = 1.0
"""Seconds until the recorder must have completed its file; measured: 22 ms at most."""
FIRST_FLUSH = 0.1
"""A header without audio is also what a file looks like before its first flush: wait so long."""


class PjCall:
    """Implements `sip.call.Call`. `keep_rtp` sends packets while we are silent, for trunks that
    would hang up otherwise; set it before `answer`."""

    def __init__(self, engine: Engine, number: int, invite: Invite, prompts: Prompts) -> None:
        self.keep_rtp = False
        self.ended = self.cut_off = False
        self._engine, self.number, self._invite, self._prompts = engine, number, invite, prompts
        self._keys = Keys()
        self._news = asyncio.Event()
        self._audio = self._answered = self._acknowledged = self._held = False
        self._played = 0
        self._serials = itertools.count(1)

    @property
    def invite(self) -> Invite:
        return self._invite

    def heard(self, event: str, value: Any) -> None:
        """An event of the engine."""
        match event:
            case "media":
                self._audio, self._held = self._audio or value, not value
            case "confirmed":
                self._acknowledged = True
            case "digit":
                self._keys.press(value)
            case "played":
                self._played = value
            case "ended":
                self.ended = True
        self._news.set()

    async def answer(self) -> None:
        self._still_there()
        if self._answered:
            return
        self._answered = True
        if self.keep_rtp:
            await self._command(EngineCall.keep_rtp)
        await self._command(EngineCall.reply, 200)
        if not await self._until(lambda: self._audio and self._acknowledged, ANSWER_PATIENCE):
            raise EngineError("answered, but no audio flows" if self._acknowledged else "never acknowledged")

    async def reject(self, code: int, reason: str = "") -> None:
        """With Retry-After for 503."""
        headers = (("Retry-After", "5"),) if code == 503 else ()
        await self._command(EngineCall.reply, code, reason, headers)

    async def play(self, *sounds: Sound, until: str = "") -> str:
        """Keys outside of `until` that come meanwhile are dropped; with `until` empty they are kept."""
        self._still_there()
        pressed = self._keys.first_of(until)
        return pressed or await self._play(sounds, lambda: self._keys.first_of(until))

    async def ask(self, *sounds: Sound, keys: str, wait: float = 5.0) -> str:
        key = await self._key(sounds, wait)
        return key if key in keys else "?"

    async def digits(self, *sounds: Sound, most: int, wait: float = 5.0, secret: bool = False) -> str:
        collected = ""
        key = await self._key(sounds, wait)
        while key and key != "#":
            if key == "*" and not collected:
                return key
            collected += key
            if len(collected) >= most:
                break
            key = await self._key((), wait)
        log.debug("digits collected", digits="" if secret else collected, many=len(collected))
        return collected

    async def record(self, path: Path, limits: RecordLimits) -> Recording:
        """Keys pressed before the recording began do not end it: they are dropped. Raises OSError when
        there is no room for `limits.longest` seconds."""
        self._keys.clear()
        if self.ended:
            await asyncio.to_thread(path.write_bytes, wav.file_ulaw(b""))
            return Recording(path, 0.0, "hang-up")
        ended_by, key = "", ""
        with contextlib.suppress(HungUp):
            await self._command(EngineCall.record, str(path))
            await self._with_room(path, limits.longest)
            ended_by, key = await self._recorded(path, limits)
            await self._command(EngineCall.stop_recording)
        ended_by = ended_by or ("cut-off" if self.cut_off else "hang-up")
        seconds = await self._complete(path)
        log.info("recorded", seconds=round(seconds, 2), ended_by=ended_by)
        return Recording(path, seconds, ended_by, key)

    async def hang_up(self) -> None:
        if not self.ended:
            with contextlib.suppress(EngineError, HungUp):
                await self._command(EngineCall.end)

    async def cut(self) -> None:
        """End the call although its caller has not finished: a recording in progress is marked so."""
        self.cut_off = True
        await self.hang_up()

    # ---- what the verbs are made of

    def _still_there(self) -> None:
        if self.ended:
            raise HungUp

    async def _until(self, ready: Callable[[], Any], wait: float | None = None) -> Any:
        """The first true value of `ready()`; a false one after `wait` seconds. Raises HungUp."""
        deadline = None if wait is None else asyncio.get_running_loop().time() + wait
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while not (value := ready()):
                    self._still_there()
                    self._news.clear()
                    await self._news.wait()
                return value
        return ready()

    async def _command(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Raises HungUp, or EngineError when the caller is still there."""
        self._still_there()
        try:
            return await self._engine.command(method, self.number, *arguments)
        except EngineError:
            self._still_there()
            raise

    async def _key(self, sounds: tuple[Sound, ...], wait: float) -> str:
        """The next key: pressed early, during the sounds, or within `wait` seconds after them."""
        self._still_there()
        key = self._keys.take() or await self._play(sounds, self._keys.take)
        return str(key or await self._until(self._keys.take, wait))

    async def _play(self, sounds: tuple[Sound, ...], interrupted: Callable[[], str]) -> str:
        serial = await self._start(sounds)
        if not serial:
            return ""
        key = ""

        def over() -> bool:
            nonlocal key
            key = interrupted()
            return bool(key) or self._played == serial

        await self._until(over)
        if self._played != serial:
            await self._command(EngineCall.stop)
        return key

    async def _start(self, sounds: tuple[Sound, ...]) -> int:
        """Begin to play; 0 when there is nothing to be heard."""
        paths = [path for path in map(self._find, sounds) if path]
        if not paths:
            return 0
        path, joined = await chosen(paths, self._engine.settings.temporary)
        if not path:
            return 0
        serial = next(self._serials)
        try:
            await self._command(EngineCall.play, str(path), serial)
        except EngineError as error:
            log.warning("sound cannot be played", path=str(path), why=str(error))
            return 0
        finally:
            if joined:
                path.unlink(missing_ok=True)
        return serial

    def _find(self, sound: Sound) -> Path | None:
        path = sound if isinstance(sound, Path) else self._prompts(sound)
        if path is None:
            log.warning("prompt is missing", prompt=sound)
        return path

    async def _recorded(self, path: Path, limits: RecordLimits) -> tuple[str, str]:
        """Waits for the end of a recording; says why it came, and by which key. Raises OSError."""
        listener = Listener(self._ring, lambda: self._held)
        watched = self._engine.watch.over(path, limits.silence, listener)
        try:
            why = await self._until(lambda: self._over(watched, limits.keys), limits.longest)
        finally:
            watched.over = True
        return why or ("limit", "")

    def _over(self, watched: Watched, keys: str) -> tuple[str, str] | None:
        if key := self._keys.first_of(keys):
            return "key", key
        if watched.error:
            raise watched.error
        if watched.silent:
            return "silence", ""
        if watched.stuck:
            log.error("recording does not grow", path=str(watched.growth.path))
            return "limit", ""
        return None

    def _ring(self) -> None:
        """From any thread: look whether what is waited for has come."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._engine.loop.call_soon_threadsafe(self._news.set)

    async def _with_room(self, path: Path, seconds: float) -> None:
        """The recorder made the file anew, so its room is set aside once more. Raises OSError when the disk
        has filled up in that moment."""
        try:
            await asyncio.to_thread(room.set_aside, path, wav.HEADER + int(seconds * wav.RATE))
        except OSError:
            with contextlib.suppress(EngineError):
                await self._command(EngineCall.stop_recording)
            raise

    async def _complete(self, path: Path) -> float:
        """Wait until the recorder has written the sizes, then fsync; gives the seconds recorded."""
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
