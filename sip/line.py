"""One call of the engine in the asyncio thread: what has been heard of it, and waiting for more.

One coroutine at a time runs a call, so there is no lock: events only change fields and ring `news`, and
everybody waits by `until(what they wait for)`. A hang-up rings too, and then raises HungUp.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from sip.call import HungUp
from sip.endpoint import Engine
from sip.enginecall import EngineCall
from sip.errors import EngineError
from sip.keys import Keys


class Line:
    """`news` may be shared: who waits for two calls at once is woken by either."""

    def __init__(self, engine: Engine, number: int, news: asyncio.Event | None = None) -> None:
        self.engine, self.number = engine, number
        self.news = news or asyncio.Event()
        self.keys = Keys()
        self.ended = self.cut_off = self.audio = self.acknowledged = self.held = False
        self.trunk = False
        """Of a call that we make: whether the number may be the trunk's; else it is a phone's that has
        registered here."""
        self.code = 0
        """The final status once the call has ended: 200 after a BYE."""
        self.played = 0
        """Serial of the last sound that was played to its end."""
        self.referred = 0
        """The final status of the last transfer; 0 while there is none."""

    @property
    def talks(self) -> bool:
        """Whether it has been answered, and goes on."""
        return self.audio and self.acknowledged and not self.ended

    def heard(self, event: str, value: Any) -> None:
        """An event of the engine."""
        match event:
            case "media":
                self.audio, self.held = self.audio or value, not value
            case "confirmed":
                self.acknowledged = True
            case "digit":
                self.keys.press(value[:1], value[1:], asyncio.get_running_loop().time())
            case "played":
                self.played = value
            case "referred":
                self.referred = value
            case "ended":
                self.ended, self.code = True, value or 0
        self.news.set()

    def still_there(self) -> None:
        """Raises HungUp."""
        if self.ended:
            raise HungUp

    async def until(self, ready: Callable[[], Any], wait: float | None = None) -> Any:
        """The first true value of `ready()`; a false one after `wait` seconds. Raises HungUp."""
        deadline = None if wait is None else asyncio.get_running_loop().time() + wait
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while not (value := ready()):
                    self.still_there()
                    self.news.clear()
                    await self.news.wait()
                return value
        return ready()

    async def command(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Raises HungUp, or EngineError when the caller is still there."""
        self.still_there()
        try:
            return await self.engine.command(method, self.number, *arguments)
        except EngineError:
            self.still_there()
            raise

    async def hang_up(self) -> None:
        if not self.ended:
            with contextlib.suppress(EngineError, HungUp):
                await self.command(EngineCall.end)

    async def cut(self) -> None:
        """End the call although its caller has not finished: a recording in progress is marked so."""
        self.cut_off = True
        await self.hang_up()
