"""Requests outside of any dialog (NOTIFY, PUBLISH, SUBSCRIBE) for a process that takes no calls."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from sip.errors import BadMessage, EngineError
from sip.parse import parse_message
from sip.settings import EngineSettings

if TYPE_CHECKING:
    from sip.endpoint import Engine

TIMEOUT = 8.0
"""Seconds until a request counts as unanswered. The library goes on repeating it until 32 s."""
IN_FLIGHT = 64
"""Requests that may wait for their answers at once; more wait for their turn."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. `route` is a loose-route URI, e.g. the node's own edge, so that the request leaves
    from its address. `identity` is the From, "" for the engine's. A process has room for seven pairs of
    identity and route, so an identity stands for a node, never for a mailbox."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = ""
    body: str = ""
    route: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer; 408 without headers when none came."""

    code: int
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 300

    def header(self, name: str) -> str:
        """The first header of this name, "" when there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


def read_answer(code: int, text: str) -> Answer:
    """`text` is the raw answer, "" when none came."""
    try:
        return Answer(code, parse_message(text).headers if text else ())
    except BadMessage:
        return Answer(code)


class RequestClient:
    """Sends requests through an engine. Lives in the asyncio thread."""

    def __init__(self, engine: "Engine", timeout: float = TIMEOUT, in_flight: int = IN_FLIGHT) -> None:
        self.engine, self.timeout = engine, timeout
        self._turn = asyncio.Semaphore(in_flight)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._serials = itertools.count(1)
        engine.listener = self._heard

    def _heard(self, _number: int, event: str, value: Any) -> None:
        if event == "answer":
            serial, code, text = value
            future = self._waiting.get(serial)
            if future and not future.done():
                future.set_result(read_answer(code, text))

    async def send(
        self,
        method: str,
        target: str,
        headers: tuple[tuple[str, str], ...] = (),
        content_type: str = "",
        body: str = "",
        route: str = "",
        identity: str = "",
    ) -> Answer:
        """Send and wait for the final answer. Never raises for what the network does: silence is
        408. Raises EngineError when the request cannot be formed (a bad URI)."""
        request = Request(method, target, headers, content_type, body, route, identity)
        async with self._turn:
            return await self._sent(request, next(self._serials))

    async def _sent(self, request: Request, serial: int) -> Answer:
        from sip.endpoint import Engine  # only here: settings and values need no SIP stack

        future = self._waiting[serial] = asyncio.get_running_loop().create_future()
        try:
            await self.engine.submit(Engine.send, request, serial)
            return await asyncio.wait_for(future, self.timeout)
        except TimeoutError:
            return Answer(408)
        finally:
            del self._waiting[serial]


def run_with_engine(
    settings: EngineSettings, main: Callable[[RequestClient], Coroutine[Any, Any, None]]
) -> NoReturn:
    """Call this in the main thread of a process of its own: it becomes the engine's, `main` runs in an
    asyncio thread and is cancelled by SIGTERM. The process ends with it (status 1 if it raised)."""
    from sip.hosting import run_engine

    async def serve(engine: "Engine") -> None:
        await main(RequestClient(engine))

    run_engine(settings, serve)


__all__ = ["Answer", "EngineError", "Request", "RequestClient", "run_with_engine"]
