"""A call as a conversation sees it (`sip.call.Call`), in the asyncio thread, on top of the engine."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from sip import tones, transfer, wav
from sip.call import HungUp, Prompts, Recording, RecordLimits, Screen, Sound, Transferred
from sip.endpoint import Engine
from sip.enginecall import EngineCall
from sip.errors import EngineError
from sip.invite import Invite
from sip.line import Line
from sip.sounds import Ready, chosen
from sip.taping import Taping, completed
from sip.transfer import Out

log = structlog.get_logger()

ANSWER_PATIENCE = 10.0
"""Seconds from our 200 until it must be acknowledged and audio flow; the 200 is repeated meanwhile
(RFC 3261 section 13.3.1.4). Without an ACK nobody listens: an edge died, and the caller went elsewhere."""
PHONES_PATIENCE = 20.0
"""Seconds that a number is rung for a caller who cannot be transferred."""


class PjCall(Line):
    """Implements `sip.call.Call`. `keep_rtp` sends packets while we are silent, for trunks that
    would hang up otherwise; set it before `answer`."""

    def __init__(
        self, engine: Engine, number: int, invite: Invite, prompts: Prompts, out: Out | None = None
    ) -> None:
        super().__init__(engine, number)
        self.keep_rtp = False
        self._invite, self._prompts, self._out, self._language = invite, prompts, out or Out(), ""
        self._answered = False
        self._ready: Ready | None = None
        self._serials = itertools.count(1)

    @property
    def invite(self) -> Invite:
        return self._invite

    def use_language(self, language: str) -> None:
        self._language = language

    async def answer(self) -> None:
        self.still_there()
        if self._answered:
            return
        self._answered = True
        if self.keep_rtp:
            await self.command(EngineCall.keep_rtp)
        await self.command(EngineCall.reply, 200)
        if not await self.until(lambda: self.audio and self.acknowledged, ANSWER_PATIENCE):
            raise EngineError("answered, but no audio flows" if self.acknowledged else "never acknowledged")

    async def reject(self, code: int, reason: str = "") -> None:
        """With Retry-After for 503."""
        headers = (("Retry-After", "5"),) if code == 503 else ()
        await self.command(EngineCall.reply, code, reason, headers)

    async def play(self, *sounds: Sound, until: str = "") -> str:
        """Keys outside of `until` that come meanwhile are dropped; with `until` empty they are kept."""
        self.still_there()
        pressed = self.keys.first_of(until)
        return pressed or await self._play(sounds, lambda: self.keys.first_of(until))

    async def prepare(self, *sounds: Sound, language: str) -> None:
        paths = await self._paths(sounds, language)
        self._forget()
        with contextlib.suppress(OSError):
            self._ready = await Ready.of(paths, self.engine.settings.temporary) if paths else None

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
        self.keys.clear()
        if self.ended:
            await asyncio.to_thread(path.write_bytes, wav.file_ulaw(b""))
            return Recording(path, 0.0, "hang-up")
        ended_by, key = "", ""
        with contextlib.suppress(HungUp):
            await self.command(EngineCall.record, str(path))
            ended_by, key = await Taping(self, path, limits, lambda sound: self._start((sound,))).run()
            await self.command(EngineCall.stop_recording)
        ended_by = ended_by or ("cut-off" if self.cut_off else "hang-up")
        seconds = await completed(path)
        log.info("recorded", seconds=round(seconds, 2), ended_by=ended_by)
        return Recording(path, seconds, ended_by, key)

    async def hang_up(self) -> None:
        self._forget()
        await super().hang_up()

    async def transfer(self, number: str) -> Transferred:
        """A caller who came over no trunk is a phone, which knows no numbers but through us: it is put
        through by a leg of our own. So is one whose PBX does not know the number, if a
        registered phone has it."""
        self.still_there()
        if self._out.trunk:
            done = await transfer.refer(self, self._out.target(number), self._ringing)
            if done is not Transferred.REFUSED or not self.referred:
                return done
        return await self._connect(self._out.phones(), number, PHONES_PATIENCE)

    async def connect(self, number: str, ring: float, screen: Screen | None = None) -> Transferred:
        return await self._connect(self._out, number, ring, screen)

    async def _connect(self, out: Out, number: str, ring: float, screen: Screen | None = None) -> Transferred:
        self.still_there()
        leg = self._leg(number, out)
        asks = (lambda: screen(leg)) if screen else None
        return await transfer.connect(
            self, leg, out, out.leg(number), self._from(), self._ringing, ring, asks
        )

    def _leg(self, number: str, out: Out) -> "PjCall":
        """A call that we make for this caller; it has no number before it is dialled. Who waits for either
        is woken by both."""
        leg = PjCall(self.engine, 0, Invite("", number, ""), self._prompts, out)
        leg.news, leg.trunk, leg._answered = self.news, out.trunk, True
        return leg

    def _from(self) -> str:
        """Whom the called party sees."""
        if not self._invite.caller:
            return "sip:anonymous@anonymous.invalid"
        name = "".join(c for c in self._invite.caller_name if c not in '"\\')
        host = self._out.host
        return f'"{name}" <sip:{quote(self._invite.caller, safe="+*#")}@{host}>'

    # ---- what the verbs are made of

    async def _ringing(self, ready: Callable[[], Any], wait: float) -> Any:
        """The first true value of `ready()`, or a false one after `wait` seconds, while it rings. Raises
        HungUp."""
        folder = self.engine.settings.temporary
        with contextlib.suppress(OSError):
            tone = await asyncio.to_thread(tones.ringing, folder)
            return await self._to_a_tone(tone, ready, wait)
        return await self.until(ready, wait)

    async def _to_a_tone(self, tone: Path, ready: Callable[[], Any], wait: float) -> Any:
        loop, serial = asyncio.get_running_loop(), 0
        ends = loop.time() + wait
        while not ready() and (left := ends - loop.time()) > 0:
            if serial in (0, self.played):
                serial = await self._start((tone,)) or -1
            await self.until(lambda: ready() or self.played == serial, left)  # noqa: B023  waited for here
        await self.command(EngineCall.stop)
        return ready()

    async def _key(self, sounds: tuple[Sound, ...], wait: float) -> str:
        """The next key: pressed early, during the sounds, or within `wait` seconds after them."""
        self.still_there()
        key = self.keys.take() or await self._play(sounds, self.keys.take)
        return str(key or await self.until(self.keys.take, wait))

    async def _play(self, sounds: tuple[Sound, ...], interrupted: Callable[[], str]) -> str:
        serial = await self._start(sounds)
        if not serial:
            return ""
        key = ""

        def over() -> bool:
            nonlocal key
            key = interrupted()
            return bool(key) or self.played == serial

        await self.until(over)
        if self.played != serial:
            await self.command(EngineCall.stop)
        return key

    async def _start(self, sounds: tuple[Sound, ...]) -> int:
        """Begin to play; 0 when there is nothing to be heard."""
        paths = await self._paths(sounds, self._language)
        if not paths:
            return 0
        if self._ready and self._ready.paths == paths:
            return await self._started(self._ready.path)
        path, joined = await chosen(paths, self.engine.settings.temporary)
        if not path:
            return 0
        try:
            return await self._started(path)
        finally:
            if joined:
                path.unlink(missing_ok=True)

    async def _started(self, path: Path) -> int:
        serial = next(self._serials)
        try:
            await self.command(EngineCall.play, str(path), serial)
        except EngineError as error:
            log.warning("sound cannot be played", path=str(path), why=str(error))
            return 0
        return serial

    async def _paths(self, sounds: tuple[Sound, ...], language: str) -> list[Path]:
        return [path for sound in sounds if (path := await self._find(sound, language))]

    async def _find(self, sound: Sound, language: str) -> Path | None:
        """Where a prompt is missing, a tone says that something was to be said; None without room for it."""
        path = sound if isinstance(sound, Path) else self._prompts(sound, language)
        if path is None:
            log.error("prompt is missing", prompt=sound)
            with contextlib.suppress(OSError):
                return await asyncio.to_thread(tones.missing, self.engine.settings.temporary)
        return path

    def _forget(self) -> None:
        if self._ready:
            self._ready.close()
        self._ready = None
