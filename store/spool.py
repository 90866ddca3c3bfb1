"""Recordings in progress: what a crash of everything else leaves is found here at the next start.

Each worker has a folder of its own below the node's spool. A recording is a pair of files named by its
id, which becomes the message's id, so that delivering it twice keeps one message:

    <id>.wav     the sound; made empty by begin(), so that its name is on disk before sound is
    <id>.json    who called whom, and whether the recording ended properly

Everything here blocks on the disk for some milliseconds (fsync): call it by `asyncio.to_thread`.
"""

import fcntl
import json
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import structlog

from store.errors import NotFound, StoreError

log = structlog.get_logger()

QUARANTINE = "quarantine"
LOCK = "lock"


class SpoolBusy(StoreError):
    """Another process still serves this slot, perhaps with its last call."""

    retry = True


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """What is known of a recording beside its sound."""

    id: UUID
    extension: str
    """For whom, as dialled."""
    recorded: datetime
    """When recording began, with time zone."""
    mailbox_id: UUID | None = None
    """None when the directory could not be asked."""
    caller: str = ""
    caller_name: str = ""
    urgent: bool = False
    call_id: str = ""
    complete: bool = False
    """The recording ended properly; otherwise its end may be missing."""
    seconds: float | None = None
    addressees: tuple[str, ...] = ()
    """For whom, when it is not for `extension` alone: extensions, "list:<name>", "undeliverable", and what
    else voicemail/recipients.py understands."""
    envelope: str = ""
    """What the message carries (store/notes.py)."""
    held: bool = False
    """Its author has not sent it, and does not want it sent by itself: what a crash leaves is dropped."""
    forwards: UUID | None = None
    """The message whose sound follows behind this one's; then this one may be empty."""
    continues: UUID | None = None
    """The recording that this one is to be put behind: what a crash left of both is one message."""
    begun_at: float = 0.0
    """Seconds that recording had then. One that is longer has got this one already."""


