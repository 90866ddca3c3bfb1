"""What the workers say of themselves on their board, which a new pool replaces by a new file."""

import os
from pathlib import Path

from sip.board import Board, State, WorkerState

SILENT = 3.0
"""Seconds without a poll after which a worker does not count as up; it polls twice a second."""
PAUSE = 1.0
"""Seconds between two looks that mean a freeze of the whole node: all polls are old then, and count anew."""


class Workers:
    """Looks often, so the board is kept open, and read once for all who ask within a tick."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._awake: tuple[bool, ...] = ()
        self._board: Board | None = None
        self._inode = 0
        self._looked: float | None = None
        self._since = float("-inf")
        self.seen: tuple[WorkerState, ...] = ()

    def forget(self) -> None:
        """Remove the board: the one that a killed node left says its workers are ready."""
        self._path.unlink(missing_ok=True)
        self._board, self.seen = None, ()

    def look(self, now: float) -> None:
        """Read the board at `now` (monotonic seconds); nobody is there when it cannot be read."""
        if self._looked is not None and now - self._looked > PAUSE:
            self._since = now
        self._looked = now
        try:
            inode = os.stat(self._path).st_ino
            if self._board is None or self._inode != inode:
                self._board, self._inode = Board.open(self._path), inode
            self.seen = self._board.read()
            self._awake = tuple(now - max(beat, self._since) < SILENT for beat in self._board.beats())
        except (OSError, ValueError):
            self.seen = ()

    @property
    def up(self) -> tuple[WorkerState, ...]:
        """Those that take calls, and do not hang."""
        looks = zip(self.seen, self._awake, strict=False)
        return tuple(worker for worker, awake in looks if awake and worker.state is State.READY)

    @property
    def busy(self) -> int:
        """Calls in progress."""
        return sum(worker.busy for worker in self.seen)
