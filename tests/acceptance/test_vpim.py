"""Voice mail from and to other systems: two of ours that only know one another as locations, by phone keys
alone; foreign senders (swaks, curl, ffmpeg's G.726 through a real Postfix); peers that are slow; mails that
were made to do harm."""

import asyncio
import base64
import os
import smtplib
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import pytest
import pytest_asyncio

from sip import wav
from store.ids import uuid7
from store.model import OUTGOING, QUARANTINE, Envelope, Message, NewMessage
from tests.acceptance import scene
from tests.acceptance.apart import Clock, System, samples, snr
from tests.bench import processes
from tests.fakes.plain_smtp import PlainServer
from tests.fakes.postfix import running_postfix
from voicemail import departures
from voicemail.tour.tour import Listening, Person, prompt

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENOUGH = 20.0
"""Decibels."""
SPEECH = "failure"
"""What is said. G.726 leaves 18 to 24 dB of the prompts' voice (21 at the median), 23.0 of this one, so that
what is lost beside the codec shows."""
A, B = "a.example", "b.example"


@dataclass
class Apart:
    """Both systems; users 1001 and 1002 at the first, 2001 at the second."""

    here: System
    there: System
    ann: Person
    ben: Person
    eva: Person


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def apart(home: Path) -> AsyncIterator[Apart]:
    """Mailboxes of the other are dialled as 82 and 81 with their number."""
    here, there = System(home, A), System(home, B)
    async with AsyncExitStack() as stack:
        await asyncio.gather(here.start(stack), there.start(stack))
        people = await here.user("1001"), await here.user("1002"), await there.user("2001")
        for one, other, dial_id in ((here, there, "82"), (there, here, "81")):
            host = f"127.0.0.1:{other.plan.smtp}"
            far = [f"domain={other.domain}", f"dial_id={dial_id}", f"host={host}", "tls=none"]
            await one.command("location", "set", "far", *far)
        yield Apart(here, there, *people)


async def keys(heard: Listening, pressed: str, *expected: str) -> None:
    """Press keys, then hear the prompts, one after the other."""
    await heard.call.press(pressed)
    for name in expected:
        await heard.hear(name)


async def speaks(heard: Listening) -> None:
    """At the tone; then sends."""
    await heard.call.say(prompt(SPEECH))
    await keys(heard, "#", "send_brief")
    await keys(heard, "#", "message_sent")
    await heard.call.hang_up()


async def test_two_systems_exchange_messages_by_phone_keys_alone(apart: Apart) -> None:
    """To a colleague and to somebody elsewhere at once: both have the same recording, but for the codec."""
    heard = await apart.here.dial(apart.ann)
    await keys(heard, "", "no_messages")
    await keys(heard, "2", "address_number_brief")
    await keys(heard, f"82{apart.eva.extension}#", "n_8", "n_2", "address_added")
    await keys(heard, "1", "address_number_brief")
    await keys(heard, f"{apart.ben.extension}#", "address_added")
    await keys(heard, "#", "tone")
    await speaks(heard)
    clock = Clock()
    [received] = await apart.there.messages(apart.eva, 1)
    print(f"\nin the other system {clock} after 'message sent'")
    [local] = await apart.here.messages(apart.ben, 1)
    assert received.envelope.remote and received.envelope.remote.address == f"1001@{A}"
    there, sent = await apart.there.sound(received), await apart.here.sound(local)
    print(f"{len(there) / 8000:.2f} s of {len(sent) / 8000:.2f} s, {snr(there, sent):.1f} dB")
    assert abs(len(there) - len(sent)) <= 160 and snr(there, sent) >= ENOUGH

    heard = await apart.there.dial(apart.eva)
    await keys(heard, "", "new_message")
    await keys(heard, "1", "received")
    await heard.hear("what was recorded elsewhere", prompt(SPEECH))
    await heard.call.press("4")
    await heard.hear("tone")
    await speaks(heard)
    [answer] = await apart.here.messages(apart.ann, 1)
    assert answer.envelope.remote and answer.envelope.remote.address == f"2001@{B}"
    heard = await apart.here.dial(apart.ann)
    await keys(heard, "", "new_message")
    await keys(heard, "1", "received")
    await heard.hear("the answer", prompt(SPEECH))
    await heard.call.hang_up()


