"""The Primary's surroundings: a clock advanced by hand, edges and PBXs, a mail host. All really work,
and can be made to fail."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from itertools import count

from sip.mwi import Summary, parse
from sip.requests import Answer, Request
from voicemail.primary.lease import Permit


class HandClock:
    """Stands still until `advance`."""

    def __init__(self) -> None:
        self.started, self.elapsed = datetime.now(UTC), 1000.0
        self._waiting: set[asyncio.Event] = set()

    def monotonic(self) -> float:
        return self.elapsed

    def now(self) -> datetime:
        return self.started + timedelta(seconds=self.elapsed - 1000.0)

    async def sleep_until(self, moment: float | None, bell: asyncio.Event) -> None:
        moved = asyncio.Event()
        self._waiting.add(moved)
        try:
            while not bell.is_set() and (moment is None or self.elapsed < moment):
                moved.clear()
                tasks = [asyncio.ensure_future(event.wait()) for event in (bell, moved)]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
        finally:
            self._waiting.discard(moved)

    def advance(self, seconds: float) -> None:
        self.elapsed += seconds
        for moved in self._waiting:
            moved.set()


async def eventually(holds: Callable[[], object], seconds: float = 5.0) -> None:
    """Let everything run until this holds. Raises AssertionError when it does not."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0)


async def quiet(turns: int = 200) -> None:
    """Let everything run that can run without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


@dataclass
class SipWorld:
    """Edges and PBXs by host ("192.0.2.5" is in "sip:mwi-1001@192.0.2.5:5060"). An edge keeps
    publications by their ETag as RFC 3903 says. `codes` sets what a host answers, `hanging` are hosts
    that never answer; `delay` makes every answer take some turns of the loop."""

    requests: list[Request] = field(default_factory=list)
    lamps: dict[str, Summary] = field(default_factory=dict)
    """What was accepted last, by request URI."""
    codes: dict[str, int] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    etags: dict[str, str] = field(default_factory=dict)
    flying: int = 0
    most_flying: int = 0
    _numbers: "count[int]" = field(default_factory=count)

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
        request = Request(method, target, headers, content_type, body, route, identity)
        self.requests.append(request)
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            if any(host in target for host in self.hanging):
                await asyncio.Event().wait()
            return self._answer(request)
        finally:
            self.flying -= 1

    def _answer(self, request: Request) -> Answer:
        for host, code in self.codes.items():
            if host in request.target:
                return Answer(code)
        if request.method == "NOTIFY":
            self.lamps[request.target] = parse(request.body)
            return Answer(200)
        match = dict(request.headers).get("SIP-If-Match")
        if match and self.etags.get(match) != request.target:
            return Answer(412)
        self.etags.pop(match or "", None)
        etag = f"e{next(self._numbers)}"
        self.etags[etag] = request.target
        self.lamps[request.target] = parse(request.body)
        return Answer(200, (("SIP-ETag", etag),))

    def to(self, host: str) -> list[Request]:
        return [request for request in self.requests if host in request.target]

    def forget(self) -> None:
        self.requests.clear()


@dataclass
class PostBox:
    """A mail host. `failure` is raised instead of taking; while `held` is set mails wait inside, accepted
    when it is released: the moment at which a takeover is the nastiest."""

    mails: list[EmailMessage] = field(default_factory=list)
    failure: Exception | None = None
    held: asyncio.Event | None = None
    inside: int = 0
    stuck: int = 0
    taken: int = 0

    async def take(self, mail: EmailMessage, receiver: str, permit: Permit) -> None:
        if self.failure:
            raise self.failure
        permit()
        self.inside += 1
        self.mails.append(mail)
        if self.held:
            self.stuck += 1
            await self.held.wait()
            self.stuck -= 1
        await asyncio.sleep(0)
        self.inside -= 1
        self.taken += 1

    @property
    def ids(self) -> list[str]:
        return [str(mail["Message-ID"]) for mail in self.mails]
