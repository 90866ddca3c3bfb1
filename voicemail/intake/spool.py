"""Mails that were taken and are not settled yet: what was confirmed with 250 is found here after any crash.

    <id>.eml     the mail as it came, a Received line in front
    <id>.json    its envelope (letter.py); a mail without one was never confirmed

Both are written aside and synced before they get their names, the envelope last; then the folder is synced.
Everything here blocks on the disk: call it by `asyncio.to_thread`, but for `Incoming.write`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import structlog

from store.spool import SpoolBusy, free_bytes
from voicemail.intake.letter import Letter, read, written

log = structlog.get_logger()

LOCK = "lock"
SET_ASIDE = "set-aside"


class MailSpool:
    """The folder, held by a lock as long as this object is open. Raises SpoolBusy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise SpoolBusy(f"{folder} is served by another process") from None
        _sync(folder.parent)

    def close(self) -> None:
        """Let another process have it. What is in it stays."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def begin(self, identifier: UUID) -> "Incoming":
        """A place for a mail that is being received. Raises OSError."""
        return Incoming(self.folder, identifier)

    def path(self, identifier: UUID) -> Path:
        return self.folder / f"{identifier}.eml"

    def remove(self, identifier: UUID) -> None:
        """It is settled. Not synced: settling it again adds nothing."""
        (self.folder / f"{identifier}.json").unlink(missing_ok=True)
        self.path(identifier).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """Keep for an operator what nobody here understands."""
        target = self.folder / SET_ASIDE
        target.mkdir(exist_ok=True, mode=0o700)
        with suppress(OSError):
            (self.folder / name).rename(target / name)
            log.error("A file in the spool of mails is none; it was set aside.", file=str(target / name))
        _sync(self.folder)

    def left_behind(self) -> list[Letter]:
        """Mails of an earlier life, oldest first; what was never confirmed is removed. To be asked before
        the first `begin`."""
        letters = list(self._letters())
        known = {f"{letter.id}.eml" for letter in letters}
        for path in self.folder.iterdir():
            if path.suffix == ".part" or (path.suffix == ".eml" and path.name not in known):
                path.unlink()
        return sorted(letters, key=lambda letter: letter.id)

    def _letters(self) -> Iterator[Letter]:
        for note in sorted(self.folder.glob("*.json")):
            try:
                letter = read(note.read_bytes())
                if note.stem != str(letter.id) or not self.path(letter.id).exists():
                    raise ValueError("its mail is not there")
            except (OSError, ValueError) as error:
                log.error("an envelope in the spool of mails cannot be read", file=note.name, why=str(error))
                self.set_aside(note.name)
                if note.with_suffix(".eml").exists():
                    self.set_aside(f"{note.stem}.eml")
                continue
            yield letter

    def waiting(self) -> int:
        return waiting(self.folder)

    def free_bytes(self) -> int:
        return free_bytes(self.folder)


def waiting(folder: Path) -> int:
    """How many mails were taken and are not settled."""
    return sum(1 for _ in folder.glob("*.json"))


class Incoming:
    """A mail on its way in. `write`, then `keep` or `discard`."""

    def __init__(self, folder: Path, identifier: UUID) -> None:
        self.id, self._folder, self._kept = identifier, folder, False
        self._part = folder / f"{identifier}.eml.part"
        place = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._out: BinaryIO = os.fdopen(place, "wb", 65536)

    def write(self, data: bytes) -> None:
        """Into the system's memory, in portions: no wait for the disk. Raises OSError (disk full)."""
        self._out.write(data)

    def keep(self, letter: Letter) -> None:
        """Mail and envelope are on disk, under their names, when this returns. Raises OSError, and then
        nothing is there."""
        note = self._folder / f"{self.id}.json"
        part = note.with_suffix(".json.part")
        self._kept = True
        try:
            _synced(self._out)
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(written(letter).encode())
                _synced(out)
            self._part.rename(self._folder / f"{self.id}.eml")
            part.rename(note)
            _sync(self._folder)
        except (OSError, ValueError) as error:  # ValueError: discarded just before
            for path in (note, part, self._folder / f"{self.id}.eml"):
                path.unlink(missing_ok=True)
            self._drop()
            raise OSError(f"the mail could not be kept: {error}") from error

    def discard(self) -> None:
        """It was not taken. Too late once it is being kept: a client that leaves then sends it again."""
        if not self._kept:
            self._drop()

    def _drop(self) -> None:
        with suppress(OSError):
            self._out.close()
        self._part.unlink(missing_ok=True)


def _synced(out: BinaryIO) -> None:
    out.flush()
    os.fsync(out.fileno())
    out.close()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
