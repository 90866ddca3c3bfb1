"""SIP parties in plain text over UDP or TCP: phones, trunks and workers whose every byte a test decides.

They keep what they receive (`received`) and do only what they are told, or what `Worker` does by
itself. Nothing is retransmitted: tests run on loopback.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
numbers = itertools.count(1)

Where = tuple[str, int]
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Message:
    """A request or a response, read just well enough for tests."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        head, _, body = text.partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return cls(start, tuple((name.strip(), value.strip()) for name, _, value in pairs), body)

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order, comma-separated routes apart."""
        values = [v for n, v in self.headers if COMPACT.get(n.lower(), n.lower()) == name.lower()]
        routes = name.lower() in ("via", "route", "record-route")
        return [part.strip() for value in values for part in value.split(",")] if routes else values

    def get(self, name: str) -> str:
        """The first value of a header, "" when there is none."""
        return next(iter(self.all(name)), "")

    @property
    def code(self) -> int:
        """The status of a response, 0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """The method of a request, or the one that a response answers."""
        return self.get("CSeq").split(" ")[-1] if self.code else self.start.split(" ")[0]

    @property
    def uri(self) -> str:
        return self.start.split(" ")[1]

    def reply(self, code: int, tag: str = "", headers: Headers = (), body: str = "") -> str:
        """The text of a response to this request (RFC 3261 section 8.2.6)."""
        to = self.get("To") + (f";tag={tag}" if tag and ";tag=" not in self.get("To") else "")
        copied = [("Via", via) for via in self.all("Via")]
        copied += [("Record-Route", route) for route in self.all("Record-Route")]
        copied += [("From", self.get("From")), ("To", to)]
        copied += [("Call-ID", self.get("Call-ID")), ("CSeq", self.get("CSeq"))]
        return text_of(f"SIP/2.0 {code} Test", (*copied, *headers), body)


