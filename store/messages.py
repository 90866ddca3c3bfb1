"""Messages: kept once on both nodes, never changed; what happens to them are events."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection

from store import dispatch
from store.blob import Blob
from store.connections import Connections, Row, bounded
from store.envelope import envelope, written
from store.errors import NotFound, NotYet, Unavailable
from store.ids import HybridClock, uuid7
from store.model import (
    AGES,
    FIRST,
    UNLIT,
    Counts,
    Deposit,
    Envelope,
    Folder,
    Mark,
    Message,
    NewMessage,
    Ripening,
    clean,
    copy_id,
)

log = structlog.get_logger()

PLAIN = Envelope()

DEPOSIT = """
select repeated, demanded from public.deposit(%s, %s, %s::smallint, %s, %s, %s, %s, %s, %s, %s, %b,
  %s, %s, %s, %s)"""
# Also asks whether the switch is still on: when the role manager turns it off, waiting commits return
# without a notice and without the peer's confirmation.
AFTER = """
select current_setting('synchronous_standby_names') <> '',
       pg_notify('vm', 'message'), pg_notify('vm', 'outbox')"""
SINGLE = "insert into public.single_copy select unnest(%s::uuid[]), null on conflict do nothing"
SEND = """
select repeated, demanded from public.send(%s, %s, %s, %s, %s::smallint, %s, %s, %s, %s, %s, %s, %s, %b,
  %s::jsonb, %s, %s, %s, %s)"""
LISTED = (
    """
select id, mailbox_id, caller, caller_name, recorded, seconds, urgent, cut_off, folder, node,
       details, deliver_at, """
    + dispatch.ACCEPTED
    + """
  from public.message_listed m
 where """
    + dispatch.HELD
)
WHOLE, PIECE = 4 * 2**20, 2**20
"""Bytes of audio that go along with their statement; and, of more, at once. The library that talks to the
server keeps a copy of what it sends, and a mail in quarantine has tens of megabytes."""
IN_PIECES = "(select string_agg(data, ''::bytea order by n) from pg_temp.piece)"
ROOM = "create temporary table if not exists piece (n integer, data bytea storage external)"
EMPTY = "truncate pg_temp.piece"
BRING = "insert into pg_temp.piece values (%s, %b)"
SLOW, FAST = 4e6, 16e6
"""Bytes a second that a deposit may take as its time: until it is given up, and until the peer is no longer
waited for."""
IN_MAILBOX = (
    LISTED
    + """
   and mailbox_id = %s and folder = any(%s) and (deliver_at is null or deliver_at <= now())
 order by array_position(array['new', 'saved', 'deleted'], folder), urgent desc, recorded, id"""
)
MARK = "select public.mark(%s, %s, %s::smallint, %s::bigint, %s, %s)"
COUNTS = (
    """
select count(*) filter (where s.is_read is not true),
       count(*) filter (where s.is_read),
       count(*) filter (where m.urgent and s.is_read is not true),
       count(*) filter (where m.urgent and s.is_read)
  from public.message m left join public.message_state s on s.message_id = m.id
 where m.mailbox_id = %s and s.deleted is not true and s.purged is not true
   and (m.deliver_at is null or m.deliver_at <= now()) and m.details->>'kind' is distinct from 'broadcast'
   and """
    + dispatch.HELD
)
SIZE = (
    """
select coalesce(sum(octet_length(coalesce(h.audio, m.audio))), 0)::bigint
  from public.message m left join public.message_state s on s.message_id = m.id
  left join public.message h on h.id = m.audio_of
 where m.mailbox_id = %s and s.purged is not true and """
    + dispatch.HELD
)
AUDIO = """
select coalesce(h.audio, m.audio)
  from public.message m left join public.message_state s on s.message_id = m.id
  left join public.message h on h.id = m.audio_of
 where m.id = %s and s.purged is not true"""
# When a message came to where it is. `since` of the view forgets that one was restored.
SINCE = "greatest(m.since, (select del_hlc from public.message_state where message_id = m.id))"
AGES_NOW = f"""(m.deliver_at is null or m.deliver_at <= now())
   and (m.folder <> 'saved' or m.details->>'dispatch' is null or {dispatch.ACCEPTED})"""
# A few mailboxes at a time: over all messages it would take the longer the more there are.
AGED = f"""{LISTED}
   and mailbox_id = any(%s) and folder = %s and since < %s and {SINCE} < %s and {AGES_NOW}
 order by since, id limit %s"""
NEXT = "(select mailbox_id from public.message where mailbox_id > {} order by mailbox_id limit 1)"
MAILBOXES = f"""
with recursive box (id) as (
  {NEXT.format("%s")} union all select {NEXT.format("box.id")} from box where id is not null)
