"""Makes this node's tables whole from the peer's, over the link of replication: `pull` what is lacking,
or `overwrite` what differs. Replication keeps two whole databases alike; this is for one that is not: new,
or away for so long that the peer's slot was lost, or damaged.

Both work while calls are taken on both nodes. Rows go through the same triggers as replicated ones, so
derived tables follow, settings obey the last-writer rule and listeners are woken; and they carry a
replication origin, so they are not sent back. What is missing is worked out in the two databases: only
blocks of bytes pass through this process, which has other things to do.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from store.connections import AWAY, Row, bounded
from store.errors import Unavailable

log = structlog.get_logger()

SETTINGS = ("user_account", "greeting", "setting")
# Users first, so that calls find them; results before the work, so that no work is done a second time.
ORDER = (*SETTINGS, "message", "message_event", "sign_in_attempt", "outbox_done", "outbox")
BATCH = {"message": 50, "greeting": 50}
"""Rows of one transaction where they hold audio; MANY elsewhere."""
MANY = 2000
STEP = 60.0
"""Seconds for one statement or batch: a link that hangs ends the work."""
ALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}

COLUMNS = """
select attname from pg_catalog.pg_attribute
 where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum"""
EXISTING = "select name from unnest(%s::text[]) name where to_regclass('public.' || name) is not null"
NEWER = sql.SQL(
    "not exists (select 1 from public.{} m where m.id = t.id and (m.hlc, m.node) >= (t.hlc, t.node))"
)
ABSENT = sql.SQL("not exists (select 1 from public.{} m where m.id = t.id)")
EARLIER = {"message": "recorded", "outbox": "created"}
"""Logs whose rows may have been written on both sides under one id, and the column by which the earlier one
is kept on both (migration 0005)."""
ABSENT_OR_EARLIER = sql.SQL(
    "not exists (select 1 from public.{table} m where m.id = t.id and (m.{at}, m.node) <= (t.{at}, t.node))"
)
REFOLD = """
insert into public.message_state (message_id, is_read, read_hlc, read_by, deleted, del_hlc, del_by, purged)
select message_id, coalesce(r.kind = 'read', false), coalesce(r.hlc, 0), r.id,
       coalesce(d.kind = 'delete', false), coalesce(d.hlc, 0), d.id, p.message_id is not null
  from (select distinct on (message_id) message_id, kind, hlc, id from public.message_event
         where kind in ('read', 'unread') order by message_id, hlc desc, id desc) r
  full join (select distinct on (message_id) message_id, kind, hlc, id from public.message_event
         where kind in ('delete', 'undelete') order by message_id, hlc desc, id desc) d using (message_id)
  full join (select distinct message_id from public.message_event
         where kind = 'purge') p using (message_id)"""
REOPEN = (
    "insert into public.outbox_open (id, kind, mailbox_id, message_id, created, payload, not_before)"
    " select id, kind, mailbox_id, message_id, created, payload,"
    " coalesce((payload->>'not_before')::timestamptz, '-infinity')"
    " from public.outbox on conflict do nothing",
    "delete from public.outbox_open o where not exists (select 1 from public.outbox b where b.id = o.id)",
    "delete from public.outbox_open o"
    " where exists (select 1 from public.outbox_done d where d.outbox_id = o.id)",
)


@dataclass(frozen=True, slots=True)
class Overwritten:
    """What `overwrite` did, in rows: those only this node had (now in the file), those that differed (this
    node's are in the file), and those it lacked."""

    only_here: int
    differed: int
    fetched: int


async def pull(admin: str, link: str) -> dict[str, int]:
    """Insert the rows that the peer has and this node lacks, the peer's newer settings, and its earlier row
    where both wrote one under the same id; how many, by table. `admin`: this node's database as superuser;
    `link`: the peer's. Repeating it is harmless.

    Nothing is missed when the peer already keeps a slot for this node. Raises Unavailable.
    """
    began, moved = time.monotonic(), {}
    async with _session(admin, link) as session:
        for table in await session.tables():
            keys, test = _lacking(table)
            await session.list_theirs(table, keys)
            moved[table] = await session.fetch(table, test)
    log.info("Pulled what this node lacked.", seconds=round(time.monotonic() - began, 1), **moved)
    return moved


async def overwrite(
    admin: str, link: str, dump: Path, delivered: Callable[[], Awaitable[None]]
) -> Overwritten:
    """Make the replicated tables equal the peer's. Rows that the peer does not have, and ours of those that
    differ, are first written to `dump` (JSON lines, mode 0600). `delivered` must return when the peer has
    what this node wrote before: what is written meanwhile stays. Raises Unavailable.
    """
    only, differ, fetched = 0, 0, 0
    async with _session(admin, link) as session:
        for table in await session.tables():
            await session.list_ours(table)
        await delivered()
        with _new_file(dump) as out:
            for table in await session.tables():
                await session.list_theirs(table, await session.digest(table))
                here, other = await session.give_up(table, out.write)
                only, differ = only + here, differ + other
                await asyncio.to_thread(_to_disk, out)
                fetched += await session.fetch(table, ABSENT.format(sql.Identifier(table)), drop_ours=True)
        await session.derive_anew()
    log.warning(
        "Overwrote this node's tables from the peer.", only_here=only, differed=differ, fetched=fetched
    )
    return Overwritten(only, differ, fetched - differ)


def _lacking(table: str) -> tuple[sql.Composable, sql.Composable]:
    """What is to be listed of the peer's rows (as t), and which of those this node needs."""
    if table in SETTINGS:
        return sql.SQL("id, hlc, node"), NEWER.format(sql.Identifier(table))
    if at := EARLIER.get(table):
        names = {"table": sql.Identifier(table), "at": sql.Identifier(at)}
        return sql.SQL("id, {at}, node").format(**names), ABSENT_OR_EARLIER.format(**names)
    return sql.SQL("id"), ABSENT.format(sql.Identifier(table))


def _new_file(path: Path) -> TextIO:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")


def _to_disk(out: TextIO) -> None:
    out.flush()
    os.fsync(out.fileno())


class _Session:
    """A connection to each database, while one of the procedures runs."""

    def __init__(self, here: AsyncConnection[Row], there: AsyncConnection[Row]) -> None:
        self.here, self.there = here, there

    async def start(self) -> None:
        """Triggers fire as for replicated rows, and what is written is not sent to the peer. Only one
        session can have the origin at a time, so no two procedures run at once."""
        await self.ask(
            self.here,
            "select pg_replication_origin_create('repair')"
            " where not exists (select 1 from pg_replication_origin where roname = 'repair')",
        )
        await self.ask(self.here, "select pg_replication_origin_session_setup('repair')")
        await self.ask(self.here, "set session_replication_role = replica")

    async def ask(self, connection: AsyncConnection[Row], statement: sql.Composed | str) -> int:
        """Run one statement; how many rows it wrote or gave."""
        text = sql.SQL(statement) if isinstance(statement, str) else statement
        return (await bounded(connection, connection.execute(text), STEP)).rowcount

    async def tables(self) -> list[str]:
        """Those of ORDER that both have: a node of an older release has fewer."""
        both = []
        for connection in (self.here, self.there):
            cursor = await bounded(connection, connection.execute(EXISTING, (list(ORDER),)), STEP)
            both.append({row[0] for row in await cursor.fetchall()})
        return [table for table in ORDER if table in both[0] & both[1]]

    async def columns(self, table: str) -> list[str]:
        """Those that both have: a node of another release may have more."""
        both = []
        for connection in (self.here, self.there):
            cursor = await bounded(connection, connection.execute(COLUMNS, (f"public.{table}",)), STEP)
            both.append([row[0] for row in await cursor.fetchall()])
        return [name for name in both[0] if name in both[1]]

    async def digest(self, table: str) -> sql.Composed:
        """id and a digest of the whole row, of the columns that both have."""
        names = await self.columns(table)
        parts = [sql.SQL("md5(audio)") if n == "audio" else sql.Identifier(n) for n in names]
        return sql.SQL("id, md5(row({})::text) as digest").format(sql.SQL(", ").join(parts))

    async def list_theirs(self, table: str, keys: sql.Composable) -> None:
        """The peer's keys into `theirs`, a temporary table here."""
        source = sql.SQL("select {} from public.{}").format(keys, sql.Identifier(table))
        await self.ask(self.here, "drop table if exists theirs")
        await self.ask(self.here, sql.SQL("create temp table theirs as {} with no data").format(source))
        await bounded(self.there, self._copy(self.there, source, self.here, "theirs"), 10 * STEP)
        await self.ask(self.here, "analyze theirs")

    async def list_ours(self, table: str) -> None:
        statement = sql.SQL("create temp table {} as select {} from public.{}")
        name = sql.Identifier(f"ours_{table}")
        await self.ask(self.here, statement.format(name, await self.digest(table), sql.Identifier(table)))

    async def give_up(self, table: str, write: Callable[[str], object]) -> tuple[int, int]:
        """Write to the file what the peer has not, or has otherwise, and remove the former; how many of
        each. Rows changed since they were listed stay."""
        name, ours = sql.Identifier(table), sql.Identifier(f"ours_{table}")
        await self.ask(self.here, "drop table if exists given_up")
        lists = "create temp table given_up as select o.id, t.id is not null as there"
        where = " from {} o left join theirs t using (id) where t.id is null or t.digest <> o.digest"
        await self.ask(self.here, sql.SQL(lists + where).format(ours))
        rows = sql.SQL("select to_jsonb(t)::text from public.{} t join given_up using (id)").format(name)
        async with self.here.transaction():
            async for row in self.here.cursor().stream(rows):
                write(f'{{"table": "{table}", "row": {row[0]}}}\n')
        gone = "delete from public.{} t using given_up g where g.id = t.id and not g.there"
        only = await self.ask(self.here, sql.SQL(gone).format(name))
        other = await self.ask(self.here, "select 1 from given_up where there")
        return only, other

    async def fetch(self, table: str, test: sql.Composable, drop_ours: bool = False) -> int:
        """Those of `theirs` that pass the test; with `drop_ours` also those given up for the peer's."""
        or_given = " or exists (select 1 from given_up g where g.id = t.id and g.there)" if drop_ours else ""
        await self.ask(self.here, "drop table if exists wanted")
        make = sql.SQL(
            "create temp table wanted as select id, (row_number() over (order by id) - 1)::integer as n"
            " from theirs t where {}" + or_given
        )
        count = await self.ask(self.here, make.format(test))
        if count:
            await self._ask_for_wanted()
            names = sql.SQL(", ").join(map(sql.Identifier, await self.columns(table)))
            for first in range(0, count, BATCH.get(table, MANY)):
                await bounded(self.there, self._batch(table, names, first, drop_ours), STEP)
        return count

    async def _ask_for_wanted(self) -> None:
        await self.ask(self.there, "drop table if exists wanted")
        await self.ask(self.there, "create temp table wanted (id uuid, n integer)")
        ids = sql.SQL("select id, n from wanted")
        await bounded(self.here, self._copy(self.here, ids, self.there, "wanted"), STEP)
        await self.ask(self.there, "analyze wanted")

    async def _batch(self, table: str, names: sql.Composed, first: int, drop_ours: bool) -> None:
        name, part = sql.Identifier(table), (first, first + BATCH.get(table, MANY) - 1)
        source = sql.SQL("select {} from public.{} join wanted using (id) where n between {} and {}")
        batch = sql.SQL("create temp table batch on commit drop as select {} from public.{} with no data")
        async with self.here.transaction():
            await self.here.execute(batch.format(names, name))
            await self._copy(self.there, source.format(names, name, *part), self.here, "batch")
            if drop_ours:
                gone = "delete from public.{} t using batch, given_up g where t.id = batch.id and g.id = t.id"
                await self.here.execute(sql.SQL(gone + " and g.there").format(name))
            into = sql.SQL("insert into public.{} ({}) select {} from batch on conflict (id) do nothing")
            await self.here.execute(into.format(name, names, names))

    async def _copy(
        self,
        source: AsyncConnection[Row],
        rows: sql.Composed | sql.SQL,
        target: AsyncConnection[Row],
        into: str,
    ) -> None:
        give = sql.SQL("copy ({}) to stdout (format binary)").format(rows)
        take = sql.SQL("copy {} from stdin (format binary)").format(sql.Identifier(into))
        async with source.cursor().copy(give) as out, target.cursor().copy(take) as taking:
            async for block in out:
                await taking.write(block)

    async def derive_anew(self) -> None:
        """message_state and outbox_open from what they are derived from; writers of events wait meanwhile."""
        async with self.here.transaction():
            await self.ask(self.here, "lock table public.message_event in share row exclusive mode")
            await self.ask(self.here, "delete from public.message_state")
            await self.ask(self.here, REFOLD)
            for statement in REOPEN:
                await self.ask(self.here, statement)


@asynccontextmanager
async def _session(admin: str, link: str) -> AsyncIterator[_Session]:
    here = make_conninfo(admin, options="-c synchronous_commit=local", application_name="repair")
    there = make_conninfo(link, application_name="repair", connect_timeout=3, **ALIVE)
    try:
        async with (
            await AsyncConnection.connect(here, autocommit=True) as local,
            await AsyncConnection.connect(there, autocommit=True) as remote,
        ):
            session = _Session(local, remote)
            await session.start()
            yield session
    except (*AWAY, psycopg.Error) as problem:
        raise Unavailable(str(problem)) from problem
