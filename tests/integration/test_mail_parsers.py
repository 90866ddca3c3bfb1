"""The reader's process: limits of one mail, held by the kernel."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.post import mail
from voicemail.intake.parser import Bounds
from voicemail.intake.parsers import ParserDown, Parsers
from voicemail.vpim.model import Unreadable, VoiceMail

BOUNDS = Bounds(memory=64 * 2**20, cpu=1, wall=1.5, out=2**20)
COMMAND = (sys.executable, "-m", "tests.fakes.parser")


@pytest.fixture
async def parsers(tmp_path: Path) -> AsyncIterator[Parsers]:
    async with Parsers(tmp_path / "parsed", 1, BOUNDS, COMMAND) as parsers:
        yield parsers


def asking(folder: Path, subject: str) -> Path:
    path = folder / "x.eml"
    path.write_bytes(mail(subject=subject))
    return path


@pytest.mark.parametrize(
    "subject, why, code",
    [
        ("spin", "too long", "5.3.4"),
        ("sleep", "too long", "5.3.4"),
        ("eat", "more memory", "5.3.4"),
        ("crash", "ZeroDivisionError: as asked", "5.6.0"),
        ("strange", "as asked", "5.6.1"),
        ("fill", "its reader", "5.3.4"),
    ],
)
async def test_a_mail_that_breaks_its_reader_costs_nothing_else(
    tmp_path: Path, parsers: Parsers, subject: str, why: str, code: str
) -> None:
    began = time.monotonic()
    outcome = await parsers.parse(asking(tmp_path, subject))
    assert isinstance(outcome, Unreadable) and why in str(outcome) and outcome.code == code
    assert time.monotonic() - began < 4
    assert isinstance(await parsers.parse(asking(tmp_path, "hello")), VoiceMail)


async def test_a_process_that_died_is_started_again(tmp_path: Path, parsers: Parsers) -> None:
    assert isinstance(await parsers.parse(asking(tmp_path, "hello")), VoiceMail)
    [zygote] = parsers._all
    assert zygote._process
    zygote._process.kill()
    with pytest.raises(ParserDown):
        await parsers.parse(asking(tmp_path, "hello"))
    assert isinstance(await parsers.parse(asking(tmp_path, "hello")), VoiceMail)


async def test_who_gives_up_waiting_does_not_leave_his_answer_to_the_next(tmp_path: Path) -> None:
    patient = replace(BOUNDS, wall=1.0)
    async with Parsers(tmp_path / "parsed", 1, patient, COMMAND) as parsers:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await parsers.parse(asking(tmp_path, "sleep"))
        assert isinstance(await parsers.parse(asking(tmp_path, "hello")), VoiceMail)
