"""A few database connections of one process, and bounds on everything done with them.

Smaller than a general pool on purpose: no background task, no back-off. A connection is made when one
is needed and none is idle, so the first call after PostgreSQL came back already gets through. What a burst of
calls needed stays for LINGER seconds: to make a connection costs PostgreSQL as much as dozens of statements.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, LiteralString, TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.sql import Composed

from store.errors import Unavailable

log = structlog.get_logger()

T = TypeVar("T")
Row = tuple[Any, ...]
Statement = LiteralString | Composed
Values = Sequence[object] | Mapping[str, object]

LINGER = 10.0
"""Seconds until connections beyond those that are always kept are closed."""
AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,  # an external cluster's standby, before its failover ends
    psycopg.errors.UndefinedTable,  # the node's first start: the schema is still being made
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedColumn,  # or made anew for a newer release
)


class Connections:
    """Runs work on one of at most `most` connections, all in autocommit.

    Raises Unavailable within `connect` seconds when no connection is to be had and within `statement`
    seconds when the server does not answer. `greet` runs on the first connection ever made. With
    `plan_once` a prepared statement is planned once, for any values, not five times for the values it is
    given first: for processes whose statements all ask by key.
    """

    def __init__(
        self,
        conninfo: str,
        greet: Callable[[AsyncConnection[Row]], Awaitable[None]],
        *,
        most: int = 5,
        keep: int = 2,
        linger: float = LINGER,
        connect: float = 0.5,
        statement: float = 5.0,
        plan_once: bool = False,
    ) -> None:
        self.conninfo = conninfo
        self.statement = statement
        self._greet: Callable[[AsyncConnection[Row]], Awaitable[None]] | None = greet
        self._keep, self._linger, self._connect, self._closed = keep, linger, connect, False
        self._plan_once = plan_once
        self._free = asyncio.Semaphore(most)
        self._idle: list[AsyncConnection[Row]] = []
        """The one used last is at the end, and used next."""
        self._trim: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def query(
        self, statement: Statement, values: Values = (), binary: bool = False, prepare: bool | None = None
    ) -> list[Row]:
        """One statement, a transaction of its own; its rows, if it gives any. `prepare` from the first time
        on, not from the fifth: for those that cost more to plan than to run."""

        async def work(connection: AsyncConnection[Row]) -> list[Row]:
            cursor = await connection.execute(statement, values, prepare=prepare, binary=binary)
            return await cursor.fetchall() if cursor.description else []

        return await self.run(work)

    async def run(
        self, work: Callable[[AsyncConnection[Row]], Coroutine[Any, Any, T]], seconds: float | None = None
    ) -> T:
        """Give `work` a connection for at most `seconds` (by default one statement's bound).

        An idle connection that proves broken is replaced, and `work` runs again: it must be harmless
        to repeat."""
        while True:
            async with self._lend() as (connection, fresh):
                try:
                    return await bounded(connection, work(connection), seconds or self.statement)
                except AWAY as problem:
                    if fresh or not connection.closed:
                        raise Unavailable(str(problem)) from problem

    async def connect(self) -> AsyncConnection[Row]:
        """A new connection outside the pool's count; the caller closes it."""
        try:
            async with asyncio.timeout(self._connect):
                connection = await AsyncConnection.connect(self.conninfo, autocommit=True)
        except (TimeoutError, *AWAY) as problem:
            raise Unavailable(str(problem) or "no connection in time") from problem
        if self._greet or self._plan_once:
            try:
                await bounded(connection, self._greeting(connection), self.statement)
            except AWAY as problem:
                await connection.close()
                raise Unavailable(str(problem)) from problem
            except BaseException:
                await connection.close()
                raise
            self._greet = None
        return connection

    async def close(self) -> None:
        """Close the idle connections; one in use is closed when it comes back."""
        self._closed = True
        if self._trim:
            self._trim.cancel()
        while self._idle:
            await self._idle.pop().close()

    async def _greeting(self, connection: AsyncConnection[Row]) -> None:
        if self._plan_once:
            await connection.execute("set plan_cache_mode = force_generic_plan")
        if self._greet:
            await self._greet(connection)

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[tuple[AsyncConnection[Row], bool]]:
        try:
            async with asyncio.timeout(2 * self._connect):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable("all database connections are busy") from None
        try:
            fresh = not self._idle
            connection = await self.connect() if fresh else self._idle.pop()
            try:
                yield connection, fresh
            finally:
                await self._take_back(connection)
        finally:
            self._free.release()

    async def _take_back(self, connection: AsyncConnection[Row]) -> None:
        usable = connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        if usable and not self._closed:
            self._idle.append(connection)
            if len(self._idle) > self._keep and not self._trim:
                self._trim = asyncio.get_running_loop().call_later(self._linger, self._close_surplus)
        else:
            if not usable and not connection.closed:
                sever(connection)
            await connection.close()

    def _close_surplus(self) -> None:
        self._trim = None
        while len(self._idle) > self._keep:
            task = asyncio.ensure_future(self._idle.pop(0).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def bounded(
    connection: AsyncConnection[Row],
    work: Coroutine[Any, Any, T],
    seconds: float,
    cut_after: float | None = None,
) -> T:
    """Await `work`, at most `seconds`; afterwards the connection is cut off and Unavailable raised.

    With `cut_after` the server is asked after so many seconds to cancel the statement. Its answer has
    arrived when this returns, so it cannot hit the next statement. The work runs in a task of its own,
    since psycopg answers a cancelled task by waiting up to 10 s for the server.
    """
    task = asyncio.ensure_future(work)
    try:
        if cut_after is not None and not await _ends(task, cut_after):
            with suppress(psycopg.Error):
                await connection.cancel_safe(timeout=1.0)
        if not await _ends(task, seconds):
            raise Unavailable(f"no answer within {seconds:g} s")
    except BaseException:
        sever(connection)
        await asyncio.wait({task}, timeout=1.0)
        if task.done() and not task.cancelled():
            task.exception()
        raise
    return task.result()


async def _ends(task: "asyncio.Future[T]", seconds: float) -> bool:
    done, _ = await asyncio.wait({task}, timeout=seconds)
    return bool(done)


def sever(connection: AsyncConnection[Row]) -> None:
    """Shut the socket, so that whoever waits on it gets an error at once."""
    with (
        suppress(OSError, psycopg.Error),
        socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as twin,
    ):
        twin.shutdown(socket.SHUT_RDWR)
