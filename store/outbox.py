"""Work for the Primary. Rows are replicated; tries and postponements are this node's own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from store.connections import Connections
from store.errors import Fenced
from store.ids import uuid7
from store.model import Notice, OutboxItem, Told, Work, clean

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
ALARM = "select public.write_alarm(%s, %s::smallint, %s::jsonb, %s)"
STANDING = """
select alarm from (
  select distinct on (payload->>'alarm') payload->>'alarm' as alarm, payload->>'state' as state
    from public.outbox where kind = 'alarm' and node = %s
   order by payload->>'alarm', created desc, id desc) last
 where state = 'raised' order by alarm"""
KINDS = [kind.value for kind in Work]


class PostgresOutbox:
    """The `Outbox` of store.api."""

    def __init__(self, connections: Connections, node: int) -> None:
        self._connections, self._node = connections, node

    async def fence(self, epoch: int) -> None:
        await self._connections.query("select public.epoch_holds(%s::bigint)", (epoch,))

    async def due(self, now: datetime, epoch: int, limit: int = 100) -> Sequence[OutboxItem]:
        rows = await self._connections.query(DUE, (epoch, KINDS, now, limit))
        if not rows[0][0]:
            raise Fenced(f"epoch {epoch} is over")
        return [OutboxItem(row[1], Work(row[2]), *row[3:]) for row in rows if row[1]]

    async def done(self, item: OutboxItem, result: str, epoch: int) -> None:
        [[held]] = await self._connections.query(FINISH, (uuid7(), item.id, self._node, result, epoch))
        if not held:
            raise Fenced(f"epoch {epoch} is over")

    async def postpone(self, item: OutboxItem, until: datetime, why: str) -> None:
        await self._connections.query(POSTPONE, (until, why.replace("\0", ""), item.id))

    async def pending(self) -> int:
        [[count]] = await self._connections.query("select count(*) from public.outbox_due")
        return int(count)

    async def waiting(self) -> Mapping[Work, tuple[int, int]]:
        rows = await self._connections.query(WAITING, (KINDS,))
        return {Work(kind): (count, tried) for kind, count, tried in rows}

    async def alarm(self, notice: Notice, now: datetime) -> Told:
        payload = json.dumps({key: clean(value) for key, value in asdict(notice).items()})
        [[told]] = await self._connections.query(ALARM, (uuid7(), self._node, payload, now))
        return Told(told)

    async def standing(self) -> Sequence[str]:
        return [name for (name,) in await self._connections.query(STANDING, (self._node,))]

    async def next_due(self) -> datetime | None:
        [[moment]] = await self._connections.query(NEXT_DUE, (KINDS,))
        return moment if isinstance(moment, datetime) else None
