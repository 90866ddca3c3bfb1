"""Sign-in attempts: recorded on both disks before a PIN is compared, judged by store.lockout."""

from datetime import UTC, datetime
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection

from store import lockout
from store.connections import Connections, Row, bounded
from store.ids import HybridClock, uuid7
from store.lockout import SignInEvent
from store.model import Attempt, PinPolicy

log = structlog.get_logger()

RECORD = "select public.sign_in_event(%s, %s, %s::smallint, %s::bigint, %s, %s, %s)"
# From the last success or unlock before the given hlc on; those carry a time for people to read only.
EVENTS = """
select id, hlc, at, kind from public.sign_in_attempt
 where user_id = %(user)s and (kind <> 'begin' or at > %(since)s)
   and hlc > coalesce((select max(hlc) from public.sign_in_attempt
                        where user_id = %(user)s and kind <> 'begin' and hlc < %(before)s), 0)"""
NEWEST = 2**63 - 1


class PostgresSignIns:
    """The `SignIns` of store.api. `wait` bounds the wait for the peer's disk, in seconds."""

    def __init__(self, connections: Connections, clock: HybridClock, node: int, wait: float = 1.0) -> None:
        self._connections, self._clock = connections, clock
        self._node, self._wait = node, wait

    async def begin(self, user_id: UUID, policy: PinPolicy, now: datetime) -> Attempt:
        attempt = uuid7()
        if await self.locked_until(user_id, policy, now):
            return Attempt(attempt, user_id, allowed=False)  # not recorded: guessing on costs no disk
        hlc = await self._record(attempt, user_id, "begin", now, wait=self._wait)
        events = await self._events(user_id, policy, now, hlc)
        return Attempt(attempt, user_id, lockout.allowed(events, attempt, policy))

    async def succeeded(self, attempt: Attempt) -> None:
        await self._record(uuid7(), attempt.user_id, "success", datetime.now(UTC))

    async def locked_until(self, user_id: UUID, policy: PinPolicy, now: datetime) -> datetime | None:
        return lockout.locked_until(await self._events(user_id, policy, now), policy, now)

    async def unlock(self, user_id: UUID) -> None:
        await self._record(uuid7(), user_id, "unlock", datetime.now(UTC))

    async def _events(
        self, user_id: UUID, policy: PinPolicy, now: datetime, before: int = NEWEST
    ) -> list[SignInEvent]:
        values = {"user": user_id, "since": lockout.horizon(policy, now), "before": before}
        return [SignInEvent(*row) for row in await self._connections.query(EVENTS, values)]

    async def _record(
        self, identifier: UUID, user_id: UUID, kind: str, at: datetime, wait: float | None = None
    ) -> int:
        async def work(connection: AsyncConnection[Row]) -> int:
            # Cut before its commit proper, it is taken back: once more, without waiting.
            for cut_after in (wait, None):
                values = (identifier, user_id, self._node, self._clock.now(), at, kind, cut_after is not None)
                try:
                    statement = connection.execute(RECORD, values)
                    cursor = await bounded(connection, statement, self._connections.statement, cut_after)
                    break
                except psycopg.errors.QueryCanceled:
                    log.warning("A sign-in attempt was cut before its commit.")
            row = await cursor.fetchone()
            return int(row[0]) if row else 0

        hlc = await self._connections.run(work, self._connections.statement + (wait or 0))
        self._clock.observe(hlc)
        return hlc
