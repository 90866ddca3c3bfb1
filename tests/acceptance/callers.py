"""Many callers at once: plain SIP and RTP, each call with a number of its own that knows how it ended.

A caller behaves as a PBX with both edges in its list does: no answer or a refusal at the first, then the
second; listens for the tone; speaks; hangs up, and repeats the BYE until it is answered. A call counts as
confirmed when it spoke long enough behind the tone and its BYE was answered with 200.
"""

import asyncio
import itertools
import random
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from sip import wav
from tests.fakes.sip import Dialog, Message, Party, Where, text_of
from tests.fakes.sip_pool import noise

PACKET = 160
"""Samples of mu-law in 20 ms."""
TONE_BINS = slice(19, 22)
"""Of a 160-point spectrum at 8 kHz: 950 to 1050 Hz around the tone's 1000."""
TONE_PACKETS = 8
"""In a row: 160 ms of pure tone, which no voice has."""
SPEECH = 2.5
LOUD = np.array([wav._ulaw_value(code) for code in range(256)], float)
"""The samples behind mu-law codes."""


class Ears(asyncio.DatagramProtocol):
    """The RTP socket of one call: hears the tone, speaks noise."""

    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.in_a_row = 0
        self.tone = asyncio.Event()
        self.packets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, where: Where) -> None:
        self.packets += 1
        if self.tone.is_set() or len(data) != 12 + PACKET:
            return
        power = np.abs(np.fft.rfft(LOUD[np.frombuffer(data, np.uint8, offset=12)])) ** 2
        pure = power[TONE_BINS].sum() > 0.9 * power.sum() > 1e6
        self.in_a_row = self.in_a_row + 1 if pure else 0
        if self.in_a_row >= TONE_PACKETS:
            self.tone.set()

    async def speak(self, speech: bytes, where: Where) -> None:
        """In real time; a late packet is made up for."""
        began = time.monotonic()
        for number, start in enumerate(range(0, len(speech), PACKET)):
            head = struct.pack("!BBHII", 0x80, 0, number, start, 0x5EED)
            self.transport.sendto(head + speech[start : start + PACKET], where)
            await asyncio.sleep(max(0.0, began + 0.02 * (number + 1) - time.monotonic()))


class Phone(Party):
    """Acknowledges an answer as often as it comes."""

    dialog: Dialog | None = None

    def on_message(self, message: Message, where: Where) -> None:
        super().on_message(message, where)
        if self.dialog and message.code == 200 and message.method == "INVITE":
            self.dialog.send("ACK")


@dataclass
class Outcome:
    """How one call ended. `end`: confirmed, cut, refused."""

    number: str
    end: str
    why: str = ""
    began: float = 0.0
    answered: float = 0.0
    """Seconds from the first INVITE to the 200."""
    to_tone: float = 0.0
    """Seconds from the 200 until the tone was recognised."""
    spoke: tuple[float, float] = (0.0, 0.0)
    """From when to when, monotonic."""
    media: Where = ("", 0)
    """Where the speech went: tells the node and the worker."""


class Callers:
    """`async with Callers(edges) as callers`, then `await callers.flood(200, 8.0)`."""

    def __init__(
        self, edges: tuple[Where, Where], mailboxes: tuple[str, ...], host: str = "127.0.0.1"
    ) -> None:
        self.edges, self.mailboxes, self.host = edges, mailboxes, host
        self.speech = wav.samples_ulaw(wav.parse(noise(SPEECH, 7)))
        self.outcomes: list[Outcome] = []
        self.numbers = itertools.count(493000000)

    def counts(self) -> Counter[str]:
        return Counter(outcome.end for outcome in self.outcomes)

    def of(self, end: str) -> set[str]:
        """The numbers of all callers whose call ended so."""
        return {outcome.number for outcome in self.outcomes if outcome.end == end}

    async def flood(self, calls: int, per_second: float) -> None:
        """That many calls, evenly spread over time, to either edge in turn; until the last has ended."""
        tasks = []
        for index in range(calls):
            tasks.append(asyncio.create_task(self.one(index)))
            await asyncio.sleep(1 / per_second)
        await asyncio.gather(*tasks)

    async def one(self, index: int) -> None:
        mailbox = self.mailboxes[index % len(self.mailboxes)]
        for edge in self.edges if index % 2 else self.edges[::-1]:
            number = str(next(self.numbers))
            outcome = Outcome(number, "refused", began=time.monotonic())
            self.outcomes.append(outcome)
            async with await Phone.open(self.host, user=number) as phone:
                await Attempt(phone, edge, mailbox, outcome).run(self.speech)
            if outcome.end != "refused":
                break


