"""Identifiers and times that two nodes can make apart and compare later."""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID


def uuid7(
    milliseconds: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    random: Callable[[int], bytes] = os.urandom,
) -> UUID:
    """48 bits of Unix milliseconds, version 7, 74 random bits (RFC 9562 section 5.7)."""
    raw = (milliseconds() << 80) | int.from_bytes(random(10), "big")
    return UUID(int=raw & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def made_at(identifier: UUID) -> datetime:
    """When a uuid7 was made, to the millisecond (UTC)."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)


class HybridClock:
    """Microseconds of Unix time that never go back and exceed all that was observed. Thread-safe.

    What this node writes after it has read something is thus ordered after it, whatever the two
    nodes' clocks say (a hybrid logical clock, its counter kept in the lowest digits).
    """

    def __init__(self, microseconds: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._microseconds = microseconds
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> int:
        """A new value, higher than any before."""
        with self._lock:
            self._last = max(self._microseconds(), self._last + 1)
            return self._last

    def observe(self, seen: int) -> None:
        """Take note of a value read from the store: what comes next is higher."""
        with self._lock:
            self._last = max(self._last, seen)
