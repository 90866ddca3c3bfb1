"""How many mails are read at once."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from store.blob import Blob
from store.ids import uuid7
from voicemail.intake import work
from voicemail.intake.letter import Letter, Recipient, Trust
from voicemail.intake.spool import MailSpool
from voicemail.intake.wire import Outcome
from voicemail.vpim.model import Unreadable

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


class Slow:
    """Reads and settles, each for as long as never so many were there at once; notes how many were."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.busy = self.most = self.done = 0

    async def _turn(self) -> None:
        self.busy += 1
        self.most = max(self.most, self.busy)
        while self.most < self.wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.003)
        self.busy -= 1

    async def parse(self, mail: Path) -> Outcome:
        await self._turn()
        return Unreadable("x")

    async def take(self, letter: Letter, raw: Blob, outcome: Outcome) -> str:
        await self._turn()
        self.done += 1
        return "done"


def kept(spool: MailSpool, size: int) -> Letter:
    incoming = spool.begin(uuid7())
    incoming.write(bytes(size))
    to = (Recipient("1001@vm.example.com"),)
    letter = Letter(incoming.id, "eve@a.example", to, NOW, "192.0.2.1", Trust.NETWORK)
    incoming.keep(letter)
    return letter


@pytest.mark.parametrize(("size", "most"), [(10, work.AT_ONCE), (11, 1)])
async def test_large_mails_are_read_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, most: int
) -> None:
    monkeypatch.setattr(work, "LARGE", 10)
    spool, slow = MailSpool(tmp_path / "mail"), Slow(most)
    async with work.Intake(spool, slow, slow) as intake:
        for _ in range(4):
            intake.put(kept(spool, size))
        async with asyncio.timeout(5):
            while slow.done < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    assert slow.most == most
    spool.close()
