import os
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from store.ids import uuid7
from voicemail.intake.letter import Letter, Recipient, Trust, written
from voicemail.intake.spool import MailSpool
from voicemail.intake.work import MOST_FAILURES, Intake
from voicemail.vpim.model import Unreadable

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def letter(identifier: UUID) -> Letter:
    return Letter(identifier, "a@b", (Recipient("c@d"),), NOW, "192.0.2.1", Trust.NETWORK)


def kept(spool: MailSpool, raw: bytes = b"x\r\n") -> Letter:
    made = letter(uuid7())
    incoming = spool.begin(made.id)
    incoming.write(raw)
    incoming.keep(made)
    return made


def test_what_was_kept_is_found_again_oldest_first_and_what_was_not_is_gone(tmp_path: Path) -> None:
    spool = MailSpool(tmp_path / "mail")
    # Two ids of one millisecond have no order.
    made = sorted((kept(spool) for _ in range(3)), key=lambda each: each.id)
    spool.begin(uuid7()).write(b"never finished")
    (spool.folder / f"{uuid7()}.eml").write_bytes(b"no envelope: never confirmed")
    (spool.folder / f"{uuid7()}.json.part").write_text("{")
    spool.close()
    assert spool.left_behind() == made and spool.waiting() == 3
    assert sorted(p.name for p in spool.folder.iterdir()) == sorted(
        ["lock", *(f"{each.id}.{end}" for each in made for end in ("eml", "json"))]
    )
    spool.remove(made[0].id)
    assert spool.left_behind() == made[1:]


def test_what_nobody_understands_is_set_aside_not_lost(tmp_path: Path) -> None:
    spool = MailSpool(tmp_path / "mail")
    good, bad = kept(spool), kept(spool)
    (spool.folder / f"{bad.id}.json").write_text(written(good))
    alone = uuid7()
    (spool.folder / f"{alone}.json").write_text(written(letter(alone)))
    assert spool.left_behind() == [good]
    aside = sorted(p.name for p in (spool.folder / "set-aside").iterdir())
    assert aside == sorted([f"{bad.id}.json", f"{bad.id}.eml", f"{alone}.json"])


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = MailSpool(tmp_path / "mail")
    incoming = spool.begin(uuid7())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        incoming.keep(letter(incoming.id))
    assert [p.name for p in spool.folder.iterdir()] == ["lock"]


async def test_a_mail_that_can_never_be_settled_is_set_aside_for_an_operator(tmp_path: Path) -> None:
    spool = MailSpool(tmp_path / "mail")
    made = kept(spool)
    tries: list[float] = []

    class Broken:
        async def parse(self, mail: Path) -> Unreadable:
            return Unreadable("x")

        async def take(self, *_: object) -> str:
            raise ZeroDivisionError

    async def sleep(seconds: float) -> None:
        tries.append(seconds)

    async with Intake(spool, Broken(), Broken(), sleep=sleep) as intake:
        await intake._settle(made)
    assert len(tries) == MOST_FAILURES - 1 and tries[:3] == [0.5, 1.0, 2.0]
    assert len(list((spool.folder / "set-aside").iterdir())) == 2 and spool.waiting() == 0
