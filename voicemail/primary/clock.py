"""Time as the runner sees it: tests put a clock in its place that is advanced by hand."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that never go back, the same for all processes of this machine."""

    def now(self) -> datetime:
        """The time of day, UTC."""

    async def sleep_until(self, moment: float | None, bell: asyncio.Event) -> None:
        """Until `bell` is set or the monotonic clock reaches `moment` (None: only the bell)."""


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, moment: float | None, bell: asyncio.Event) -> None:
        if bell.is_set():
            return
        timer = None
        if moment is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(max(0.0, moment - time.monotonic()), bell.set)
        try:
            await bell.wait()
        finally:
            if timer:
                timer.cancel()
