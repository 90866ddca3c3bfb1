"""Keep-alives between the two nodes: JSON lines over mutual TLS, every 200 ms, each way on its own
connection, opened by the sender.

What a closed connection and a silence mean is judged in `hearing.py`. A connection whose lines are not
acknowledged for GIVE_UP is replaced, so that a link that is back is used at once, whatever TCP still
waits for. A link that loses packets stalls them for seconds all the same, so they also go as datagrams
(`beacon.py`). Whoever connects without a certificate of the cluster may only join (`join.py`).
"""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from voicemail.cluster import asking
from voicemail.cluster.certificates import client_context, common_name, node_name, server_context
from voicemail.cluster.replaced import was_replaced
from voicemail.cluster.roles import Status
from voicemail.control import Answer
from voicemail.errors import ClusterError
from voicemail.secrets import Member, NodeFiles

log = structlog.get_logger()

EVERY = 0.2
GIVE_UP = 2.0
"""Seconds without an acknowledgement after which a connection is of no use."""
HANDSHAKE = 2.0
MOST_OPEN = 256
MOST_JOINING = 8
"""Connections to the cluster port at a time, and those of them that show no certificate."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """What a node says of itself."""

    number: int
    status: Status
    epoch: int
    duties_work: bool = True
    subscribed: bool = False
    """It has a subscription to the other node's database."""
    database: bool = True
    """Its database answers."""
    delivered: bool = False
    """All that its database holds is on the other node's disk, but for the last moment's."""
    because: str = ""
    since: float = 0.0
    """Its last change of status: why, and when (seconds since 1970)."""
    workers: int = 0
    busy: int = 0
    ports: int = 0
    """Workers up, calls in progress, calls it can take at once."""
    lag: int | None = None
    """Bytes that the other node's database has yet to get from its own; None: not connected."""
    single_copies: int | None = None
    wants_primary: bool = False
    """An operator asked this node to become Primary."""
    taking_calls: bool = True
    """False: an operator stopped it from taking calls."""
    schema: int = 1
    """Version of its database's schema."""
    clock: float = 0.0
    """Its time of day when it said so, seconds since 1970; 0: not told."""
    awake: float = 0.0
    """Since when its process has run without a pause: its own monotonic clock, of use only to compare."""
    delivered_ago: float | None = None
    """Seconds since the moment until which all that its database took is on the other node's disk; None:
    not known. So the listener can tell whether that moment is later than the end of a cut."""
    run: str = ""
    """Of its process: random, another one after each start."""
    beat: int = 0
    """How often that process has said something, whichever way it went; 0: a release that does not count."""

    def line(self) -> bytes:
        said = {name: getattr(self, name) for name in self.__dataclass_fields__}  # asdict copies deeply
        return json.dumps(said).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> "KeepAlive":
        """Raises ValueError for anything else than a keep-alive. Unknown keys are left out, so that a
        newer node can say more."""
        try:
            said = json.loads(line)
            known = {key: value for key, value in said.items() if key in cls.__dataclass_fields__}
            read = cls(**known | {"status": Status(said["status"])})
        except (TypeError, AttributeError, KeyError, RecursionError) as error:
            raise ValueError(f"not a keep-alive: {error}") from None
        if not all(isinstance(number, int) for number in (read.number, read.epoch, read.beat)):
            raise ValueError("not a keep-alive: number, epoch and beat must be whole numbers")
        return read


Say = Callable[[], KeepAlive]
Heard = Callable[[KeepAlive, float], bool]
"""Takes a keep-alive and when its connection came in (monotonic); False drops the connection."""
Join = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _no_answer(_asked: dict[str, Any]) -> dict[str, Any]:
    raise ClusterError("this node answers no questions")