def text_of(start: str, headers: Headers, body: str = "") -> str:
    lines = [start, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body


def uri_of(header: str) -> str:
    """The URI in angle brackets."""
    return header.partition("<")[2].partition(">")[0]


class Party(asyncio.DatagramProtocol):
    """One UDP port."""

    transport: asyncio.DatagramTransport
    proto = "udp"

    def __init__(self, user: str = "tester") -> None:
        self.user = user
        self.received: list[tuple[float, Message]] = []
        self.heard = asyncio.Event()
        self.taken: set[int] = set()

    @classmethod
    async def open(cls, host: str = "127.0.0.1", port: int = 0, **settings: object) -> Self:
        loop = asyncio.get_running_loop()
        _, party = await loop.create_datagram_endpoint(lambda: cls(**settings), local_addr=(host, port))
        return party

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, where: Where) -> None:
        if data.strip(b"\r\n\0"):
            message = Message.parse(data.decode(errors="replace"))
            self.received.append((time.monotonic(), message))
            self.heard.set()
            self.on_message(message, where)

    def on_message(self, message: Message, where: Where) -> None:
        """Answers every request in a dialog, every NOTIFY and every OPTIONS with 200."""
        if not message.code and message.method in ("NOTIFY", "BYE", "OPTIONS", "INFO"):
            self.send(message.reply(200), where)

    @property
    def address(self) -> Where:
        host, port = self.transport.get_extra_info("sockname")[:2]
        return host, port

    @property
    def contact(self) -> str:
        host, port = self.address
        return f"<sip:{self.user}@{host}:{port}{'' if self.proto == 'udp' else ';transport=tcp'}>"

    def send(self, text: str | bytes, where: Where) -> None:
        self.transport.sendto(text.encode() if isinstance(text, str) else text, where)

    def requests(self, method: str) -> list[Message]:
        """All requests of a method so far."""
        return [message for _, message in self.received if not message.code and message.method == method]

    async def wait(self, match: Callable[[Message], bool], seconds: float = 3.0) -> Message:
        """The next message that matches and was not waited for before. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                for number, (_, message) in enumerate(self.received):
                    if number not in self.taken and match(message):
                        self.taken.add(number)
                        return message
                self.heard.clear()
                await self.heard.wait()

    async def request(
        self, method: str, uri: str, where: Where, headers: Headers = (), body: str = "", seconds: float = 3.0
    ) -> Message:
        """Send a request outside a dialog; its final answer (acknowledged, when it is an INVITE)."""
        return await self.answer_to(self.start(method, uri, where, headers, body), where, seconds)

    def start(self, method: str, uri: str, where: Where, headers: Headers = (), body: str = "") -> Message:
        """Send a request and do not wait. `headers` replace ours of the same name."""
        number = next(numbers)
        host, port = self.address
        chosen = dict(headers)
        ours = {
            "Via": f"SIP/2.0/{self.proto.upper()} {host}:{port};branch=z9hG4bK{number}x{port};rport",
            "Max-Forwards": "70",
            "From": f"<sip:{self.user}@{host}>;tag=f{number}",
            "To": f"<{uri}>",
            "Call-ID": f"{number}-{port}@test",
            "CSeq": f"1 {method}",
            "Contact": self.contact,
        }
        kept = [(name, value) for name, value in ours.items() if name not in chosen]
        message = Message(f"{method} {uri} SIP/2.0", (*kept, *headers), body)
        self.send(text_of(message.start, message.headers, body), where)
        return message

    async def answer_to(self, sent: Message, where: Where, seconds: float = 3.0) -> Message:
        """The final answer to a request. Raises TimeoutError."""
        key = sent.get("Call-ID"), sent.get("CSeq")
        final = await self.wait(lambda m: m.code >= 200 and (m.get("Call-ID"), m.get("CSeq")) == key, seconds)
        if sent.method == "INVITE" and final.code >= 300:
            self.send(ack(sent, final), where)
        return final

    async def call(
        self, uri: str, where: Where, headers: Headers = (), seconds: float = 3.0, sdp: str = SDP
    ) -> "tuple[Message, Dialog | None]":
        """INVITE; the final answer and, after a 200, the dialog."""
        typed = (("Content-Type", "application/sdp"), *headers)
        sent = self.start("INVITE", uri, where, typed, sdp)
        final = await self.answer_to(sent, where, seconds)
        if final.code >= 300:
            return final, None
        dialog = Dialog.of_caller(self, final, where)
        dialog.send("ACK")
        return final, dialog


def ack(sent: Message, final: Message) -> str:
    """ACK of a refusal (RFC 3261 section 17.1.1.3)."""
    copied = [(n, sent.get(n)) for n in ("Via", "Max-Forwards", "From", "Call-ID")]
    ours = (*copied, ("To", final.get("To")), ("CSeq", "1 ACK"))
    return text_of(f"ACK {sent.uri} SIP/2.0", ours)


@dataclass
class Dialog:
    """One side of a dialog: remote target, route set and tags (RFC 3261 section 12)."""

    party: Party
    target: str
    routes: list[str]
    ours: str
    theirs: str
    call_id: str
    where: Where
    number: int = 1
    sent: list[Message] = field(default_factory=list)

    @classmethod
    def of_caller(cls, party: Party, answer: Message, where: Where) -> Self:
        routes = answer.all("Record-Route")[::-1]
        target, ours, theirs = uri_of(answer.get("Contact")), answer.get("From"), answer.get("To")
        return cls(party, target, routes, ours, theirs, answer.get("Call-ID"), where)

    @classmethod
    def of_callee(cls, party: Party, invite: Message, tag: str) -> Self:
        routes = invite.all("Record-Route")
        host, _, port = uri_of(routes[0]).removeprefix("sip:").partition(";")[0].rpartition(":")
        ours, theirs = f"{invite.get('To')};tag={tag}", invite.get("From")
        target = uri_of(invite.get("Contact"))
        return cls(party, target, routes, ours, theirs, invite.get("Call-ID"), (host, int(port)), number=100)

    def send(self, method: str, headers: Headers = (), body: str = "") -> Message:
        """Send a request in the dialog, to the first route."""
        self.number += method != "ACK"
        routes = [("Route", route) for route in self.routes]
        own = [("From", self.ours), ("To", self.theirs), ("Call-ID", self.call_id)]
        own += [("CSeq", f"{self.number} {method}"), *routes, *headers]
        return self.party.start(method, self.target, self.where, own, body)

    async def request(
        self, method: str, headers: Headers = (), seconds: float = 3.0, body: str = ""
    ) -> Message:
        """Send a request in the dialog; its final answer."""
        return await self.party.answer_to(self.send(method, headers, body), self.where, seconds)


class Worker(Party):
    """A pjsua2 worker as the edge sees it: `capacity` calls, then 486; or silent, or ringing only."""

    def __init__(self, user: str = "vm", capacity: int = 4) -> None:
        super().__init__(user)
        self.capacity = capacity
        self.silent = self.rings = False
        self.answer_code = 0
        self.options_code = 200
        self.calls: dict[str, Message] = {}
        self.arrivals: list[float] = []

    def on_message(self, message: Message, where: Where) -> None:
        if self.silent or message.code or message.method == "ACK":
            return
        if message.method == "OPTIONS":
            self.send(message.reply(self.options_code), where)
        elif message.method == "INVITE" and ";tag=" not in message.get("To"):
            self.invited(message, where)
        else:
            self.in_dialog(message, where)

    @property
    def tag(self) -> str:
        return f"w{self.address[1]}"

    def invited(self, message: Message, where: Where) -> None:
        self.arrivals.append(time.monotonic())
        if self.answer_code or len(self.calls) >= self.capacity:
            return self.send(message.reply(self.answer_code or 486, self.tag), where)
        self.calls[message.get("Call-ID")] = message
        self.send(message.reply(100), where)
        if not self.rings:
            self.send(message.reply(200, self.tag, [("Contact", self.contact)], SDP), where)

    def in_dialog(self, message: Message, where: Where) -> None:
        invite = self.calls.get(message.get("Call-ID"))
        if message.method == "CANCEL" and invite:
            self.send(invite.reply(487, self.tag), where)
        if message.method in ("BYE", "CANCEL"):
            self.calls.pop(message.get("Call-ID"), None)
        contact = [("Contact", self.contact)] if message.method == "INVITE" else []
        self.send(message.reply(200 if invite else 481, self.tag, contact), where)

    def dialog(self, call_id: str) -> Dialog:
        """The worker's side of a call, to send requests to the caller."""
        return Dialog.of_callee(self, self.calls[call_id], self.tag)


class TcpPhone(Party):
    """A phone with one TCP connection to `where`."""

    proto = "tcp"

    @classmethod
    async def connect(cls, where: Where, host: str = "127.0.0.1", user: str = "tester") -> Self:
        phone = cls(user)
        phone.stream, phone.writer = await asyncio.open_connection(*where, local_addr=(host, 0))
        phone.transport = phone.writer.transport
        phone.where = where
        phone.reader = asyncio.create_task(phone.read())
        return phone

    def send(self, text: str | bytes, where: Where) -> None:
        self.writer.write(text.encode() if isinstance(text, str) else text)

    async def read(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self.stream.readuntil(b"\r\n\r\n")
                length = int(Message.parse(head.decode()).get("Content-Length") or 0)
                body = await self.stream.readexactly(length)
                self.datagram_received(head.lstrip(b"\r\n") + body, self.where)

    def close(self) -> None:
        self.reader.cancel()
        self.writer.close()
