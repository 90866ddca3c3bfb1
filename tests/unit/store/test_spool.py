"""The spool finds every recording a crash left, once, and loses no file it does not understand."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from store.errors import NotFound
from store.ids import uuid7
from store.spool import Spool, SpoolBusy, SpoolEntry, orphans, waiting


def entry(**changes: object) -> SpoolEntry:
    values: dict[str, object] = {
        "id": uuid7(),
        "extension": "1001",
        "recorded": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "mailbox_id": uuid7(),
        "caller": '"\u00fc" <sip:x>',
        "call_id": "c1",
    }
    return SpoolEntry(**(values | changes))  # type: ignore[arg-type]


def crash(spool: Spool) -> Spool:
    """The process dies: its lock goes, its files stay."""
    spool.close()
    return Spool(spool.folder.parent, spool.folder.name.removeprefix("slot-"))


def test_what_was_begun_is_found_after_a_crash_oldest_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3)
    one, two = entry(), entry(mailbox_id=None)
    for each in (two, one):
        spool.begin(each).write_bytes(b"RIFF")
    spool = crash(spool)
    assert spool.left_behind() == sorted((one, two), key=lambda each: each.id)
    assert spool.path(one.id).read_bytes() == b"RIFF"


def test_finishing_notes_the_end(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    one = entry()
    spool.begin(one)
    spool.finish(one.id, urgent=True, complete=True, seconds=4.5)
    [found] = crash(spool).left_behind()
    assert (found.urgent, found.complete, found.seconds) == (True, True, 4.5)


def test_a_removed_recording_is_gone(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    one = entry()
    spool.begin(one)
    spool.remove(one.id)
    spool.remove(one.id)
    assert spool.left_behind() == []
    assert waiting(tmp_path) == 0
    with pytest.raises(NotFound):
        spool.finish(one.id, urgent=True)


def test_an_interrupted_removal_is_completed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    one = entry()
    spool.begin(one).unlink()
    assert spool.left_behind() == []
    assert waiting(tmp_path) == 0
    assert not (spool.folder / "quarantine").exists()


def test_the_same_recording_is_not_begun_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    one = entry()
    spool.begin(one).write_bytes(b"sound")
    with pytest.raises(FileExistsError):
        spool.begin(one)
    assert spool.path(one.id).read_bytes() == b"sound"


@pytest.mark.parametrize(
    "junk",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"id": 7}', b'{"id": "x", "extension": "1"}'],
)
def test_a_damaged_note_and_its_sound_are_set_aside(tmp_path: Path, junk: bytes) -> None:
    spool = Spool(tmp_path, 0)
    good, bad = entry(), entry()
    spool.begin(good)
    spool.begin(bad).write_bytes(b"sound")
    (spool.folder / f"{bad.id}.json").write_bytes(junk)
    assert spool.left_behind() == [good]
    aside = {path.name for path in (spool.folder / "quarantine").iterdir()}
    assert aside == {f"{bad.id}.json", f"{bad.id}.wav"}
    assert (spool.folder / "quarantine" / f"{bad.id}.wav").read_bytes() == b"sound"


def test_strange_files_are_set_aside_and_never_overwritten(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    for content in (b"one", b"two"):
        (spool.folder / "core").write_bytes(content)
        assert spool.left_behind() == []
    aside = sorted(path.read_bytes() for path in (spool.folder / "quarantine").iterdir())
    assert aside == [b"one", b"two"]


def test_a_note_half_written_leaves_the_former_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    one = entry()
    spool.begin(one)
    (spool.folder / f"{one.id}.part").write_text('{"id":')
    assert spool.left_behind() == [one]


def test_a_note_of_a_newer_release_is_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    one = entry()
    spool.begin(one)
    note = spool.folder / f"{one.id}.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"private": True}))
    assert spool.left_behind() == [one]


def test_a_slot_is_served_by_one_process_at_a_time(tmp_path: Path) -> None:
    with Spool(tmp_path, 0), pytest.raises(SpoolBusy):
        Spool(tmp_path, 0)
    Spool(tmp_path, 0).close()


def test_folders_of_slots_no_longer_served_are_found(tmp_path: Path) -> None:
    kept: dict[int, UUID] = {}
    busy = Spool(tmp_path, 7)
    for slot in (0, 1, 5):
        with Spool(tmp_path, slot) as spool:
            kept[slot] = entry().id
            spool.begin(entry(id=kept[slot]))
    found = orphans(tmp_path, range(2))
    assert [one.id for spool in found for one in spool.left_behind()] == [kept[5]]
    assert waiting(tmp_path) == 3
    busy.close()


def test_a_nearly_full_disk_is_noticed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    assert spool.nearly_full(spool.free_bytes() * 2 + 1)
    assert not spool.nearly_full(0)
