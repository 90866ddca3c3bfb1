"""The receiver as a program of its own, with a PostgreSQL and the true reader of mails: kills and bombs."""

import asyncio
import smtplib
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from sip.wav import file_ulaw, parse
from store.ids import uuid7
from store.model import QUARANTINE, MessageKind, Work
from store.postgres import PostgresStore
from tests.fakes.cli import CommandLine
from tests.fakes.edge import until
from tests.fakes.post import ANNA, BEN, DOMAIN
from tests.fakes.smtp_program import MEGABYTE, Program, memory, peak, prepared
from voicemail.intake.letter import Letter, Recipient, Trust
from voicemail.intake.quarantine import deposit, quarantined_id
from voicemail.vpim.model import Codec, Person, Speech, VoiceMail
from voicemail.vpim.write import written

A, B = f"1001@{DOMAIN}", f"1002@{DOMAIN}"
SPEECH = file_ulaw(bytes(range(256)) * 60)
NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


@pytest.fixture
async def program(tmp_path: Path, postgres_store: PostgresStore, store_dsn: str) -> Program:
    return await prepared(tmp_path, postgres_store, store_dsn)


def voice(number: int) -> bytes:
    """A VPIM message."""
    mail = VoiceMail(
        f"{number}@pbx.example.net",
        datetime(2026, 5, 4, 10, 0, number % 60, tzinfo=UTC),
        Person("2722@pbx.example.net", "Eve"),
        (Person(A),),
        speech=(Speech(SPEECH, 1.92),),
        urgent=number == 0,
    )
    return written(mail, Codec.G726, str(number))


async def test_a_kill_between_250_and_the_mailbox_costs_nothing_and_doubles_nothing(
    program: Program, postgres_store: PostgresStore, store_dsn: str
) -> None:
    async with program.running() as process:
        with psycopg.connect(store_dsn) as busy:
            busy.execute("lock table public.message in exclusive mode")  # nothing is deposited meanwhile
            await asyncio.to_thread(program.send, [voice(n) for n in range(6)], [A, B])
            process.kill()
            await process.wait()
    assert program.waiting() == 6 and not await postgres_store.messages.all_ids()
    (program.spool / "0.eml.part").write_bytes(b"never confirmed")
    async with program.running():
        await until(program.settled, 15)
        await asyncio.to_thread(program.send, [voice(3)], [A])
        await until(program.settled, 5)
    for user in (ANNA, BEN):
        messages = await postgres_store.messages.listing(user.id)
        assert sorted(m.envelope.remote.message_id for m in messages if m.envelope.remote) == [
            f"{n}@pbx.example.net" for n in range(6)
        ]
        assert messages[0].urgent and messages[0].caller == "2722"
        sound = parse(await postgres_store.messages.audio(messages[-1].id))
        assert abs(sound.seconds - 1.92) < 0.01
    assert not list(program.spool.glob("*.eml*"))


async def test_it_ends_with_its_supervisor(program: Program) -> None:
    async with program.running() as process:
        assert process.stdin
        process.stdin.close()
        async with asyncio.timeout(5):
            assert await process.wait() == 0


