"""Is somebody speaking? Looks at what a recording has grown by, and puts it on disk."""

import os
from pathlib import Path

from sip.wav import HEADER, RATE, ULAW_VALUES

LOUD = 330
"""Sample values above this are speech: -40 dBFS. Line noise stays below it."""
BLOCK = RATE // 4
SPOKEN = 0.03
"""A quarter of a second is speech when this part of its samples is loud."""
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
    """A recording that grows. `look` does file I/O: call it in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.quiet = 0.0
        """Seconds of quiet at the end of what has been looked at."""
        self.stalled = 0
        """Looks in a row that found nothing new."""
        self._seen = HEADER

    def look(self) -> None:
        """Fsync the file, and judge what is new in it."""
        with self.path.open("rb") as file:
            os.fdatasync(file.fileno())
            file.seek(self._seen)
            new = file.read()
        self._seen += len(new)
        self.stalled = 0 if new else self.stalled + 1
        quiet, throughout = trailing_quiet(new)
        self.quiet = self.quiet + quiet if throughout else quiet
