"""Connections to mail servers that stay open for the next mail: to a distant host a new one costs more round
trips (TCP, TLS, EHLO, AUTH) than the mail. Bounded in mails, in idle time, and in number; each is lent to one
mail at a time, so that what goes to a destination still goes one after the other."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import aiosmtplib

from voicemail.primary.routes import Route

MAILS = 100
"""Over one connection."""
IDLE = 5.0
"""Seconds for which one waits for the next mail: less than any server does."""
MOST = 50
"""Connections that wait."""
FAREWELL = 1.0
"""Seconds for QUIT."""


@dataclass(slots=True)
class Line:
    """An open connection, greeted, protected and signed in."""

    client: aiosmtplib.SMTP
    mails: int = 0
    """That went over it."""

    @property
    def used(self) -> bool:
        """Whether the host may have closed it since."""
        return self.mails > 0

    def drop(self) -> None:
        """At once: closing politely would first send what a slow host has not yet taken."""
        transport = self.client.transport
        self.client.close()
        if transport is not None:
            transport.abort()  # type: ignore[attr-defined]

    async def quit(self) -> None:
        """Politely, within a second. Never fails."""
        with suppress(aiosmtplib.SMTPException, OSError):
            await self.client.quit(timeout=FAREWELL)
        self.drop()


class Kept:
    """Of one mailer."""

    def __init__(self) -> None:
        self._lines: dict[Route, tuple[Line, asyncio.TimerHandle]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def take(self, route: Route) -> Line | None:
        """The one that waits for a mail to go this way, if one does."""
        line, timer = self._lines.pop(route, (None, None))
        if timer:
            timer.cancel()
        return line

    def give(self, route: Route, line: Line) -> None:
        """After a mail was taken: let it wait for the next, or end it."""
        line.mails += 1
        if line.mails >= MAILS or len(self._lines) >= MOST or route in self._lines:
            return self._end(line)
        timer = asyncio.get_running_loop().call_later(IDLE, self._expire, route)
        self._lines[route] = line, timer

    def _expire(self, route: Route) -> None:
        if line := self.take(route):
            self._end(line)

    def _end(self, line: Line) -> None:
        task = asyncio.ensure_future(line.quit())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
