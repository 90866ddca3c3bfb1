"""Mails that come in: a receiver as the program runs it, with the store in memory, and clients."""

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from store.memory import MemoryStore
from store.model import Message, Setting, User
from tests.fakes.certificates import TestAuthority
from tests.fakes.edge import until
from voicemail.access.smtp import receiver
from voicemail.config import Config, parse
from voicemail.intake.making import mail_spool
from voicemail.intake.parsers import Reader
from voicemail.policy.locations import Location
from voicemail.policy.model import Members

ANNA = User(UUID(int=1), "1001", name="Anna", mail="anna@example.com")
BEN = User(UUID(int=2), "1002", name="Ben")
EVE = "eve@pbx.example.net"
DOMAIN = "vm.example.com"

CONFIG = """
[node]
name = "vm1"
address = "127.0.0.1"
directory = "{folder}"
[mail]
sender = "voicemail@vm.example.com"
message_id_domain = "vm.example.com"
[recording]
least_free_megabytes = 1
[smtp]
port = {port}
domains = ["vm.example.com"]
certificate = "{certificate}"
key = "{key}"
{more}
"""


def config(folder: Path, port: int = 0, more: str = 'allowed_networks = ["127.0.0.1"]') -> Config:
    """Of a node that takes mails on a port of 127.0.0.1."""
    tls = TestAuthority(folder).issue("vm1")
    text = CONFIG.format(folder=folder, port=port or 1, certificate=tls.certificate, key=tls.key, more=more)
    return parse(text)


def mail(
    sender: str = "eve@pbx.example.net",
    subject: str = "hello",
    name: str = "1@pbx.example.net",
    more: str = "",
) -> bytes:
    """A small mail, as tests.fakes.parser reads it."""
    head = f"From: <{sender}>\r\nSubject: {subject}\r\nMessage-ID: <{name}>\r\n{more}"
    return f"{head}\r\nhello\r\n".encode()


@dataclass
class PostOffice:
    """A receiver that listens."""

    config: Config
    store: MemoryStore
    port: int

    @property
    def spool(self) -> Path:
        return mail_spool(self.config)

    async def send(
        self, raw: bytes, to: list[str], sender: str = "eve@pbx.example.net", **how: Any
    ) -> dict[str, Any]:
        """With smtplib, in a thread. Gives what was refused; raises SMTPException."""
        return await asyncio.to_thread(self.sent, raw, to, sender, **how)

    def sent(
        self,
        raw: bytes,
        to: list[str],
        sender: str = EVE,
        *,
        tls: bool = False,
        login: tuple[str, str] | None = None,
        options: tuple[str, ...] = (),
        rcpt_options: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        with smtplib.SMTP("127.0.0.1", self.port, "client.example.net", timeout=10) as client:
            if tls or login:
                client.starttls(context=ssl._create_unverified_context())
            if login:
                client.login(*login)
            return client.sendmail(sender, to, raw, options, rcpt_options)

    async def listed(self, mailbox: UUID, count: int = 1, seconds: float = 5.0) -> list[Message]:
        """What lies in a mailbox once there is so much, and the spool is empty."""

        async def there() -> bool:
            return len(await self.store.messages.listing(mailbox)) >= count and not self.waiting

        with suppress(TimeoutError):
            await until(there, seconds)
        return list(await self.store.messages.listing(mailbox))

    @property
    def waiting(self) -> int:
        return len(list(self.spool.glob("*.json")))


@dataclass
class Talker:
    """A client that says what it wants, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: list[str] = field(default_factory=list)

    async def say(self, *lines: str | bytes) -> str:
        """Send, then hear one whole answer."""
        for line in lines:
            self.writer.write(line if isinstance(line, bytes) else line.encode() + b"\r\n")
        await self.writer.drain()
        return await self.hear()

    async def hear(self, seconds: float = 5.0) -> str:
        """One answer; "" when the connection is closed."""
        said = ""
        async with asyncio.timeout(seconds):
            while line := (await self.reader.readline()).decode():
                said += line
                if line[3:4] != "-":
                    break
        self.heard.append(said)
        return said.strip()

    async def begin(self, *recipients: str, sender: str = "eve@pbx.example.net") -> None:
        """As far as DATA."""
        await self.hear()
        assert (await self.say("EHLO client")).startswith("250")
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250")
        for each in recipients or (f"1001@{DOMAIN}",):
            assert (await self.say(f"RCPT TO:<{each}>")).startswith("250")
        assert (await self.say("DATA")).startswith("354")


@asynccontextmanager
async def talking(port: int) -> AsyncIterator[Talker]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Talker(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def filled(store: MemoryStore | None = None) -> MemoryStore:
    """Two users, a list and another voice-mail system."""
    store = store or MemoryStore()
    for user in (ANNA, BEN):
        await store.users.add(user)
    sales = Members(members=("1001", "1002"), extension="7000")
    await store.settings.put(Setting(Members.KIND, "sales", sales.model_dump_json()))
    berlin = Location(domain="berlin.example.org", networks=("127.0.0.9",), make_contacts=True)
    await store.settings.put(Setting(Location.KIND, "berlin", berlin.model_dump_json()))
    return store


@asynccontextmanager
async def post_office(
    made: Config, store: MemoryStore, reader: Reader, change: Callable[[Config], Config] = lambda c: c
) -> AsyncIterator[PostOffice]:
    """Listening on a port of its own, until the end of the block."""
    smtp = made.smtp.model_copy(update={"port": 0})
    async with receiver(change(made.model_copy(update={"smtp": smtp})), store, reader) as (server, _):
        yield PostOffice(made, store, server.sockets[0].getsockname()[1])
