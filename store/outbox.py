"""Work for the Primary. Rows are replicated; tries and postponements are this node's own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from store.barrier import Barrier
from store.connections import Connections
from store.errors import Fenced, NotYet
from store.ids import uuid7
from store.model import NewWork, Notice, OutboxItem, Told, Waiting, Work, clean

log = structlog.get_logger()

# Kinds that a newer release wrote wait for a node that knows them.
# One statement: the epoch is shown and checked, then the work is read (no row of work: id is null).
DUE = """
select h.holds, o.id, o.kind, o.mailbox_id, o.message_id, o.created, o.attempts, o.payload::text
  from (select public.epoch_holds(%s) as holds) h
  left join lateral (
    select * from public.outbox_due
     where kind = any(%s) and not_before <= %s order by created, id limit %s) o on h.holds
 order by o.created, o.id"""
FINISH = "select public.finish_work(%s, %s, %s::smallint, %s, %s::bigint)"
POSTPONE = """
update public.outbox_open set attempts = attempts + 1, not_before = %s, why = left(%s, 500) where id = %s"""
NEXT_DUE = "select min(not_before) from public.outbox_due where not_before > '-infinity' and kind = any(%s)"
WAITING = """
select kind, count(*), count(*) filter (where attempts > 0)
  from public.outbox_due where kind = any(%s) group by 1"""
ADD = "select public.add_work(%s::jsonb, %s::smallint)"
LISTED = """
select id, kind, mailbox_id, message_id, created, attempts, payload::text,
       case when not_before > '-infinity' then not_before end, why
  from public.outbox_due where kind = any(%s) order by created, id limit %s"""
MESSAGE_OF = "select message_id from public.outbox where id = %s"
GET = """
select id, kind, mailbox_id, message_id, created, 0, payload::text
  from public.outbox where id = %s and kind = any(%s)"""
OWING = """
select id, message_id from public.outbox_due
 where kind = %(kind)s and message_id is not null
   and (%(message)s::uuid is null or message_id = %(message)s::uuid)"""
RESULT = "select result from public.outbox_done where outbox_id = %s order by at, id limit 1"
DROP = "select public.drop_work(%s, %s, %s::smallint, %s)"
HURRY = """
with hurried as (
  update public.outbox_open set not_before = '-infinity' where id = any(%s) and attempts > 0 returning 1)
select count(*), pg_notify('vm', 'outbox') from hurried"""
ALARM = "select public.write_alarm(%s, %s::smallint, %s::jsonb, %s)"
STANDING = """
select alarm from (
  select distinct on (payload->>'alarm') payload->>'alarm' as alarm, payload->>'state' as state
    from public.outbox where kind = 'alarm' and node = %s
   order by payload->>'alarm', created desc, id desc) last
 where state = 'raised' order by alarm"""
KINDS = [kind.value for kind in Work]


class PostgresOutbox:
    """The `Outbox` of store.api. `replicated` is False on an external PostgreSQL that the nodes share."""

    def __init__(self, connections: Connections, node: int, replicated: bool) -> None:
        self._connections, self._node = connections, node
        self._barrier = Barrier(connections) if replicated else None

    async def fence(self, epoch: int) -> None:
        await self._connections.query("select public.epoch_holds(%s::bigint)", (epoch,))

    async def due(self, now: datetime, epoch: int, limit: int = 100) -> Sequence[OutboxItem]:
        rows = await self._connections.query(DUE, (epoch, KINDS, now, limit))
        if not rows[0][0]:
            raise Fenced(f"epoch {epoch} is over")
        return [OutboxItem(row[1], Work(row[2]), *row[3:]) for row in rows if row[1]]

    async def done(self, item: OutboxItem, result: str, epoch: int, *, wait: float = 0.0) -> None:
        [[held]] = await self._connections.query(FINISH, (uuid7(), item.id, self._node, result, epoch))
        if not held:
            raise Fenced(f"epoch {epoch} is over")
        if wait and self._barrier and not await self._barrier.reached(wait):
            log.info("the other node does not know yet that work was done", id=str(item.id), waited=wait)

    async def postpone(self, item: OutboxItem, until: datetime, why: str) -> None:
        await self._connections.query(POSTPONE, (until, why.replace("\0", ""), item.id))

    async def pending(self) -> int:
        [[count]] = await self._connections.query("select count(*) from public.outbox_due")
        return int(count)

    async def waiting(self) -> Mapping[Work, tuple[int, int]]:
        rows = await self._connections.query(WAITING, (KINDS,))
        return {Work(kind): (count, tried) for kind, count, tried in rows}

    async def add(self, work: Sequence[NewWork]) -> None:
        rows = json.dumps([_row(each) for each in work])
        [[written]] = await self._connections.query(ADD, (rows, self._node))
        if not written:
            raise NotYet("the other node's release does not take work of this kind yet")

    async def listed(self, limit: int = 1000) -> Sequence[Waiting]:
        rows = await self._connections.query(LISTED, (KINDS, limit))
        return [Waiting(OutboxItem(row[0], Work(row[1]), *row[2:7]), row[7], row[8]) for row in rows]

    async def message_of(self, item_id: UUID) -> UUID | None:
        rows = await self._connections.query(MESSAGE_OF, (item_id,))
        return rows[0][0] if rows else None

    async def get(self, item_id: UUID) -> OutboxItem | None:
        rows = await self._connections.query(GET, (item_id, KINDS))
        return OutboxItem(rows[0][0], Work(rows[0][1]), *rows[0][2:]) if rows else None

    async def owing(self, kind: Work, message_id: UUID | None = None) -> Mapping[UUID, UUID]:
        rows = await self._connections.query(OWING, {"kind": kind.value, "message": message_id})
        return {row[0]: row[1] for row in rows}

    async def result(self, item_id: UUID) -> str | None:
        rows = await self._connections.query(RESULT, (item_id,))
        return rows[0][0] if rows else None

    async def drop(self, item_id: UUID, result: str) -> bool:
        values = (uuid7(), item_id, self._node, clean(result))
        [[dropped]] = await self._connections.query(DROP, values)
        return bool(dropped)

    async def hurry(self, items: Sequence[UUID]) -> int:
        [[count, _]] = await self._connections.query(HURRY, (list(items),))
        return int(count)

    async def alarm(self, notice: Notice, now: datetime) -> Told:
        payload = json.dumps({key: clean(value) for key, value in asdict(notice).items()})
        [[told]] = await self._connections.query(ALARM, (uuid7(), self._node, payload, now))
        return Told(told)

    async def standing(self) -> Sequence[str]:
        return [name for (name,) in await self._connections.query(STANDING, (self._node,))]

    async def next_due(self) -> datetime | None:
        [[moment]] = await self._connections.query(NEXT_DUE, (KINDS,))
        return moment if isinstance(moment, datetime) else None


def _row(work: NewWork) -> dict[str, Any]:
    payload = json.loads(clean(work.payload))
    if work.not_before:
        payload["not_before"] = work.not_before.isoformat()
    return {
        "id": str(work.id),
        "kind": work.kind.value,
        "mailbox_id": str(work.mailbox_id),
        "message_id": work.message_id and str(work.message_id),
        "payload": payload,
    }
