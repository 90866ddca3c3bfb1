"""Work that is given to threads is done at once: time is advanced by hand here, and waits for no thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest_asyncio


class AtOnce(ThreadPoolExecutor):
    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest_asyncio.fixture(autouse=True)
async def threads_work_at_once() -> None:
    asyncio.get_running_loop().set_default_executor(AtOnce())
