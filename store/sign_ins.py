"""Sign-in attempts: recorded on both disks before a PIN is compared, judged by store.lockout."""

from datetime import UTC, datetime
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection

from store import lockout
from store.connections import Connections, Row, bounded
from store.glance import GLANCE, events, glance, values
from store.ids import HybridClock, uuid7
from store.signing_in import Attempt, Look, PinPolicy

log = structlog.get_logger()

RECORD = "select public.sign_in_event(%s, %s, %s::smallint, %s::bigint, %s, %s, %s)"
NEWEST = 2**63 - 1


class PostgresSignIns:
    """The `SignIns` of store.api. `wait` bounds the wait for the peer's disk, in seconds."""

    def __init__(self, connections: Connections, clock: HybridClock, node: int, wait: float = 1.0) -> None:
        self._connections, self._clock = connections, clock
        self._node, self._wait = node, wait

    async def look(self, user_id: UUID, of: UUID, policy: PinPolicy, now: datetime) -> Look:
        rows = await self._glance(user_id, of, policy, now)
        locked = lockout.locked_until(events(rows), policy, now)
        return Look(glance(rows), locked is None)

    async def begin(
        self,
        user_id: UUID,
        policy: PinPolicy,
        now: datetime,
        *,
        of: UUID | None = None,
        look: Look | None = None,
    ) -> Attempt:
        attempt = uuid7()
        if not (look and look.open) and await self.locked_until(user_id, policy, now):
            return Attempt(attempt, user_id, allowed=False)  # not recorded: guessing on costs no disk
        hlc = await self._record(attempt, user_id, "begin", now, wait=self._wait)
        rows = await self._glance(user_id, of or user_id, policy, now, hlc)  # only after the commit
        if not lockout.allowed(events(rows), attempt, policy):
            return Attempt(attempt, user_id, allowed=False)
        return Attempt(attempt, user_id, True, glance(rows) if of else None)

    async def succeeded(self, attempt: Attempt) -> None:
        await self._record(uuid7(), attempt.user_id, "success", datetime.now(UTC))

    async def locked_until(self, user_id: UUID, policy: PinPolicy, now: datetime) -> datetime | None:
        rows = await self._glance(user_id, user_id, policy, now)
        return lockout.locked_until(events(rows), policy, now)

    async def unlock(self, user_id: UUID) -> None:
        await self._record(uuid7(), user_id, "unlock", datetime.now(UTC))

    async def _glance(
        self, counted: UUID, user: UUID, policy: PinPolicy, now: datetime, before: int = NEWEST
    ) -> list[Row]:
        wanted = values(counted, user, lockout.horizon(policy, now), before)
        return await self._connections.query(GLANCE, wanted, prepare=True)

    async def _record(
        self, identifier: UUID, user_id: UUID, kind: str, at: datetime, wait: float | None = None
    ) -> int:
        async def work(connection: AsyncConnection[Row]) -> int:
            # Cut before its commit proper, it is taken back: once more, without waiting.
            for cut_after in (wait, None):
                row = (identifier, user_id, self._node, self._clock.now(), at, kind, cut_after is not None)
                try:
                    statement = connection.execute(RECORD, row, prepare=True)
                    cursor = await bounded(connection, statement, self._connections.statement, cut_after)
                    break
                except psycopg.errors.QueryCanceled:
                    log.warning("A sign-in attempt was cut before its commit.")
            found = await cursor.fetchone()
            return int(found[0]) if found else 0

        hlc = await self._connections.run(work, self._connections.statement + (wait or 0))
        self._clock.observe(hlc)
        return hlc
