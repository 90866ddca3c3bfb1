"""Tells a web server of an event: one POST of JSON, signed, over a connection of its own (RFC 9112).

Only the status of the answer is read, and that within bounds: a few seconds, a few kilobytes. Redirects are
not followed. Certificates of https are checked. The server can tell by the signature that it was us:

    X-Tandem-Signature: v1=<hex of HMAC-SHA256(secret, "<X-Tandem-Id>.<X-Tandem-Timestamp>.<body>")>
"""

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from voicemail.policy.devices import why_no_webhook
from voicemail.primary.agenda import Outcome, Verdict
from voicemail.primary.lease import Permit

TIMEOUT = 10.0
"""Seconds for everything: name, connection, TLS, answer."""
LONGEST_LINE = 8192
INTERIM = 4
"""Answers of 1xx that are skipped."""
FOR_GOOD = (400, 405, 410, 413, 415, 422)
"""Answers after which repeating it would change nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a webhook leads, as it is connected to."""

    host: str
    port: int
    tls: bool
    target: str
    """Path and query."""

    @property
    def lane(self) -> str:
        return f"webhook {self.host}:{self.port}"

    @property
    def named(self) -> str:
        """For the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def place_of(address: str) -> Place | None:
    """None for an address to which nothing can be posted."""
    if why_no_webhook(address):
        return None
    parts = urlsplit(address)
    tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.hostname or "", parts.port or (443 if tls else 80), tls, target)


def body_of(facts: Mapping[str, Any]) -> bytes:
    """The same facts always give the same bytes."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def signature(secret: str, item: UUID, timestamp: int, body: bytes) -> str:
    """Of the item's id, the time of the try and the body, so that none of them can be another's."""
    signed = f"{item}.{timestamp}.".encode() + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def request_of(place: Place, item: UUID, now: datetime, secret: str, body: bytes) -> bytes:
    """The whole request."""
    timestamp = int(now.timestamp())
    headers = (
        ("Host", place.named),
        ("User-Agent", "Tandem"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Tandem-Id", str(item)),
        ("X-Tandem-Timestamp", str(timestamp)),
        ("X-Tandem-Signature", signature(secret, item, timestamp, body)),
        ("Connection", "close"),
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"POST {place.target} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


def outcome(status: int) -> Outcome:
    """What an answer means."""
    if 200 <= status < 300:
        return Outcome(Verdict.SENT, f"sent: {status}")
    if 300 <= status < 400:
        return Outcome(Verdict.REFUSED, f"{status}: redirects are not followed")
    return Outcome(Verdict.REFUSED if status in FOR_GOOD else Verdict.FAILED, f"answer {status}")


class Poster(Protocol):
    """Posts webhooks. The real one is Https."""

    async def post(self, place: Place, request: bytes, permit: Permit) -> Outcome:
        """Ask `permit`, then post. Raises NotPrimary."""


class Https:
    """Posts over the network. `tls` is for tests; by default this machine's authorities are trusted."""

    def __init__(self, timeout: float = TIMEOUT, tls: ssl.SSLContext | None = None) -> None:
        self._timeout, self._tls = timeout, tls or ssl.create_default_context()

    async def post(self, place: Place, request: bytes, permit: Permit) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._exchange(place, request, permit)
        except TimeoutError:
            return Outcome(Verdict.SILENT, "no answer in time")
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            return Outcome(Verdict.SILENT, f"{type(error).__name__}: {error}"[:300])
        return outcome(status)

    async def _exchange(self, place: Place, request: bytes, permit: Permit) -> int:
        reader, writer = await asyncio.open_connection(
            place.host, place.port, ssl=self._tls if place.tls else None, limit=LONGEST_LINE
        )
        try:
            permit()
            writer.write(request)
            await writer.drain()
            return await _status(reader)
        finally:
            writer.transport.abort()


async def _status(reader: asyncio.StreamReader) -> int:
    """Of the first answer that is none of 1xx. Raises ValueError, IncompleteReadError."""
    for _ in range(INTERIM):
        status = _read_status(await reader.readline())
        if status >= 200:
            return status
        while (await reader.readline()).strip():
            pass
    raise ValueError("nothing but interim answers")


def _read_status(line: bytes) -> int:
    """Raises ValueError for what is no status line."""
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("not an HTTP answer" if line else "closed without an answer")
    return int(rest[:3])