select id from box where id is not null limit %s"""
# Users are asked for, not messages: so it is little at a time, however many there are.
RIPENING = f"""
select b.id, count(*) filter (where m.folder = 'saved'), min({SINCE}) filter (where m.folder = 'saved'),
       count(*) filter (where m.folder = 'deleted'), min({SINCE}) filter (where m.folder = 'deleted')
  from (select id from public.user_account
         where mail <> '' and not deleted and id > %s order by id limit %s) b
  left join public.message_listed m on m.mailbox_id = b.id and {AGES_NOW} and {dispatch.HELD}
   and {SINCE} < case m.folder when 'saved' then %s::bigint when 'deleted' then %s::bigint end
 group by b.id order by b.id"""
FUTURE = (
    LISTED
    + """
   and details->>'sender' = %s and deliver_at > %s and folder = 'new' order by deliver_at, id"""
)


class PostgresMessages:
    """The `Messages` of store.api. `replicated` is False on an external PostgreSQL that the nodes share."""

    def __init__(self, connections: Connections, clock: HybridClock, node: int, replicated: bool) -> None:
        self._connections, self._clock = connections, clock
        self._node, self._replicated = node, replicated

    async def deposit(self, message: NewMessage, audio: Blob, *, wait: float = 1.0) -> Deposit:
        if message.envelope != PLAIN:
            kept = await self._send(message, [(message.id, message.mailbox_id)], audio, wait)
            if kept:
                return kept
            log.warning(
                "A message lost its envelope: the other node's release is older.", message=str(message.id)
            )
        lamp, mail = uuid7(), uuid7()
        values = _values(message, self._node)
        kept = await self._deposited(DEPOSIT, values, audio, (lamp, mail), [message.id], wait)
        assert kept, "deposit() always says what it did"
        return kept

    async def send(
        self, message: NewMessage, mailboxes: Sequence[UUID], audio: Blob, *, wait: float = 1.0
    ) -> Deposit:
        copies = [(copy_id(message.id, box), box) for box in dict.fromkeys(mailboxes)]
        kept = await self._send(message, copies, audio, wait)
        if kept is None:
            raise NotYet("the other node's release cannot keep messages of users yet")
        return replace(kept, id=message.id)

    async def _send(
        self, message: NewMessage, copies: Sequence[tuple[UUID, UUID]], audio: Blob, wait: float
    ) -> Deposit | None:
        """None: not before both nodes have the schema for it."""
        ids, boxes = [each[0] for each in copies], [each[1] for each in copies]
        lamps, mails = [[uuid7() for _ in copies] for _ in range(2)]
        _, _, *rest = _values(message, self._node)
        envelope = message.envelope
        lit = envelope.kind not in UNLIT
        about, then = (ids, boxes, lamps, mails, *rest), (written(envelope), envelope.deliver_at, lit)
        return await self._deposited(SEND, about, audio, then, ids, wait)

    async def _deposited(
        self,
        statement: str,
        about: tuple[object, ...],
        audio: Blob,
        then: tuple[object, ...],
        ids: Sequence[UUID],
        wait: float,
    ) -> Deposit | None:
        """`about` and `then` are the statement's values before and after the audio."""
        large = len(audio) > WHOLE
        values = (*about, *(() if large else (audio[:],)), *then)
        statement = statement.replace("%b", IN_PIECES) if large else statement
        waits_for = wait + large * len(audio) / FAST
        within = self._connections.statement + large * len(audio) / SLOW

        async def work(connection: AsyncConnection[Row]) -> Deposit | None:
            if large:
                await _brought(connection, audio)
            # A cut that comes before the commit proper takes all back: once more, without waiting.
            for waits in (True, False):
                whole, cut = (*values, waits, self._replicated), waits_for if waits else None
                try:
                    kept = await self._commit(connection, statement, whole, ids, within, cut)
                except psycopg.errors.QueryCanceled:
                    log.warning("A deposit was cut before its commit.", message=str(ids[0]))
                    continue
                if large:
                    await connection.execute(EMPTY)
                return kept
            raise Unavailable("the deposit was cancelled twice")

        return await self._connections.run(work, within + waits_for)

    async def size(self, mailbox_id: UUID) -> int:
        [[size]] = await self._connections.query(SIZE, (mailbox_id,))
        return int(size)

    async def mailboxes(self, after: UUID = FIRST, most: int = 500) -> Sequence[UUID]:
        return [row[0] for row in await self._connections.query(MAILBOXES, (after, most))]

    async def aged(
        self, mark: Mark, before: datetime, mailboxes: Sequence[UUID], limit: int = 1000
    ) -> Sequence[Message]:
        values = (list(mailboxes), AGES[mark].value, _micros(before), _micros(before), limit)
        return [_message(row) for row in await self._connections.query(AGED, values)]

    async def ripening(
        self, saved: datetime | None, deleted: datetime | None, after: UUID = FIRST, most: int = 1000
    ) -> Sequence[Ripening]:
        values = (after, most, saved and _micros(saved), deleted and _micros(deleted))
        rows = await self._connections.query(RIPENING, values)
        return [Ripening(row[0], row[1], _moment(row[2]), row[3], _moment(row[4])) for row in rows]

    async def sent(self, sender_id: UUID, after: datetime) -> Sequence[Message]:
        return [_message(row) for row in await self._connections.query(FUTURE, (str(sender_id), after))]

    async def listing(self, mailbox_id: UUID, *folders: Folder) -> Sequence[Message]:
        wanted = [folder.value for folder in folders or Folder]
        return [_message(row) for row in await self._connections.query(IN_MAILBOX, (mailbox_id, wanted))]

    async def get(self, message_id: UUID) -> Message | None:
        rows = await self._connections.query(LISTED + " and id = %s", (message_id,))
        return _message(rows[0]) if rows else None

    async def audio(self, message_id: UUID) -> bytes:
        rows = await self._connections.query(AUDIO, (message_id,), binary=True)
        if not rows:
            raise NotFound(f"no message {message_id}")
        return bytes(rows[0][0])

    async def mark(self, message_id: UUID, mark: Mark) -> None:
        values = (uuid7(), message_id, self._node, self._clock.now(), mark.value, uuid7())
        [[hlc]] = await self._connections.query(MARK, values)
        if hlc is None:
            raise NotFound(f"no message {message_id}")
        if hlc < 0:
            raise NotYet("the other node's release cannot purge messages yet")
        self._clock.observe(hlc)

    async def counts(self, mailbox_id: UUID) -> Counts:
        [row] = await self._connections.query(COUNTS, (mailbox_id,))
        return Counts(*row)

    async def all_ids(self) -> Sequence[UUID]:
        return [row[0] for row in await self._connections.query("select id from public.message order by id")]

    async def _commit(
        self,
        connection: AsyncConnection[Row],
        statement: str,
        values: Sequence[object],
        ids: Sequence[UUID],
        within: float,
        wait: float | None,
    ) -> Deposit | None:
        """One deposit, its wait for the peer cut after `wait` seconds, and the news of it. None: the
        statement kept nothing, since the other node is older."""
        cut: list[str] = []

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            if "synchronous replication" in (diagnostic.message_primary or ""):
                cut.append(diagnostic.message_primary or "")

        connection.add_notice_handler(note)
        try:
            cursor = await bounded(connection, connection.execute(statement, values), within, wait)
            repeated, demanded = await cursor.fetchone() or (False, False)
        finally:
            connection.remove_notice_handler(note)
        if repeated is None:
            return None
        [still_on, *_] = await (await connection.execute(AFTER)).fetchone() or (False,)
        confirmed = demanded and still_on and not cut
        if self._replicated and demanded and not confirmed:
            await connection.execute(SINGLE, (list(ids),))
        return Deposit(ids[0], 2 if confirmed else 1, repeated)


async def _brought(connection: AsyncConnection[Row], audio: Blob) -> None:
    """The pieces, in a table of this connection's own: neither logged nor replicated, and gone with it."""
    await connection.execute(ROOM)
    await connection.execute(EMPTY)
    for number, at in enumerate(range(0, len(audio), PIECE)):
        piece = await asyncio.to_thread(audio.__getitem__, slice(at, at + PIECE))
        await connection.execute(BRING, (number, piece))


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


def _micros(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1_000_000, UTC)


def _message(row: Row) -> Message:
    return Message(*(*row[:8], Folder(row[8]), row[9], envelope(row[10], row[11]), row[12]))
