"""Webhooks to a real HTTP server, which answers as the test says, or not at all."""

import asyncio
import hashlib
import hmac
import json
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from voicemail.cluster.certificates import make_authority, make_key, make_request, sign
from voicemail.primary.agenda import Outcome, Verdict
from voicemail.primary.lease import NotPrimary
from voicemail.primary.webhook import Https, Place, body_of, place_of, request_of

ITEM, SECRET = UUID(int=7), "0123456789abcdef"
NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
BODY = body_of({"event": "message", "caller": "Eve \r\n\r\nHost: evil é"})
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Keeps the heads and bodies that came."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[tuple[list[str], bytes]] = []

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
            length = next(int(line[15:]) for line in head if line.startswith("Content-Length"))
            self.requests.append((head, await reader.readexactly(length)))
            await self.answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Server, Place]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.client, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    place = place_of(f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook?a=1")
    assert place
    async with listening:
        yield server, place


def says(text: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()
        await asyncio.sleep(0.05)

    return answer


async def posted(place: Place, timeout: float = 2.0, tls: ssl.SSLContext | None = None) -> Outcome:
    request = request_of(place, ITEM, NOW, SECRET, BODY)
    return await Https(timeout, tls).post(place, request, lambda: None)


async def test_what_is_posted_can_be_proved_by_who_knows_the_secret() -> None:
    async with serving(says(b"HTTP/1.1 204 No Content\r\n\r\n")) as (server, place):
        assert (await posted(place)).verdict is Verdict.SENT
    ((head, body),) = server.requests
    headers = dict(line.split(": ", 1) for line in head[1:])
    assert head[0] == "POST /hook?a=1 HTTP/1.1" and headers["Host"] == f"127.0.0.1:{place.port}"
    assert json.loads(body)["caller"].startswith("Eve") and len(headers) == 8
    signed = f"{headers['X-Tandem-Id']}.{headers['X-Tandem-Timestamp']}.".encode() + body
    right = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Tandem-Signature"] == f"v1={right}" and SECRET not in "".join(head)
    assert (headers["X-Tandem-Id"], headers["X-Tandem-Timestamp"]) == (str(ITEM), "1772632800")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Verdict.SENT),
        (b"HTTP/1.0 202 Accepted\r\nX: y\r\n\r\nbody", Verdict.SENT),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Verdict.SENT),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n", Verdict.REFUSED),
        (b"HTTP/1.1 307 Moved\r\nLocation: http://169.254.169.254/\r\n\r\n", Verdict.REFUSED),
        (b"HTTP/1.1 410 Gone\r\n\r\n", Verdict.REFUSED),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", Verdict.FAILED),
        (b"HTTP/1.1 429 Too Many\r\n\r\n", Verdict.FAILED),
        (b"HTTP/1.1 503 Later\r\n\r\n", Verdict.FAILED),
        (b"220 smtp.example.com ESMTP\r\n", Verdict.SILENT),
        (b"HTTP/1.1 2xx\r\n\r\n", Verdict.SILENT),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50, Verdict.SILENT),
        (b"", Verdict.SILENT),
        (b"\x00" * 100_000, Verdict.SILENT),
    ],
)
async def test_what_an_answer_means(answer: bytes, verdict: Verdict) -> None:
    async with serving(says(answer)) as (server, place):
        outcome = await posted(place)
    assert outcome.verdict is verdict, outcome
    assert len(server.requests) == 1, "a redirect was followed"


async def test_a_server_that_drips_or_floods_costs_neither_time_nor_memory() -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n\r\n":
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.2)

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 ")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    loop = asyncio.get_running_loop()
    for answer in (drip, flood):
        async with serving(answer) as (_, place):
            tracemalloc.start()
            began = loop.time()
            assert (await posted(place, timeout=0.5)).verdict is Verdict.SILENT
            assert loop.time() - began < 1.5
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 5_000_000, peak


async def test_a_server_that_is_not_there_is_silent() -> None:
    async with serving(says(b"")) as (_, place):
        pass
    assert (await posted(place)).verdict is Verdict.SILENT
    nowhere = place_of("https://nobody.invalid/")
    assert nowhere and (await posted(nowhere)).verdict is Verdict.SILENT


async def test_a_lease_that_ends_while_connecting_posts_nothing() -> None:
    def over() -> None:
        raise NotPrimary("over")

    async with serving(says(b"HTTP/1.1 200 OK\r\n\r\n")) as (server, place):
        with pytest.raises(NotPrimary):
            await Https(2.0).post(place, request_of(place, ITEM, NOW, SECRET, BODY), over)
        await asyncio.sleep(0.05)
    assert not server.requests


async def test_https_is_verified(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority, authority_key = make_authority("test", now)
    key = make_key()
    certificate = sign(authority, authority_key, make_request(key, "hook"), 1, "127.0.0.1", now)
    for name, content in (("ca.pem", authority), ("hook.pem", certificate), ("hook.key", key)):
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "hook.pem", tmp_path / "hook.key")
    async with serving(says(b"HTTP/1.1 200 OK\r\n\r\n"), context) as (server, place):
        refused = await posted(place)
        assert refused.verdict is Verdict.SILENT and "certificate" in refused.text.lower()
        assert not server.requests
        trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        assert (await posted(place, tls=trusting)).verdict is Verdict.SENT
        other = Place("localhost", place.port, True, "/")
        assert (await posted(other, tls=trusting)).verdict is Verdict.SILENT, "the name counts"


@pytest.mark.parametrize(
    "address",
    ["", "hook", "ftp://h/", "https:///x", "https://h:99999/", "https://u@h/", "https://h/a b",
     "https://h/\r\nX: y", "https://h\r\n/", "file:///etc/passwd", "https://h/ü", "https://[::1/"],
)  # fmt: skip
def test_what_is_no_address_is_posted_nowhere(address: str) -> None:
    assert place_of(address) is None
