"""The store on PostgreSQL: this node's own, or an external one that the nodes share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import structlog
from psycopg import AsyncConnection

from store.connections import AWAY, Connections, Row
from store.errors import StoreError, Unavailable
from store.ids import HybridClock
from store.messages import PostgresMessages
from store.outbox import PostgresOutbox
from store.postgres_dispatch import PostgresDispatches
from store.settings import PostgresSettings
from store.sign_ins import PostgresSignIns
from store.users import PostgresUsers

log = structlog.get_logger()

QUIET = 20.0
"""Seconds without news after which the listening connection is tried."""
RECONNECT = (0.1, 0.2, 0.5, 1.0)
"""Seconds between tries to listen again; the last is repeated."""

GREET = """
insert into public.node_identity (node) values (%s) on conflict (one) do nothing"""
NEWEST = """
select (select node from public.node_identity),
       greatest((select max(hlc) from public.user_account), (select max(hlc) from public.greeting),
                (select max(hlc) from public.setting), 0)"""

KEPT = 4
"""Connections that stay open for good: a worker's calls are 4, and may all sign in at the same moment."""


class PostgresStore:
    """The `Store` of store.api. Opened by `PostgresStore.open`; usable in one event loop."""

    def __init__(
        self, conninfo: str, node: int, replicated: bool, connections: int, plan_once: bool = False
    ) -> None:
        self.node = node
        self._replicated = replicated
        self._clock = HybridClock()
        self._connections = Connections(
            conninfo, self._greet, most=connections, keep=min(connections, KEPT), plan_once=plan_once
        )
        self.users = PostgresUsers(self._connections, self._clock, node)
        self.dispatches = PostgresDispatches(self._connections, self._clock, node)
        self.settings = PostgresSettings(self._connections, self._clock, node)
        self.messages = PostgresMessages(self._connections, self._clock, node, replicated)
        self.sign_ins = PostgresSignIns(self._connections, self._clock, node)
        self.outbox = PostgresOutbox(self._connections, node, replicated)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        conninfo: str,
        node: int = 1,
        *,
        replicated: bool = True,
        connections: int = 5,
        plan_once: bool = False,
    ) -> AsyncIterator[Self]:
        """Does not connect yet, so it opens although the database is away: calls then raise Unavailable.

        `conninfo` is libpq's (key=value or URI). `replicated` is False on one external PostgreSQL that
        all nodes share. At most `connections` are used at a time, one more by `changes()`. `plan_once`: see
        Connections. A call raises StoreError when the database belongs to another node.
        """
        store = cls(conninfo, node, replicated, connections, plan_once)
        try:
            yield store
        finally:
            await store._connections.close()

    async def agree(self, schema: int) -> int:
        [[agreed]] = await self._connections.query("select public.agree(%s)", (schema,))
        return int(agreed)

    async def changes(self) -> AsyncIterator[str]:
        """See store.api."""
        tries = 0
        while True:
            try:
                connection = await self._connections.connect()
                async with connection:
                    await connection.execute("listen vm")
                    tries = 0
                    yield ""
                    while True:
                        for table in sorted(await _news(connection)):
                            yield table
            except (Unavailable, *AWAY) as problem:
                if tries == 0:
                    log.warning("The database tells no changes.", problem=str(problem))
                await asyncio.sleep(RECONNECT[min(tries, len(RECONNECT) - 1)])
                tries += 1

    async def _greet(self, connection: AsyncConnection[Row]) -> None:
        """On the first connection: whose database is it, and how far are its clocks?"""
        if self._replicated:
            await connection.execute(GREET, (self.node,))
        row = await (await connection.execute(NEWEST)).fetchone()
        if row and self._replicated and row[0] != self.node:
            raise StoreError(f"this database belongs to node {row[0]}, not {self.node}")
        self._clock.observe(row[1] if row else 0)


async def _news(connection: AsyncConnection[Row]) -> set[str]:
    """Tables that changed: waits for one, then takes all that has gathered. Empty after a quiet while."""
    tables = {notice.payload async for notice in connection.notifies(timeout=QUIET, stop_after=1)}
    tables |= {notice.payload async for notice in connection.notifies(timeout=0)}
    if not tables:
        await connection.execute("select 1")
    return tables
