"""Recorded greetings and names as files to play: those of the latest mailboxes called are kept, per worker.

The store is asked at every call whether a greeting is still the same, and sends the audio only if not.
While it is away, the greeting heard last is played.
"""

import asyncio
import contextlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from sip import wav
from store.api import Users
from store.errors import StoreError, Unavailable
from store.model import Greeting

log = structlog.get_logger()

WITHIN = 0.7
"""Seconds a call that rings waits for the store."""
STANDARD = "standard"
NAME = "name"
"""The kind of a recorded name."""

Key = tuple[UUID, str]
"""Whose, and of which kind."""


@dataclass(frozen=True, slots=True)
class Kept:
    """`path` is None when what the store holds cannot be played."""

    version: str
    path: Path | None


class Greetings:
    """Keeps up to `most` files below `folder`. A file lives on until so many others were looked up: longer
    than the call it was looked up for takes to begin playing it."""

    def __init__(self, users: Users, folder: Path, most: int = 256) -> None:
        self._users, self._folder, self._most = users, folder, most
        self._kept: dict[Key, Kept] = {}
        self._numbers = itertools.count(1)

    async def of(self, owner: UUID, kind: str = STANDARD, within: float = WITHIN) -> Path | None:
        """The file of a greeting of this kind, of a user or a handler; None when there is none, also when
        the store is away and nothing is kept, and when the disk is full. Never takes much longer than
        `within` seconds."""
        key = (owner, kind)
        kept = self._kept.get(key)
        try:
            async with asyncio.timeout(within):
                found = await self._users.greeting_unless(owner, kept.version if kept else "", kind)
            return await self._remember(key, kept, found)
        except (Unavailable, TimeoutError) as error:
            log.warning("greeting cannot be looked up", why=str(error) or "no answer", remembered=bool(kept))
            return kept.path if kept else None
        except (StoreError, OSError) as error:
            log.warning("greeting replaced by the system's", why=str(error))
            return None

    async def _remember(self, key: Key, kept: Kept | None, found: Greeting | None) -> Path | None:
        """Raises OSError."""
        if found and kept and found.version == kept.version:
            self._kept[key] = self._kept.pop(key, kept)  # the latest is last
            return kept.path
        path = await asyncio.to_thread(self._written, found.audio) if found and found.audio else None
        self._forget(key)
        if found:
            self._kept[key] = Kept(found.version, path)
        while len(self._kept) > self._most:
            self._forget(next(iter(self._kept)))
        return path

    def _written(self, audio: bytes) -> Path | None:
        if not wav.is_sound(audio):
            return None
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{next(self._numbers)}.wav"
        path.write_bytes(audio)
        return path

    def _forget(self, key: Key) -> None:
        gone = self._kept.pop(key, None)
        if gone and gone.path:
            with contextlib.suppress(OSError):
                gone.path.unlink()
