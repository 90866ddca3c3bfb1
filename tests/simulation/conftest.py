import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import pytest
import pytest_asyncio
import structlog

P = ParamSpec("P")
T = TypeVar("T")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No log of the simulated nodes: thousands of changes of status. A failure tells its own story."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(**before)


class Here(ThreadPoolExecutor):
    """Does at once what is submitted, without a thread: half of ten thousand calls went into waking one."""

    def submit(self, work: Callable[P, T], /, *given: P.args, **named: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(work(*given, **named))
        except Exception as error:
            done.set_exception(error)
        return done


@pytest_asyncio.fixture(autouse=True)
async def no_threads() -> AsyncIterator[None]:
    with Here() as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        yield
