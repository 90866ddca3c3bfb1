"""Messages: kept once on both nodes, never changed; what happens to them are events."""

from collections.abc import Sequence
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection

from store.connections import Connections, Row, bounded
from store.errors import NotFound, Unavailable
from store.ids import HybridClock, uuid7
from store.model import Counts, Deposit, Folder, Mark, Message, NewMessage, clean

log = structlog.get_logger()

DEPOSIT = """
select repeated, demanded from public.deposit(%s, %s, %s::smallint, %s, %s, %s, %s, %s, %s, %s, %b,
  %s, %s, %s, %s)"""
# Also asks whether the switch is still on: when the role manager turns it off, waiting commits return
# without a notice and without the peer's confirmation.
AFTER = """
select current_setting('synchronous_standby_names') <> '',
       pg_notify('vm', 'message'), pg_notify('vm', 'outbox')"""
SINGLE = "insert into public.single_copy values (%s, null) on conflict do nothing"
LISTED = """
select id, mailbox_id, caller, caller_name, recorded, seconds, urgent, cut_off, folder, node
  from public.message_listed"""
IN_MAILBOX = (
    LISTED
    + """
 where mailbox_id = %s and folder = any(%s)
 order by array_position(array['new', 'saved', 'deleted'], folder), urgent desc, recorded, id"""
)
MARK = "select public.mark(%s, %s, %s::smallint, %s::bigint, %s, %s)"
COUNTS = """
select count(*) filter (where s.is_read is not true),
       count(*) filter (where s.is_read),
       count(*) filter (where m.urgent and s.is_read is not true),
       count(*) filter (where m.urgent and s.is_read)
  from public.message m left join public.message_state s on s.message_id = m.id
 where m.mailbox_id = %s and s.deleted is not true"""


class PostgresMessages:
    """The `Messages` of store.api. `replicated` is False on an external PostgreSQL that the nodes share."""

    def __init__(self, connections: Connections, clock: HybridClock, node: int, replicated: bool) -> None:
        self._connections, self._clock = connections, clock
        self._node, self._replicated = node, replicated

    async def deposit(self, message: NewMessage, audio: bytes, *, wait: float = 1.0) -> Deposit:
        lamp, mail = uuid7(), uuid7()

        async def work(connection: AsyncConnection[Row]) -> Deposit:
            # A cut that comes before the commit proper takes all back: once more, without waiting.
            for waits in (True, False):
                values = (*_values(message, self._node), audio, lamp, mail, waits, self._replicated)
                try:
                    return await self._commit(connection, values, wait if waits else None)
                except psycopg.errors.QueryCanceled:
                    log.warning("A deposit was cut before its commit.", message=str(message.id))
            raise Unavailable("the deposit was cancelled twice")

        return await self._connections.run(work, self._connections.statement + wait)

    async def listing(self, mailbox_id: UUID, *folders: Folder) -> Sequence[Message]:
        wanted = [folder.value for folder in folders or Folder]
        return [_message(row) for row in await self._connections.query(IN_MAILBOX, (mailbox_id, wanted))]

    async def get(self, message_id: UUID) -> Message | None:
        rows = await self._connections.query(LISTED + " where id = %s", (message_id,))
        return _message(rows[0]) if rows else None

    async def audio(self, message_id: UUID) -> bytes:
        statement = "select audio from public.message where id = %s"
        rows = await self._connections.query(statement, (message_id,), binary=True)
        if not rows:
            raise NotFound(f"no message {message_id}")
        return bytes(rows[0][0])

    async def mark(self, message_id: UUID, mark: Mark) -> None:
        values = (uuid7(), message_id, self._node, self._clock.now(), mark.value, uuid7())
        [[hlc]] = await self._connections.query(MARK, values)
        if hlc is None:
            raise NotFound(f"no message {message_id}")
        self._clock.observe(hlc)

    async def counts(self, mailbox_id: UUID) -> Counts:
        [row] = await self._connections.query(COUNTS, (mailbox_id,))
        return Counts(*row)

    async def all_ids(self) -> Sequence[UUID]:
        return [row[0] for row in await self._connections.query("select id from public.message order by id")]

    async def _commit(
        self, connection: AsyncConnection[Row], values: Sequence[object], wait: float | None
    ) -> Deposit:
        """One deposit, its wait for the peer cut after `wait` seconds, and the news of it."""
        cut: list[str] = []

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            if "synchronous replication" in (diagnostic.message_primary or ""):
                cut.append(diagnostic.message_primary or "")

        connection.add_notice_handler(note)
        try:
            cursor = await bounded(
                connection, connection.execute(DEPOSIT, values), self._connections.statement, wait
            )
            repeated, demanded = await cursor.fetchone() or (False, False)
        finally:
            connection.remove_notice_handler(note)
        [still_on, *_] = await (await connection.execute(AFTER)).fetchone() or (False,)
        confirmed = demanded and still_on and not cut
        if self._replicated and demanded and not confirmed:
            await connection.execute(SINGLE, (values[0],))
        return Deposit(values[0], 2 if confirmed else 1, repeated)  # type: ignore[arg-type]


def _values(message: NewMessage, node: int) -> tuple[object, ...]:
    m = message
    return (
        m.id,
        m.mailbox_id,
        node,
        clean(m.caller),
        clean(m.caller_name),
        m.recorded,
        m.seconds,
        m.urgent,
        m.cut_off,
        clean(m.call_id),
    )


def _message(row: Row) -> Message:
    return Message(*(*row[:8], Folder(row[8]), row[9]))
