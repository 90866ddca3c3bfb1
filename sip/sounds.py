"""Which file to play: most sounds are files that the library can play as they stand, seen before."""

import asyncio
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from sip import wav
from sip.errors import BadSound

log = structlog.get_logger()

REMEMBERED = 256
"""Files known to be playable; beyond, the one seen first is forgotten."""

_plain: dict[Path, tuple[int, int, int]] = {}
_lock = threading.Lock()


async def chosen(paths: list[Path], temporary: Path) -> tuple[Path | None, bool]:
    """As `playable`, without a thread for a single file that was played before and has not changed."""
    if len(paths) == 1 and _known(paths[0]):
        return paths[0], False
    return await asyncio.to_thread(playable, paths, temporary)


@dataclass(frozen=True, slots=True)
class Ready:
    """Sounds joined before they are to be played. Their file has no name, so nothing is left of it when the
    process ends; `close` gives it up, and a player that has opened it reads on."""

    paths: list[Path]
    file: BinaryIO

    @property
    def path(self) -> Path:
        """While it is open."""
        return Path(f"/proc/self/fd/{self.file.fileno()}")

    @classmethod
    async def of(cls, paths: list[Path], temporary: Path) -> "Ready | None":
        """None when there is nothing to be joined, or no room; a single file is known to be playable then."""
        path, joined = await chosen(paths, temporary)
        return await asyncio.to_thread(cls._opened, paths, path) if path and joined else None

    @classmethod
    def _opened(cls, paths: list[Path], path: Path) -> "Ready":
        file = path.open("rb")
        path.unlink(missing_ok=True)
        return cls(paths, file)

    def close(self) -> None:
        self.file.close()


def plays(path: Path) -> bool:
    """Whether a file is a sound; one that is none is logged."""
    try:
        wav.read(path)
    except BadSound as error:
        log.error("sound cannot be played", path=str(path), why=str(error))
        return False
    return True


def playable(paths: list[Path], temporary: Path) -> tuple[Path | None, bool]:
    """One file for all of these sounds, and whether it is a new one, which the caller must unlink.
    Sounds that cannot be read are left out. None when nothing is left to be heard, or no room."""
    found = []
    for path in paths:
        try:
            found.append((path, _read(path)))
        except BadSound as error:
            log.warning("sound cannot be read", path=str(path), why=str(error))
    if not found:
        return None, False
    if len(found) == 1 and found[0][1].plain:
        return found[0][0], False
    try:
        return _written(wav.join(sound for _, sound in found), temporary), True
    except OSError as error:
        log.error("sounds cannot be joined", folder=str(temporary), why=error.strerror)
        return next((path for path, sound in found if sound.plain), None), False


def _known(path: Path) -> bool:
    """Whether it is the file that could be played before."""
    known = _plain.get(path)
    return known is not None and known == _identity(path)


def _read(path: Path) -> wav.Sound:
    """Reads a sound, and remembers whether it can be played as it stands. Raises BadSound."""
    identity = _identity(path)
    sound = wav.read(path)
    with _lock:
        _plain.pop(path, None)
        if sound.plain and identity:
            _plain[path] = identity
        while len(_plain) > REMEMBERED:
            del _plain[next(iter(_plain))]
    return sound


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _written(data: bytes, temporary: Path) -> Path:
    handle, name = tempfile.mkstemp(".wav", "sound-", temporary)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return Path(name)
