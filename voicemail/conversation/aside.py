"""What goes on beside a conversation, without its caller waiting for it."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Aside:
    """Its work ends with the conversation: at the end of the block all is waited for, and hears of it by
    `pause`. Each piece of work is bounded by itself, and raises only what is a mistake of ours."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        await asyncio.gather(*self._tasks)

    def do(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin it."""
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task

    async def pause(self, seconds: float | None) -> None:
        """So long, or until the conversation is over; None: until then."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
