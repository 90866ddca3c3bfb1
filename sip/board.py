"""What the workers are doing: a small file, mapped by all, one fixed record per slot.

Each record has one writer (the worker of the slot; the zygote while there is none), and any number of
readers in any process. A reader may see a record half written: figures of two moments, never a crash.
Behind the records each worker has a clock, which its main thread sets after every poll: a worker that
hangs without dying shows in nothing else.
"""

import contextlib
import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

RECORD = struct.Struct("<IIIIQd")
"""pid, state, calls now, capacity, calls since the start, started."""
BEAT = struct.Struct("<d")
"""When the main thread last polled, monotonic seconds of this machine."""


class State(IntEnum):
    """What a worker is up to."""

    GONE = 0
    """No process; the zygote will start one."""
    STARTING = 1
    """Runs, but has no session (no database) yet: answers 503."""
    READY = 2
    DRAINING = 3
    """Takes no more calls."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker. `started` is seconds since the epoch; `capacity` how many calls it takes at once."""

    slot: int
    pid: int = 0
    state: State = State.GONE
    busy: int = 0
    capacity: int = 0
    total: int = 0
    started: float = 0.0


class Board:
    """The mapped file."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, ValueError (an empty file)."""
        self.path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.slots = len(self._map) // (RECORD.size + BEAT.size)
        self._bytes, self._seen = b"", tuple[WorkerState, ...]()

    @classmethod
    def create(cls, path: Path, slots: int) -> "Board":
        """A new board in place of an old one, whose readers keep the old one until they reopen it."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "wb") as file:
            file.write(bytes(slots * (RECORD.size + BEAT.size)))
        os.replace(name, path)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Board":
        return cls(path)

    def read(self) -> tuple[WorkerState, ...]:
        """The same objects again while nothing has changed: supervisors look ten times a second."""
        now = self._map[: self.slots * RECORD.size]
        if now != self._bytes:
            self._bytes, self._seen = now, tuple(self._read(now, slot) for slot in range(self.slots))
        return self._seen

    def _read(self, now: bytes, slot: int) -> WorkerState:
        pid, state, busy, capacity, total, started = RECORD.unpack_from(now, slot * RECORD.size)
        known = State(state) if state in State._value2member_map_ else State.GONE
        return WorkerState(slot, pid, known, busy, capacity, total, started)

    def write(self, worker: WorkerState) -> None:
        RECORD.pack_into(
            self._map, worker.slot * RECORD.size,
            worker.pid, worker.state, worker.busy, worker.capacity, worker.total, worker.started,
        )  # fmt: skip

    def beat(self, slot: int, now: float) -> None:
        """The main thread of this worker has polled at `now`."""
        BEAT.pack_into(self._map, self.slots * RECORD.size + slot * BEAT.size, now)

    def beats(self) -> tuple[float, ...]:
        """When each slot's main thread last polled; 0 for never."""
        return tuple(beat for (beat,) in BEAT.iter_unpack(self._map[self.slots * RECORD.size :]))

    def close(self) -> None:
        with contextlib.suppress(BufferError):
            self._map.close()


def started_now(slot: int, capacity: int) -> WorkerState:
    """The record of a worker that begins in this process."""
    return WorkerState(slot, os.getpid(), State.STARTING, 0, capacity, 0, time.time())