# ---- foreign senders


def speech() -> bytes:
    """A WAV file of some seconds."""
    return wav.file_pcm16(wav.samples_pcm16(wav.read(prompt(SPEECH))))


async def run(*command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(subprocess.run, command, input=given, capture_output=True, timeout=30)


async def known(apart: Apart) -> set[UUID]:
    """What 1002 has already."""
    return {each.id for each in await apart.here.store.messages.listing(apart.ben.id)}


async def audible(apart: Apart, before: set[UUID], what: str) -> Message:
    """The new message of 1002, which holds the speech."""
    listing = await apart.here.messages(apart.ben, len(before) + 1)
    [message] = [each for each in listing if each.id not in before]
    ratio = snr(await apart.here.sound(message), samples(speech()))
    print(f"{what}: {message.seconds:.2f} s, {ratio:.1f} dB")
    assert ratio >= ENOUGH
    return message


async def test_swaks_and_curl_leave_messages(apart: Apart, tmp_path: Path) -> None:
    """As a user's mail program does: a recording attached to a mail."""
    recording = tmp_path / "recording.wav"
    recording.write_bytes(speech())
    before, to = await known(apart), f"1002@{A}"
    server = f"127.0.0.1:{apart.here.plan.smtp}"
    swaks = ["swaks", "--server", server, "--from", "eve@example.net", "--to", to, "--body", "Listen!"]
    attached = ["--attach-type", "audio/x-wav", "--attach-name", "a.wav", "--attach", f"@{recording}"]
    sent = await run(*swaks, *attached)
    assert sent.returncode == 0, sent.stdout[-2000:]
    await audible(apart, before, "swaks")
    before = await known(apart)

    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "eve@example.net", to, "a recording"
    mail["Message-ID"], mail["Date"] = "<curl.1@example.net>", "Sat, 28 Nov 2026 12:00:00 +0000"
    mail.set_content("Listen!")
    mail.add_attachment(speech(), "audio", "wav", filename="a.wav")
    curl = ["curl", "-sS", "--max-time", "20", f"smtp://{server}", "--mail-from", "eve@example.net"]
    sent = await run(*curl, "--mail-rcpt", to, "--upload-file", "-", given=mail.as_bytes(policy=SMTP))
    assert sent.returncode == 0, sent.stderr
    await audible(apart, before, "curl")


async def test_an_unknown_mailbox_is_refused_in_the_dialogue(apart: Apart) -> None:
    server = f"127.0.0.1:{apart.here.plan.smtp}"
    swaks = ["swaks", "--server", server, "--from", "eve@example.net", "--to", f"4711@{A}"]
    refused = await run(*swaks)
    assert refused.returncode and b"550 5.1.1" in refused.stdout, refused.stdout[-2000:]
    assert b"DATA" not in refused.stdout
    elsewhere = await run(*swaks[:-1], "1002@elsewhere.example")
    assert elsewhere.returncode and b"550 5.7.1" in elsewhere.stdout


FOREIGN = """\
From: Eve Foreign <2722@foreign.example>\r
To: 1002@{domain}\r
Date: Sat, 28 Nov 2026 12:00:00 +0000\r
Message-ID: <foreign.1@foreign.example>\r
MIME-Version: 1.0  (Voice 2.0)\r
Content-Type: Multipart/Voice-Message; Version=2.0; Boundary="==foreign=="\r
Content-Transfer-Encoding: 7bit\r
Importance: High\r
\r
--==foreign==\r
Content-Type: Audio/32KADPCM\r
Content-Transfer-Encoding: Base64\r
Content-Disposition: inline; voice=Voice-Message\r
Content-Duration: {seconds}\r
\r
{sound}\r
--==foreign==--\r
"""
"""As RFC 3801 section 9 shows one, by hand."""


async def g726() -> bytes:
    """The speech as ffmpeg codes it: raw, the first sample in the low bits."""
    raw = ["-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "-"]
    coded = ["-c:a", "g726le", "-code_size", "4", "-ar", "8000", "-f", "g726le", "-"]
    made = await run("ffmpeg", "-v", "error", *raw, *coded, given=samples(speech()).astype("<i2").tobytes())
    assert made.returncode == 0 and made.stdout, made.stderr
    return made.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a Postfix of its own")
async def test_a_foreign_voice_message_comes_through_postfix(apart: Apart, tmp_path: Path) -> None:
    sound = base64.encodebytes(await g726()).decode().replace("\n", "\r\n")
    seconds = round(len(samples(speech())) / 8000)
    raw = tmp_path / "foreign.eml"
    raw.write_bytes(FOREIGN.format(domain=A, seconds=seconds, sound=sound.strip()).encode())
    before = await known(apart)
    with running_postfix({A: apart.here.plan.smtp}, "mx.foreign.example") as postfix:
        swaks = ["swaks", "--server", f"127.0.0.1:{postfix.port}", "--from", "2722@foreign.example"]
        sent = await run(*swaks, "--to", f"1002@{A}", "--data", f"@{raw}")
        assert sent.returncode == 0, sent.stdout[-2000:]
        message = await audible(apart, before, "G.726 of ffmpeg through Postfix")
    assert message.urgent
    assert message.envelope.remote and message.envelope.remote.address == "2722@foreign.example"


# ---- peers that are slow, mails that do harm

FRESH = 2.5
"""Seconds after which the Primary knows a new location."""


async def posted(apart: Apart, *addresses: str) -> None:
    """A message for other systems, as delivery leaves it."""
    message = NewMessage(
        uuid7(), OUTGOING, "1001", "", datetime.now(UTC), 1.0, envelope=Envelope(sender=apart.ann.id)
    )
    await departures.depart(apart.here.store, message, addresses, wav.file_ulaw(bytes(range(256)) * 32), 1.0)


async def times(apart: Apart, count: int, *also: str) -> list[float]:
    """Seconds from the deposit of a message until the other system has it, one after the other."""
    taken = []
    for _ in range(count):
        before = len(await apart.there.store.messages.listing(apart.eva.id))
        await posted(apart, *also, f"2001@{B}")
        began = time.monotonic()
        await apart.there.messages(apart.eva, before + 1)
        taken.append(time.monotonic() - began)
    return taken


async def test_a_tarpit_delays_nobody_else(apart: Apart) -> None:
    """It says one byte a second, and gets a copy of everything."""
    async with PlainServer(rate=1.0) as tar:
        pit = ["domain=tar.example", f"host=127.0.0.1:{tar.port}", "tls=none"]
        await apart.here.command("location", "set", "tar", *pit)
        await asyncio.sleep(FRESH)
        alone = await times(apart, 8)
        for number in range(8):
            await posted(apart, f"27{number}@tar.example")
        beside = await times(apart, 8, "2722@tar.example")
        assert tar.connections, "nobody went to the tarpit"
        print(
            f"\ndeposit to the other system's mailbox, seconds, longest of 8: {max(alone):.2f} alone, "
            f"{max(beside):.2f} beside a tarpit"
        )
        assert max(beside) - max(alone) < 1.0
    await apart.here.command("location", "remove", "tar")


def deep(levels: int) -> bytes:
    """Multiparts within one another."""
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(levels)
    )


def wide(parts: int) -> bytes:
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * parts + b"--b--\r\n"


def matryoshka(levels: int) -> bytes:
    """Forwarded in a forward."""
    return b"Content-Type: message/rfc822\r\n\r\n" * levels + b"Subject: hi\r\n\r\nhi\r\n"


BOMBS = {"10,000 deep": deep(10_000), "100,000 parts": wide(100_000), "1,000 forwards": matryoshka(1000)}
HEAD = b"From: <eve@example.net>\r\nMIME-Version: 1.0\r\nMessage-ID: <%d.bomb@example.net>\r\n"


class Cost:
    """Of a node's receiver and all that reads mails for it: MB more than before, at most; CPU seconds."""

    def __init__(self, system: System) -> None:
        self._system, self._first, self._most = system, 0.0, 0.0
        self._began = self._spent()

    def _pids(self) -> set[int]:
        marks = ("voicemail.access.smtp", "voicemail.intake.parser")
        return {pid for mark in marks for pid in scene.part(self._system.node, mark)}

    def _spent(self) -> float:
        return sum(map(processes.seconds, scene.part(self._system.node, "voicemail.access.smtp")[:1])) + sum(
            map(processes.seconds, self._parsers())
        )

    def _parsers(self) -> list[int]:
        """The zygotes: what their forks spent is theirs."""
        all_of_them = scene.part(self._system.node, "voicemail.intake.parser")
        return [pid for pid in all_of_them if parent(pid) not in all_of_them]

    @property
    def cpu(self) -> float:
        return self._spent() - self._began

    @property
    def more(self) -> float:
        return self._most - self._first

    def look(self) -> float:
        used = sum(map(pss, self._pids()))
        self._most = max(self._most, used)
        return used

    async def __aenter__(self) -> "Cost":
        self._first = await asyncio.to_thread(self.look)
        self._task = asyncio.create_task(self._watch())
        return self

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(0.03)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()


def parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def pss(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def handed_over(port: int, to: str, mail: bytes, *options: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        client.mail("eve@example.net", options)
        client.rcpt(to)
        client.data(mail)


async def test_bombs_are_put_aside_at_once_and_harm_nobody(apart: Apart) -> None:
    """Two seconds of a processor, since others may use this machine."""
    port, to, count = apart.here.plan.smtp, f"1002@{A}", await quarantined(apart)
    for number, (name, bomb) in enumerate(BOMBS.items()):
        async with Cost(apart.here) as cost:
            began = time.monotonic()
            await asyncio.to_thread(handed_over, port, to, HEAD % number + bomb)
            sent = time.monotonic() - began
            while await quarantined(apart) <= count:
                await asyncio.sleep(0.02)
                assert time.monotonic() - began < 30, name
            took = time.monotonic() - began
        count += 1
        print(
            f"{name} ({len(bomb) / 1e6:.1f} MB): taken after {sent:.2f} s, put aside after {took:.2f} s, "
            f"{cost.cpu:.2f} s of CPU, {cost.more:.0f} MB more"
        )
        assert cost.cpu < 2.0 and cost.more < 100


async def quarantined(apart: Apart) -> int:
    return len(await apart.here.store.messages.listing(QUARANTINE))


async def test_100_megabytes_are_refused_whether_declared_or_not(apart: Apart) -> None:
    """Declared, before they come; undeclared, when they are too many, without being kept."""
    port, to = apart.here.plan.smtp, f"1002@{A}"
    async with Cost(apart.here) as cost:
        with pytest.raises(smtplib.SMTPException, match="552"):
            await asyncio.to_thread(refused_by_size, port)
        began = time.monotonic()
        answer = await asyncio.to_thread(poured, port, to, 100)
        took = time.monotonic() - began
    print(f"100 MB: {answer!r} after {took:.2f} s, {cost.cpu:.2f} s of CPU, {cost.more:.0f} MB more")
    assert answer.startswith("552") and cost.more < 100 and cost.cpu < 2.0
    before = await known(apart)
    mail = EmailMessage()
    mail["From"], mail["Message-ID"] = "eve@example.net", "<after.bombs@example.net>"
    mail.add_attachment(speech(), "audio", "wav", filename="a.wav")
    await asyncio.to_thread(handed_over, port, to, mail.as_bytes(policy=SMTP))
    await audible(apart, before, "after all bombs")


def refused_by_size(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        answer = client.mail("eve@example.net", [f"SIZE={100_000_000}"])
        raise smtplib.SMTPResponseException(*answer)


def poured(port: int, to: str, megabytes: int) -> str:
    """DATA without end, until the server has had enough; its answer."""
    line = b"x" * 998 + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client, client.makefile("rb") as said:
        for command in ("EHLO x", "MAIL FROM:<eve@example.net>", f"RCPT TO:<{to}>", "DATA"):
            answered(said)
            client.sendall(command.encode() + b"\r\n")
        assert answered(said).startswith("354")
        with suppress(ConnectionError):
            for _ in range(megabytes):
                client.sendall(line * 1000)
            client.sendall(b".\r\n")
        return answered(said)


def answered(said: BinaryIO) -> str:
    while (line := said.readline().decode())[3:4] == "-":
        pass
    return line.strip()