class Attempt:
    """One INVITE at one edge and what becomes of it."""

    def __init__(self, phone: Phone, edge: Where, mailbox: str, outcome: Outcome) -> None:
        self.phone, self.edge, self.mailbox, self.outcome = phone, edge, mailbox, outcome

    async def run(self, speech: bytes) -> Outcome:
        loop = asyncio.get_running_loop()
        host = self.phone.address[0]
        transport, ears = await loop.create_datagram_endpoint(Ears, local_addr=(host, 0))
        try:
            return await self.call(ears, speech)
        finally:
            transport.close()

    def ended(self, end: str, why: str) -> Outcome:
        self.outcome.end, self.outcome.why = end, f"{self.outcome.why}; {why}".lstrip("; ")
        return self.outcome

    async def call(self, ears: Ears, speech: bytes) -> Outcome:
        answer = await self.invite(ears.port)
        if answer is None or answer.code != 200:
            return self.ended("refused", str(answer.code) if answer else "no answer")
        self.outcome.answered = time.monotonic() - self.outcome.began
        dialog = self.phone.dialog = Dialog.of_caller(self.phone, answer, self.edge)
        dialog.send("ACK")
        answered = time.monotonic()
        try:
            await asyncio.wait_for(ears.tone.wait(), 12)
        except TimeoutError:
            await self.hang_up(dialog)
            return self.ended("cut", f"no tone, {ears.packets} packets")
        self.outcome.to_tone = time.monotonic() - answered
        if self.phone.requests("BYE"):
            return self.ended("cut", "the other side hung up")
        self.outcome.media, began = media_of(answer), time.monotonic()
        await ears.speak(speech, self.outcome.media)
        self.outcome.spoke = began, time.monotonic()
        if self.phone.requests("BYE"):
            return self.ended("cut", "the other side hung up")
        code = await self.hang_up(dialog)
        return self.ended("confirmed" if code == 200 else "cut", f"BYE: {code}")

    async def invite(self, rtp: int) -> Message | None:
        """The final answer; None after 2 s without any answer, or 8 s without a final one."""
        host = self.phone.address[0]
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {rtp} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        )
        uri = f"sip:{self.mailbox}@{self.edge[0]}:{self.edge[1]}"
        typed = [("Content-Type", "application/sdp"), call_id()]
        sent = self.phone.start("INVITE", uri, self.edge, typed, sdp)
        with suppress(TimeoutError):
            await again_until(self.phone, sent, sdp, self.edge, lambda: bool(self.phone.received), 2.0)
            return await self.phone.answer_to(sent, self.edge, 8.0)
        return None

    async def hang_up(self, dialog: Dialog) -> int:
        """The answer to BYE; 0 when there was none within 8 s."""
        sent = dialog.send("BYE")
        final: list[Message] = []

        def answered() -> bool:
            final[:] = [m for _, m in self.phone.received if m.code >= 200 and m.method == "BYE"]
            return bool(final)

        with suppress(TimeoutError):
            await again_until(self.phone, sent, "", self.edge, answered, 8.0)
        return final[0].code if final else 0


def call_id() -> tuple[str, str]:
    """A Call-ID that no other call has, whatever socket it comes from."""
    return "Call-ID", f"{random.getrandbits(64):x}@callers.test"


async def again_until(
    phone: Phone, sent: Message, body: str, where: Where, done: Callable[[], bool], within: float
) -> None:
    """Repeat a request as RFC 3261 section 17.1.2 wants, until `done()`. Raises TimeoutError."""
    ends, pause = time.monotonic() + within, 0.5
    while not done():
        if time.monotonic() > ends:
            raise TimeoutError
        phone.heard.clear()
        try:
            await asyncio.wait_for(phone.heard.wait(), min(pause, ends - time.monotonic() + 0.01))
        except TimeoutError:
            phone.send(text_of(sent.start, sent.headers, body), where)
            pause = min(2 * pause, 2.0)


def media_of(answer: Message) -> Where:
    """Where an SDP wants its packets."""
    lines = [line.strip() for line in answer.body.splitlines()]
    host = next(line.split()[-1] for line in lines if line.startswith("c="))
    port = next(int(line.split()[1]) for line in lines if line.startswith("m=audio"))
    return host, port
