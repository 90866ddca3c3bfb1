"""Is somebody speaking? Looks at what a recording has grown by, and puts it on disk."""

import os
from pathlib import Path

from sip.wav import HEADER, RATE, ULAW_VALUES

LOUD = 330
"""Sample values above this are speech: -40 dBFS. Line noise stays below it."""
BLOCK = RATE // 4
SPOKEN = 0.03
"""A quarter of a second is speech when this part of its samples is loud."""
MOST = 2**20
"""Bytes judged in one look: two minutes of audio."""
IS_LOUD = bytes(abs(value) > LOUD for value in ULAW_VALUES)


def spoken(block: bytes) -> bool:
    """Whether there is speech in these mu-law samples."""
    return block.translate(IS_LOUD).count(1) > SPOKEN * len(block)


def trailing_quiet(samples: bytes) -> tuple[float, bool]:
    """Seconds of quiet at the end, and whether all of it is quiet."""
    end = len(samples)
    while end > 0:
        if spoken(samples[max(0, end - BLOCK) : end]):
            return (len(samples) - end) / RATE, False
        end -= BLOCK
    return len(samples) / RATE, True


class Growth:
    """A recording that grows. `look` and `close` do file I/O: call them in one thread, not asyncio's;
    any thread may read the fields."""

    def __init__(self, path: Path, now: float) -> None:
        """`now` in seconds of any clock, the same as for `look`."""
        self.path = path
        self.quiet = 0.0
        """Seconds of quiet at the end of what has been looked at."""
        self.stalled = 0.0
        """Seconds for which nothing new has come, as far as looks can tell."""
        self._seen, self._grew, self._file = HEADER, now, -1

    def look(self, now: float, resting: bool = False) -> None:
        """Put the file on disk, and judge what is new in it; one that rests need not grow. Raises OSError."""
        if self._file < 0:
            self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        os.fdatasync(self._file)
        new = os.pread(self._file, MOST, self._seen)
        self._seen += len(new)
        if new:
            quiet, throughout = trailing_quiet(new)
            self.quiet, self._grew = self.quiet + quiet if throughout else quiet, now
        elif resting:
            self._grew = now
        self.stalled = now - self._grew

    @property
    def open(self) -> bool:
        return self._file >= 0

    def close(self) -> None:
        """No more looks."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