class Spool:
    """The folder of one slot, held by a lock as long as this object is open. Raises SpoolBusy."""

    def __init__(self, root: Path, slot: int | str) -> None:
        self.folder = root / f"slot-{slot}"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            os.close(self._lock)
            raise SpoolBusy(f"{self.folder} is served by another process") from held
        _sync_folder(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the slot. What is in it stays."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def begin(self, entry: SpoolEntry) -> Path:
        """Note a recording that is about to start; the file to record into. On disk when it returns."""
        sound = self.path(entry.id)
        os.close(os.open(sound, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        # A crash meanwhile leaves half a note, and nothing said: no need to write it aside first.
        _write_note(self._note(entry.id), entry)
        _sync_folder(self.folder)
        return sound

    def finish(self, identifier: UUID, **changes: Any) -> SpoolEntry:
        """Change what is known of a recording: urgent, complete, seconds … Raises NotFound."""
        entry = replace(self.entry(identifier), **changes)
        self._write(entry)
        return entry

    def remove(self, identifier: UUID, *, durable: bool = True) -> None:
        """Forget a recording: it was cancelled, or has been delivered. Not `durable`: a power cut in the
        next seconds may bring it back, which does not matter where delivering it again adds nothing."""
        # The sound goes first: a note without sound is a removal that was interrupted.
        self.path(identifier).unlink(missing_ok=True)
        self._note(identifier).unlink(missing_ok=True)
        if durable:
            _sync_folder(self.folder)

    def set_aside(self, identifier: UUID) -> None:
        """Keep a recording that can never be delivered for an operator, out of the way."""
        for path in (self.path(identifier), self._note(identifier)):
            if path.exists():
                self._set_aside(path)
        _sync_folder(self.folder)

    def path(self, identifier: UUID) -> Path:
        """The sound file of a recording."""
        return self.folder / f"{identifier}.wav"

    def entry(self, identifier: UUID) -> SpoolEntry:
        """What is known of a recording. Raises NotFound when its note is missing or damaged."""
        try:
            return _parsed(self._note(identifier).read_bytes())
        except (OSError, ValueError, TypeError, KeyError) as problem:
            raise NotFound(f"no recording {identifier} in {self.folder}: {problem}") from problem

    def left_behind(self) -> list[SpoolEntry]:
        """Recordings of a process that died, oldest first. To be asked before the first begin().

        Files that make no recording are set aside into `quarantine/`, never deleted.
        """
        entries = []
        for note in sorted(self.folder.glob("*.json")):
            if entry := self._found(note):
                entries.append(entry)
        known = {name for entry in entries for name in (f"{entry.id}.wav", f"{entry.id}.json")}
        for path in sorted(self.folder.iterdir()):
            if path.suffix == ".part":
                path.unlink()  # of a note; the note itself is whole, old or new
            elif path.name not in known | {LOCK, QUARANTINE}:
                self._set_aside(path)
        return sorted(entries, key=lambda entry: entry.id)

    def free_bytes(self) -> int:
        """What the disk below the spool can still take."""
        return free_bytes(self.folder)

    def nearly_full(self, limit: int) -> bool:
        """Whether less than `limit` bytes are left: then callers are told before the tone."""
        return self.free_bytes() < limit

    def _found(self, note: Path) -> SpoolEntry | None:
        try:
            entry = self.entry(UUID(note.stem))
        except (ValueError, NotFound):
            return None
        if entry.id != UUID(note.stem):
            return None
        if self.path(entry.id).exists():
            return entry
        self.remove(entry.id)
        return None

    def _set_aside(self, path: Path) -> None:
        """Keep for an operator what we do not understand."""
        target = self.folder / QUARANTINE
        target.mkdir(exist_ok=True, mode=0o700)
        place = target / path.name
        with suppress(OSError):
            if place.exists():
                place = target / f"{path.name}.{os.stat(path).st_mtime_ns}"
            path.rename(place)
            log.warning("A file in the spool is no recording; it was set aside.", file=str(place))

    def _note(self, identifier: UUID) -> Path:
        return self.folder / f"{identifier}.json"

    def _write(self, entry: SpoolEntry) -> None:
        """Replace the note, whole or not at all."""
        note = self._note(entry.id)
        part = note.with_suffix(".part")
        _write_note(part, entry)
        part.rename(note)
        _sync_folder(self.folder)


def orphans(root: Path, slots: Collection[int]) -> list[Spool]:
    """Folders of slots that no worker serves any more, locked for the caller, who closes them.

    One that is still in use is left out.
    """
    served = {f"slot-{slot}" for slot in slots}
    found = []
    for folder in sorted(root.glob("slot-*")):
        if folder.is_dir() and folder.name not in served:
            with suppress(SpoolBusy):
                found.append(Spool(root, folder.name.removeprefix("slot-")))
    return found


def waiting(root: Path) -> int:
    """How many recordings are in the spool of a node now: being made, or waiting for the database."""
    return sum(1 for _ in root.glob("slot-*/*.json"))


def free_bytes(folder: Path) -> int:
    """What the disk can still take from ordinary users."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def disk_bytes(folder: Path) -> tuple[int, int]:
    """The same, and the disk's size."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def _parsed(text: bytes) -> SpoolEntry:
    """Raises ValueError, TypeError or KeyError on anything that _write has not made."""
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("not a note")
    known = {field.name for field in fields(SpoolEntry)}  # a newer release may note more
    values = {name: value for name, value in values.items() if name in known}
    values["id"] = UUID(str(values["id"]))
    values["recorded"] = datetime.fromisoformat(values["recorded"])
    values["mailbox_id"] = UUID(str(values["mailbox_id"])) if values["mailbox_id"] else None
    for name in ("forwards", "continues"):
        values[name] = UUID(str(values[name])) if values.get(name) else None
    values["addressees"] = tuple(values.get("addressees", ()))
    return SpoolEntry(**values)


def _write_note(path: Path, entry: SpoolEntry) -> None:
    with open(path, "w", encoding="utf-8") as out:
        json.dump(asdict(entry), out, default=str)
        out.flush()
        os.fsync(out.fileno())


def _sync_folder(folder: Path) -> None:
    """Names in a folder survive a power cut only after this."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
