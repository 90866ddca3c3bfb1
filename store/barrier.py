"""Waits until the peer has on disk what this node has committed so far.

A transaction of its own, which writes nothing but a mark in the log: its commit waits for the peer as that
of a deposit does, and everything committed before lies in front of it. So what is to be confirmed can commit
locally, with its notifications and its locks, of which no waiting transaction may have any (a deadlock
across nodes which PostgreSQL cannot see). Those who come while one waits share the next: however many
lanes finish work at once, a peer that has hung takes one connection from the others.
"""

import asyncio

import psycopg
from psycopg import AsyncConnection

from store.connections import Connections, Row, bounded
from store.errors import Unavailable

MARK = """
select set_config('synchronous_commit', 'on', true),
       case when current_setting('synchronous_standby_names') <> ''
            then pg_logical_emit_message(true, 'vm', '') end"""
"""Nothing is written, and so nothing waited for, while the role manager has the switch off."""


class Barrier:
    """One for the process."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._running: asyncio.Task[bool] | None = None
        self._next: asyncio.Task[bool] | None = None

    async def reached(self, seconds: float) -> bool:
        """True when the peer has all that was committed before the call, or need not have it (the switch is
        off); False when it has not said so within `seconds`. Raises nothing but cancellation."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running, seconds))
        mine = self._next
        done, _ = await asyncio.wait({mine}, timeout=seconds)
        return bool(done) and mine.result()

    async def _after(self, before: "asyncio.Task[bool] | None", seconds: float) -> bool:
        if before:
            await asyncio.wait({before})
        self._running, self._next = self._next, None
        try:
            return await self._connections.run(
                lambda connection: self._wait(connection, seconds), self._connections.statement + seconds
            )
        except (Unavailable, psycopg.Error):
            return False

    async def _wait(self, connection: AsyncConnection[Row], seconds: float) -> bool:
        cut: list[str] = []
        connection.add_notice_handler(note := lambda said: cut.append(said.message_primary or ""))
        try:
            marking = connection.execute(MARK)
            await bounded(connection, marking, self._connections.statement, cut_after=seconds)
        finally:
            connection.remove_notice_handler(note)
        return not cut
