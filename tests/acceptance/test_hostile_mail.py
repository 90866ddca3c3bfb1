"""Peers that are slow, and mails that were made to do harm."""

import asyncio
import smtplib
import socket
import time
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import BinaryIO

import pytest

from store.model import QUARANTINE
from tests.acceptance import scene
from tests.acceptance.apart import FRESH, SHORT, A, Apart, B, System, audible, known, posted, speech
from tests.bench import processes
from tests.fakes.plain_smtp import PlainServer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def times(apart: Apart, count: int, *also: str) -> list[float]:
    """Seconds from the deposit of a message until the other system has it, one after the other."""
    taken = []
    for _ in range(count):
        before = len(await apart.there.store.messages.listing(apart.eva.id))
        await posted(apart, SHORT, *also, f"2001@{B}")
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
            await posted(apart, SHORT, f"27{number}@tar.example")
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
