"""One thread of a process looks after all recordings that grow: once a second each is put on disk.

The asyncio thread hears of it only when a recording may have to end: waking it for every look cost more
than the looks themselves. A disk that hangs stops this thread, and nothing else: calls end as ever.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from sip.level import Growth

log = structlog.get_logger()

EVERY = 1.0
"""Seconds between two looks at a growing recording: fsync, and is somebody speaking?"""
STALLED = 5.0
"""Seconds without growth after which a recording may end: the disk is full or gone."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom a recording belongs to. All are called in the thread."""

    tell: Callable[[], None]
    """The recording may have to end: look at `Watched`."""
    on_hold: Callable[[], bool]
    """Whether nothing can come, as the caller is on hold."""
    resting: Callable[[], bool] = lambda: False
    """Whether nothing shall come, as the recording was paused: no silence, either."""


class Watched:
    """A recording while it is looked after. Set `over` to end that."""

    def __init__(self, path: Path, silence: float, listener: Listener, now: float) -> None:
        self.growth = Growth(path, now)
        self.over = self.silent = self.stuck = False
        """`silent`: quiet for `silence` seconds; who sends nothing is quiet, too. `stuck`: nothing came
        for STALLED seconds although the caller is not on hold."""
        self.error: OSError | None = None
        self._silence, self._listener, self._could_grow = silence, listener, now

    def look(self, now: float) -> None:
        """In the thread."""
        resting = self._listener.resting()
        try:
            self.growth.look(now, resting)
        except OSError as error:
            self.error = error
        if resting or self._listener.on_hold():
            self._could_grow = now
        waited = self.growth.stalled
        self.stuck = min(waited, now - self._could_grow) >= STALLED
        self.silent = not resting and bool(self._silence) and self.growth.quiet + waited >= self._silence
        if self.error or self.silent or self.stuck:
            self._listener.tell()


class Watch:
    """The thread, which begins with the first recording: a process that has threads must not fork."""

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._watched: list[Watched] = []
        self._something = threading.Event()
        self._thread: threading.Thread | None = None

    def over(self, path: Path, silence: float, listener: Listener) -> Watched:
        """Look after a recording until its `over` is set. `silence` in seconds, 0 for no limit."""
        watched = Watched(path, silence, listener, time.monotonic())
        self._watched.append(watched)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)
            self._thread.start()
        self._something.set()
        return watched

    def _run(self) -> None:
        while True:
            self._something.wait()
            self._something.clear()
            due = time.monotonic()
            while self._watched:
                now, due = time.monotonic(), due + self._every
                if due > now:
                    time.sleep(due - now)
                else:
                    due = now  # the disk is slow
                try:
                    self._round()
                except Exception:
                    log.exception("looking after recordings failed")

    def _round(self) -> None:
        for watched in tuple(self._watched):
            if watched.over:
                self._watched.remove(watched)
                watched.growth.close()
            else:
                watched.look(time.monotonic())
