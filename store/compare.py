"""Compares the two nodes' databases, and lists what a split left for people to settle."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from store.connections import AWAY, Row, bounded
from store.errors import Unavailable
from store.repair import ALIVE, COLUMNS, EXISTING, ORDER

DERIVED = {
    "message_state": "public.message_state",
    "outbox_open": "(select id, kind, mailbox_id, message_id, created from public.outbox_due)",
}
"""Local tables that follow from replicated ones, as far as they must be alike on both nodes: the tries of a
piece of work are each node's own, and work that is done may stay listed for a moment."""
COMPARED = (*sorted(ORDER), *DERIVED)
DIGEST = sql.SQL("""
select count(*), md5(coalesce(string_agg(h, '' order by h), ''))
  from (select md5(row({})::text) as h from {} t) x""")
LOG = "select at, tbl, lost from public.conflict_log order by at"
SHARED = """
select u.id, u.extension, u.name, o.id, o.name
  from public.user_account u
  join lateral (select id, name from public.user_account a
                 where a.extension = u.extension and not a.deleted order by id limit 1) o on o.id <> u.id
 where not u.deleted order by u.extension, u.id"""
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Digest:
    """Of one table: equal digests mean equal rows."""

    rows: int
    md5: str


@dataclass(frozen=True, slots=True)
class Shared:
    """A user whose extension belongs to another: both got it during a split, and the lower id owns it."""

    id: str
    extension: str
    name: str
    owner: str
    owner_name: str


@dataclass(frozen=True, slots=True)
class Overruled:
    """A setting that lost against a newer one of the other node. `lost` is its row, without secrets."""

    at: datetime
    table: str
    lost: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conflicts:
    shared: tuple[Shared, ...]
    """Extensions with two users: an operator must give one of them another."""
    overruled: tuple[Overruled, ...]
    """Told for information: the newer setting holds."""


async def digests(conninfo: str, tables: Sequence[str] = COMPARED, audio: bool = True) -> dict[str, Digest]:
    """Of each table. With `audio` every recording is read; without, its length stands for it.
    Raises Unavailable."""
    async with await _connect(conninfo) as connection:
        there = await _existing(connection, tables)
        return {table: await _digest(connection, table, audio) for table in there}


async def conflicts(conninfo: str) -> Conflicts:
    """What this node's database knows of. Raises Unavailable."""
    async with await _connect(conninfo) as connection:
        shared = await _rows(connection, SHARED)
        logged = await _rows(connection, LOG)
    return Conflicts(
        tuple(Shared(str(row[0]), row[1], row[2], str(row[3]), row[4]) for row in shared),
        tuple(Overruled(*row) for row in logged if "shared extension" not in row[2]),
    )


async def _existing(connection: AsyncConnection[Row], tables: Sequence[str]) -> list[str]:
    """A database that waits for its upgrade may lack some."""
    cursor = await connection.execute(EXISTING, (list(tables),))
    there = {row[0] for row in await cursor.fetchall()}
    return [table for table in tables if table in there]


async def _digest(connection: AsyncConnection[Row], table: str, audio: bool) -> Digest:
    if table in DERIVED:
        statement = DIGEST.format(sql.SQL("t.*"), sql.SQL(DERIVED[table]))
    else:
        cursor = await connection.execute(COLUMNS, (f"public.{table}",))
        of_audio = sql.SQL("md5(audio)" if audio else "octet_length(audio)")
        names = [row[0] for row in await cursor.fetchall()]
        parts = [of_audio if name == "audio" else sql.Identifier(name) for name in names]
        statement = DIGEST.format(sql.SQL(", ").join(parts), sql.Identifier("public", table))
    return Digest(*(await _rows(connection, statement))[0])


async def _rows(connection: AsyncConnection[Row], statement: sql.Composed | str) -> list[Row]:
    text = sql.SQL(statement) if isinstance(statement, str) else statement

    async def work() -> list[Row]:
        return await (await connection.execute(text)).fetchall()

    try:
        return await bounded(connection, work(), PATIENCE)
    except AWAY as problem:
        raise Unavailable(str(problem)) from problem


async def _connect(conninfo: str) -> AsyncConnection[Row]:
    try:
        return await AsyncConnection.connect(
            make_conninfo(conninfo, application_name="compare", connect_timeout=3, **ALIVE), autocommit=True
        )
    except psycopg.OperationalError as problem:
        raise Unavailable(str(problem)) from problem
