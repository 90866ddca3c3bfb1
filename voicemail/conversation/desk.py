"""What a conversation has at hand besides the call."""

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sip.call import Call, RecordLimits
from store.api import Store
from store.errors import Unavailable
from store.signing_in import PinPolicy
from voicemail import words
from voicemail.delivery import Delivery
from voicemail.policy.book import Policies
from voicemail.policy.key_map import KeyMap
from voicemail.policy.model import MenuStyle
from voicemail.words import Words

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds a caller who has been answered waits for the store at most."""


async def reach(work: Awaitable[T], within: float = PATIENCE) -> T:
    """The store's answer. Raises Unavailable after `within` seconds: nobody listens to dead air."""
    try:
        async with asyncio.timeout(within):
            return await work
    except TimeoutError:
        raise Unavailable(f"no answer within {within} s") from None


class Sounds:
    """Audio of the store as files to play, below `folder`; `close` removes them when the call is over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []

    async def file(self, audio: bytes) -> Path:
        """Raises OSError when the disk is full."""
        return await asyncio.to_thread(self._write, audio)

    def _write(self, audio: bytes) -> Path:
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".wav", delete=False) as out:
            self._files.append(Path(out.name))
            out.write(audio)
        return self._files[-1]

    def drop(self, file: Path) -> None:
        """No longer needed. A player that has it open reads on."""
        self._files.remove(file)
        with contextlib.suppress(OSError):
            file.unlink()

    def close(self) -> None:
        for file in self._files.copy():
            self.drop(file)


@dataclass(frozen=True, slots=True)
class Desk:
    """One per call. `now` gives the time with this node's time zone."""

    store: Store
    delivery: Delivery
    sounds: Sounds
    policies: Policies
    """Classes of service, schedules, options."""
    now: Callable[[], datetime]
    limits: RecordLimits = RecordLimits()
    policy: PinPolicy = PinPolicy()
    words: Words = words.of(words.DEFAULT)
    """The listener's language."""
    style: MenuStyle = MenuStyle.FULL
    """How much the menus say."""
    keys: KeyMap = KeyMap()
    """With which keys the user gets what."""

    def in_language(self, call: Call, language: str) -> "Desk":
        """The same desk, and the call's prompts, in another language."""
        call.use_language(language)
        return replace(self, words=words.of(language))