async def test_the_command_line_lists_shows_exports_releases_and_drops(
    program: Program,
    postgres_store: PostgresStore,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    letter = Letter(uuid7(), "2722@pbx.example.net", (Recipient(A),), NOW, "192.0.2.1", Trust.NETWORK)
    plain = b"From: x\x1b[2J\r\nMessage-ID: <plain@x>\r\n\r\nno sound\r\n"
    good, bad = UUID(int=1), UUID(int=2)
    await deposit(postgres_store, letter, good, voice(1), "1@x", "5.6.0 not understood then", 1.0)
    await deposit(postgres_store, letter, bad, plain, "plain@x", "5.6.0 no sound", 1.0)
    good, bad = quarantined_id(good), quarantined_id(bad)
    vm = CommandLine(program.config, monkeypatch, capfd)
    there = await asyncio.to_thread(vm.good, "quarantine", "list")
    assert all(text in there for text in (str(good), str(bad), "5.6.0 no sound", "2722@pbx.example.net", A))
    shown = await asyncio.to_thread(vm.good, "quarantine", "show", str(bad))
    assert "Message-ID: <plain@x>" in shown and "192.0.2.1 (network)" in shown and "\x1b" not in shown
    file = program.config.with_name("out.eml")
    await asyncio.to_thread(vm.good, "quarantine", "export", str(bad), str(file))
    assert file.read_bytes() == plain
    assert "File exists" in await asyncio.to_thread(vm.refused, "quarantine", "export", str(bad), str(file))
    assert "no sound" in await asyncio.to_thread(vm.refused, "quarantine", "release", str(bad))
    await postgres_store.users.remove(ANNA.id)
    assert "nobody is there" in await asyncio.to_thread(vm.refused, "quarantine", "release", str(good))
    await postgres_store.users.add(replace(ANNA, id=uuid7()))
    assert "1 mailboxes" in await asyncio.to_thread(vm.good, "quarantine", "release", str(good))
    anna = await postgres_store.users.by_extension("1001")
    assert anna and [m.caller for m in await postgres_store.messages.listing(anna.id)] == ["2722"]
    await asyncio.to_thread(vm.good, "quarantine", "drop", str(bad))
    assert await asyncio.to_thread(vm.good, "quarantine", "list") == ""
    assert "no such mail" in await asyncio.to_thread(vm.refused, "quarantine", "drop", str(good))
    assert not [each for each in await postgres_store.outbox.listed() if each.item.kind is Work.REPORT]


HEAD = b"From: <2722@pbx.example.net>\r\nMessage-ID: <%s@x>\r\nMIME-Version: 1.0\r\n"


def nested(depth: int) -> bytes:
    """Multipart in multipart, so deep."""
    parts = [HEAD % b"deep"]
    for n in range(depth):
        parts.append(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n))
    return b"".join(parts) + b"Content-Type: audio/basic\r\n\r\nx\r\n"


def many(count: int) -> bytes:
    part = b"--b\r\nContent-Type: audio/basic\r\n\r\nx\r\n"
    return (
        HEAD % b"many" + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + part * count + b"--b--\r\n"
    )


def long_header() -> bytes:
    return HEAD % b"long" + b"X: y\r\n" * 300_000 + b"\r\nhello\r\n"


def short_lines() -> bytes:
    return HEAD % b"short" + b"\r\n" * 2_000_000


def large(megabytes: int) -> bytes:
    line = b"A" * 76 + b"\r\n"
    head = HEAD % b"large" + b"Content-Type: audio/basic\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + line * (megabytes * 1_000_000 // len(line))


async def test_bombs_go_to_quarantine_within_two_seconds_and_little_memory(
    program: Program, postgres_store: PostgresStore
) -> None:
    async with program.running() as process:
        await asyncio.to_thread(program.send, [voice(1), voice(2)], [A])
        await until(program.settled, 10)
        before = memory(process.pid)
        for number, bomb in enumerate((nested(10_000), many(100_000), long_header(), short_lines()), 1):
            watch = asyncio.create_task(peak(process.pid))
            await asyncio.to_thread(program.send, [bomb], [A])
            began = time.monotonic()
            await until(program.settled, 10)
            took = time.monotonic() - began
            watch.cancel()
            more = (await watch) - before
            kept = await postgres_store.messages.listing(QUARANTINE)
            assert len(kept) == number and took < 2.0 and more < 100 * MEGABYTE, (took, more)
        watch = asyncio.create_task(peak(process.pid))
        await asyncio.to_thread(program.send, [large(34)], [A])
        await until(program.settled, 20)
        watch.cancel()
        assert (await watch) - before < 60 * MEGABYTE, "as large a mail as is taken"
        with pytest.raises(smtplib.SMTPResponseException) as refused:
            await asyncio.to_thread(program.send, [large(100)], [A])
        assert refused.value.smtp_code == 552
        await asyncio.to_thread(program.send, [voice(9)], [A])
        await until(program.settled, 5)
    assert len(await postgres_store.messages.listing(ANNA.id)) == 3
    kept = await postgres_store.messages.listing(QUARANTINE)
    assert len(kept) == 5 and {m.envelope.kind for m in kept} == {MessageKind.QUARANTINED}
    assert len(await postgres_store.outbox.listed()) >= 3, "their sender is told"
