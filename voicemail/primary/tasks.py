"""What runs beside the loop, held on to until it ends."""

import asyncio
from collections.abc import Coroutine


class Tasks:
    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def cancel(self) -> None:
        """All but the one that calls this."""
        mine = asyncio.current_task()
        for task in self._running - ({mine} if mine else set()):
            task.cancel()