class Listener:
    """The cluster port: takes the peer's keep-alives and questions, hands strangers to `join`."""

    def __init__(
        self,
        files: NodeFiles,
        number: int,
        heard: Heard,
        lost: Callable[[], None],
        join: Join,
        answer: Answer = _no_answer,
    ) -> None:
        self.files, self.context = files, server_context(files)
        self.number, self.heard, self.lost, self.join = number, heard, lost, join
        self.answer = answer
        self.server: asyncio.Server | None = None
        self.current: asyncio.StreamWriter | None = None
        self.complaints: set[str] = set()
        self.open: set[asyncio.StreamWriter] = set()
        self.joining = 0

    async def start(self, address: str, port: int) -> None:
        self.server = await asyncio.start_server(self._accept, address, port, limit=65536)

    async def stop(self) -> None:
        if self.server:
            self.server.close()
        self._hang_up()

    def renew_trust(self) -> None:
        """The node's certificates are others now: whoever came by the old ones goes."""
        self.context = server_context(self.files)
        self.complaints.clear()
        self._hang_up()

    def _hang_up(self) -> None:
        for writer in self.open:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source, opened = (writer.get_extra_info("peername") or ("",))[0], time.monotonic()
        if len(self.open) >= MOST_OPEN:
            writer.close()
            return
        self.open.add(writer)
        try:
            await writer.start_tls(self.context, ssl_handshake_timeout=HANDSHAKE)
            await self._sort(reader, writer, source, opened)
        except ConnectionError:  # however the system words it: one line for all of them
            self._complain(source, "it breaks the connection off")
        except (OSError, ssl.SSLError, ValueError) as error:
            self._complain(source, f"{type(error).__name__}: {error}")
        finally:
            self.open.discard(writer)
            writer.close()

    async def _sort(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str, opened: float
    ) -> None:
        name = common_name(writer.get_extra_info("peercert"))
        if not name:
            await self._admit(reader, writer)
        elif name == node_name(3 - self.number):
            first = await self._first(reader)
            if asked := asking.question_of(first):
                await asking.reply(writer, asked, self.answer)
            else:
                await self._listen(reader, writer, opened, first)
        else:
            self._complain(source, f"its certificate is of {name!r}, not of our peer")

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.joining >= MOST_JOINING:
            return
        self.joining += 1
        try:
            await self.join(reader, writer)
        finally:
            self.joining -= 1

    async def _listen(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opened: float, line: bytes
    ) -> None:
        self.complaints.clear()
        self.current = writer
        closed = True
        try:
            while line and self.heard(KeepAlive.read(line), opened):
                line = await self._line(reader)
        except TimeoutError:
            closed = False  # the link stalls, which tells nothing of the peer's process
        except OSError:
            pass  # closed all the same
        finally:
            if self.current is writer:
                self.current = None
                if closed:
                    self.lost()

    async def _first(self, reader: asyncio.StreamReader) -> bytes:
        """The first line; nothing when none comes, which ends the connection as at any later time."""
        try:
            return await self._line(reader)
        except OSError:
            return b""
        except ValueError:  # far too long
            self.lost()
            raise

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """A line within twice the time in which a sender gives up. Not by wait_for, which may swallow a
        cancellation (Python 3.11)."""
        async with asyncio.timeout(2 * GIVE_UP):
            return await reader.readline()

    def _complain(self, source: str, why: str) -> None:
        """One line per source and reason, however often it comes."""
        if (text := f"{source} {why}") not in self.complaints and len(self.complaints) < 1000:
            self.complaints.add(text)
            log.warning("Refused a connection to the cluster port.", source=source, why=why)


async def speak(
    files: NodeFiles, peer: Member, say: Say, replaced: Callable[[], None] = lambda: None
) -> None:
    """Dial the peer for ever and tell it `say()` every 200 ms. Each kind of failure is logged once,
    and again after a connection that was of use. `replaced` is called when the peer gave this node up."""
    context, told = client_context(files), set[str]()
    while True:
        began, why = time.monotonic(), "it closes the connection"
        try:
            await _tell(context, peer, say)
        except TimeoutError:
            why = "no answer"
        except ssl.SSLCertVerificationError as error:
            why = f"it is not of this node's cluster (was this node replaced?): {error.verify_message}"
            if await was_replaced(files, peer):
                return replaced()
        except (OSError, ssl.SSLError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
        was_of_use = time.monotonic() - began > GIVE_UP
        if was_of_use:
            told.clear()
        if why not in told and len(told) < 100:
            told.add(why)
            log.info("Keep-alives do not reach the peer.", peer=peer.name, address=peer.address, why=why)
        if not was_of_use:
            await asyncio.sleep(EVERY)  # else dialled at once, or the peer takes us for dead


async def _tell(context: ssl.SSLContext, peer: Member, say: Say) -> None:
    async with asyncio.timeout(HANDSHAKE):
        reader, writer = await asyncio.open_connection(
            peer.address, peer.cluster_port, ssl=context, ssl_handshake_timeout=HANDSHAKE
        )
    unacknowledged = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * GIVE_UP)
    writer.get_extra_info("socket").setsockopt(*unacknowledged)
    try:
        certificate: dict[str, Any] = writer.get_extra_info("peercert")
        if (name := common_name(certificate)) != node_name(peer.number):
            raise ValueError(f"{peer.address}:{peer.cluster_port} is {name!r}")
        closed = False
        while not closed:
            writer.write(say().line())
            async with asyncio.timeout(GIVE_UP):
                await writer.drain()
            closed = await _closes(reader, EVERY)
    finally:
        writer.close()


async def _closes(reader: asyncio.StreamReader, within: float) -> bool:
    """Whether the listener, which never says a word, ends the connection within so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await reader.read(1)
            return True
    return False
