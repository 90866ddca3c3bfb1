"""What became of this node, and why: its changes of status and an operator's orders, kept over restarts."""

import asyncio
import itertools
from dataclasses import asdict
from typing import Any

import structlog

from voicemail.cluster.manager import Change
from voicemail.secrets import NodeFiles

log = structlog.get_logger()

MOST = 200
"""Entries kept; older ones go."""


class History:
    """Writes one entry after the other in the background. A disk that takes none costs the file, not the
    node."""

    def __init__(self, files: NodeFiles) -> None:
        self._files = files
        self.entries: list[dict[str, Any]] = files.history()[-MOST:]
        self._last: Change | None = None
        self.unkept = False
        """Whether something has not gone to disk yet."""
        self._news = asyncio.Event()

    def follow(self, changes: list[Change]) -> bool:
        """Take what is new at the end of the manager's list; whether there was anything."""
        new = list(itertools.takewhile(lambda change: change is not self._last, reversed(changes)))
        for change in reversed(new):
            self._last = change
            self.note(**asdict(change))
        return bool(new)

    def note(self, **entry: Any) -> None:
        """Anything else that people want to read there."""
        self.entries = [*self.entries[1 - MOST :], entry]
        self.unkept = True
        self._news.set()

    async def run(self) -> None:
        """Keep it on disk, until cancelled."""
        told = False
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await asyncio.to_thread(self._files.write_history, self.entries)
                told = False
            except OSError as error:
                if not told:
                    log.error("The history cannot be kept.", why=str(error))
                told = True
            self.unkept = self._news.is_set()
