"""Settings: rows with a JSON body, of which the newest over both nodes wins (docs/decisions/0009)."""

import json
from collections.abc import Sequence
from uuid import UUID

from store.connections import Connections, Row
from store.errors import NotFound, NotYet
from store.ids import HybridClock
from store.model import Setting, clean, setting_id

ONE = "select kind, name, body::text, owner from public.setting where id = %s and not deleted"
ALL = """
select kind, name, body::text, owner from public.setting
 where owner is not distinct from %s and (%s = '' or kind = %s) and not deleted
 order by kind, name"""
OWNED = """
select kind, name, body::text, owner from public.setting
 where owner is not null and kind = %s and not deleted order by owner, name"""
AFTER_DIGITS = ":"
"""Comes after all of them."""
COLUMNS = "select kind, name, body::text, owner from public.setting where owner is null and not deleted"
PAGE = f"{COLUMNS} and kind = %s and name > %s order by name limit %s"
COUNT = "select count(*) from public.setting where owner is null and not deleted and kind = %s"
NUMBERED = f"{COLUMNS} and kind = %s and body->>'extension' = %s order by name"
# In two parts: for a limit that is none the planner would read the whole table.
FIRST = f"""
({COLUMNS} and kind = any(%s)) union all
(select found.* from unnest(%s::text[]) as wanted (kind)
 cross join lateral ({COLUMNS} and kind = wanted.kind order by name limit %s) found)
 order by kind, name"""
NAMED = f"{COLUMNS} and id = any(%s) order by name"
# Ranges and not a pattern: of a pattern that is a parameter no index can be used. Ordered as the indexes are,
# so that no more is read than is wanted, of however many.
ONE_WAY = f"""({COLUMNS} and kind = %(kind)s
  and (body->'keys'->>{{0}}) collate "C" >= %(keys)s and (body->'keys'->>{{0}}) collate "C" < %(beyond)s
order by (body->'keys'->>{{0}}) collate "C" limit %(most)s)"""
SPELLED = f"{ONE_WAY.format(0)} union {ONE_WAY.format(1)} order by name limit %(most)s"
PUT = "select public.put_setting(%s, %s, %s, %s, %s::jsonb, %s, %s::bigint, %s::smallint)"


class PostgresSettings:
    """The `Settings` of store.api."""

    def __init__(self, connections: Connections, clock: HybridClock, node: int) -> None:
        self._connections, self._clock, self._node = connections, clock, node

    async def get(self, kind: str, name: str, owner: UUID | None = None) -> Setting | None:
        rows = await self._connections.query(ONE, (setting_id(kind, name, owner),))
        return _setting(rows[0]) if rows else None

    async def all(self, kind: str = "", owner: UUID | None = None) -> Sequence[Setting]:
        return [_setting(row) for row in await self._connections.query(ALL, (owner, kind, kind))]

    async def first(self, kinds: Sequence[str], many: Sequence[str] = (), most: int = 0) -> Sequence[Setting]:
        values = (list(kinds), list(many), most)
        return [_setting(row) for row in await self._connections.query(FIRST, values)]

    async def named(self, kind: str, names: Sequence[str]) -> Sequence[Setting]:
        ids = [setting_id(kind, name, None) for name in names]
        return [_setting(row) for row in await self._connections.query(NAMED, (ids,))]

    async def owned(self, kind: str) -> Sequence[Setting]:
        return [_setting(row) for row in await self._connections.query(OWNED, (kind,))]

    async def page(self, kind: str, after: str = "", most: int = 1000) -> Sequence[Setting]:
        return [_setting(row) for row in await self._connections.query(PAGE, (kind, after, most))]

    async def count(self, kind: str) -> int:
        [[count]] = await self._connections.query(COUNT, (kind,))
        return int(count)

    async def numbered(self, kind: str, extension: str) -> Sequence[Setting]:
        return [_setting(row) for row in await self._connections.query(NUMBERED, (kind, extension))]

    async def spelled(self, kind: str, keys: str, most: int) -> Sequence[Setting]:
        values = {"kind": kind, "keys": keys, "beyond": keys + AFTER_DIGITS, "most": most}
        return [_setting(row) for row in await self._connections.query(SPELLED, values)]

    async def put(self, setting: Setting) -> None:
        await self._write(setting, deleted=False)

    async def remove(self, kind: str, name: str, owner: UUID | None = None) -> None:
        if not await self.get(kind, name, owner):
            raise NotFound(f"no {kind} {name!r}")
        await self._write(Setting(kind, name, "{}", owner), deleted=True)

    async def _write(self, setting: Setting, deleted: bool) -> None:
        s, body = setting, json.dumps(json.loads(setting.body), ensure_ascii=False).replace("\\u0000", "")
        values = (s.id, s.owner, s.kind, clean(s.name), clean(body), deleted, self._clock.now(), self._node)
        [[hlc]] = await self._connections.query(PUT, values)
        if hlc is None:
            raise NotYet("the other node's release cannot keep settings yet")
        self._clock.observe(hlc)


def _setting(row: Row) -> Setting:
    return Setting(*row)
