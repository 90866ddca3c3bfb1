"""Answers to dispatch messages on PostgreSQL."""

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from psycopg import AsyncConnection

from store import dispatch
from store.connections import Connections, Row
from store.dispatch import DISPATCH, Dispatch, order
from store.errors import NotFound, NotYet
from store.features import Feature
from store.ids import HybridClock, uuid7
from store.model import Answer, Answered, Outcome, setting_id

GROUP = "select mailbox_id, details->>'dispatch' from public.message_listed where id = %s"
FORGET = """
select public.put_setting(id, owner, kind, name, '{}', true, %s::bigint, %s::smallint) from public.setting
 where owner = %s and kind = 'dispatch' and not deleted"""


class PostgresDispatches:
    """The `Dispatches` of store.api."""

    def __init__(self, connections: Connections, clock: HybridClock, node: int) -> None:
        self._connections, self._clock, self._node = connections, clock, node

    async def answer(self, message_id: UUID, answer: Answer) -> Outcome:
        async def work(connection: AsyncConnection[Row]) -> tuple[Outcome, int]:
            async with connection.transaction():
                return await self._answer(connection, message_id, answer)

        done, hlc = await self._connections.run(work)
        self._clock.observe(hlc)
        return done

    async def _answer(
        self, connection: AsyncConnection[Row], message_id: UUID, answer: Answer
    ) -> tuple[Outcome, int]:
        """Also the latest clock that was seen. Two who answer on one node do it one after the other."""
        found = await (await connection.execute(GROUP, (message_id,))).fetchone()
        if not found or not found[1]:
            raise NotFound(f"no dispatch message {message_id}")
        mailbox, group = found[0], UUID(found[1])
        await connection.execute(dispatch.LOCK, (str(group),))
        copies = await (await connection.execute(dispatch.COPIES, (message_id,))).fetchall()
        rows = await (await connection.execute(dispatch.ANSWERS, (group,))).fetchall()
        answers = [_answered(row) for row in rows]
        seen = max((each.hlc for each in answers), default=0)
        done = dispatch.outcome(answer, mailbox, [box for _, box in copies], answers)
        if done is not Outcome.KEPT:
            return done, seen
        [schema] = await (await connection.execute(dispatch.AGREED)).fetchone() or (0,)
        if schema < Feature.DISPATCH:
            raise NotYet("the other node's release knows no dispatch messages yet")
        body = json.dumps({"answer": answer.value, "message": str(message_id)})
        name, hlc = str(mailbox), max(self._clock.now(), seen + 1)
        values = (setting_id(DISPATCH, name, group), group, DISPATCH, name, body, hlc, self._node)
        await connection.execute(dispatch.PUT, values)
        works = [uuid7() for _ in copies]
        ids, boxes = [each for each, _ in copies], [box for _, box in copies]
        await connection.execute(dispatch.LAMPS, (self._node, works, boxes, ids))
        await connection.execute(dispatch.TELL)
        return done, hlc

    async def all(self) -> Sequence[Dispatch]:
        rows = await self._connections.query(dispatch.ALL)
        found = []
        for group, those in groupby(rows, key=lambda row: row[0]):
            answers = list(those)
            mailboxes = dict.fromkeys(box for row in answers for box in row[6])
            ordered = sorted((_answered(row[1:6]) for row in answers), key=order)
            found.append(Dispatch(group, tuple(sorted(mailboxes)), tuple(ordered)))
        return found

    async def stamp(self) -> object:
        [row] = await self._connections.query(dispatch.NEWEST)
        return tuple(row)

    async def left_over(self, before: datetime, limit: int = 1000) -> Sequence[UUID]:
        values = (int(before.timestamp() * 1_000_000), limit)
        return [row[0] for row in await self._connections.query(dispatch.LEFT_OVER, values)]

    async def forget(self, dispatch: Dispatch) -> None:
        await self._connections.query(FORGET, (self._clock.now(), self._node, dispatch.id))


def _answered(row: Row) -> Answered:
    return Answered(row[0], Answer(row[1]), row[2], row[3], row[4])
