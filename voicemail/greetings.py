"""Recorded greetings as files to play: those of the latest mailboxes called are kept, per worker.

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


@dataclass(frozen=True, slots=True)
class Kept:
    """`path` is None when what the store holds cannot be played."""

    version: str
    path: Path | None


class Greetings:
    """Keeps up to `most` files below `folder`. A file lives on until so many other mailboxes were called:
    longer than the call it was looked up for takes to begin playing it."""

    def __init__(self, users: Users, folder: Path, most: int = 64) -> None:
        self._users, self._folder, self._most = users, folder, most
        self._kept: dict[UUID, Kept] = {}
        self._numbers = itertools.count(1)

    async def of(self, user_id: UUID, within: float = WITHIN) -> Path | None:
        """The file of a user's greeting; None for the system's, also when the store is away and nothing
        is kept, and when the disk is full. Never takes much longer than `within` seconds."""
        kept = self._kept.get(user_id)
        try:
            async with asyncio.timeout(within):
                found = await self._users.greeting_unless(user_id, kept.version if kept else "")
            return await self._remember(user_id, kept, found)
        except (Unavailable, TimeoutError) as error:
            log.warning("greeting cannot be looked up", why=str(error) or "no answer", remembered=bool(kept))
            return kept.path if kept else None
        except (StoreError, OSError) as error:
            log.warning("greeting replaced by the system's", why=str(error))
            return None

    async def _remember(self, user_id: UUID, kept: Kept | None, found: Greeting | None) -> Path | None:
        """Raises OSError."""
        if found and kept and found.version == kept.version:
            self._kept[user_id] = self._kept.pop(user_id, kept)  # the latest is last
            return kept.path
        path = await asyncio.to_thread(self._written, found.audio) if found and found.audio else None
        self._forget(user_id)
        if found:
            self._kept[user_id] = Kept(found.version, path)
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

    def _forget(self, user_id: UUID) -> None:
        gone = self._kept.pop(user_id, None)
        if gone and gone.path:
            with contextlib.suppress(OSError):
                gone.path.unlink()
