"""Replication as the role manager of one node sees it: link up, switch the wait, compare, forget.

Names, on node n about node m: n subscribes by `sub_{n}_from_{m}`, which is also the name of the slot
on m and the application_name that m sees. All statements commit locally.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from store.connections import Connections, Row
from store.errors import Conflict, Unavailable

log = structlog.get_logger()

REPLICATED = (
    "message",
    "message_event",
    "outbox",
    "outbox_done",
    "sign_in_attempt",
    "user_account",
    "greeting",
)
PUBLICATIONS = ("vm_log", "vm_set")
NEAR = 1_000_000
"""Bytes of WAL by which a peer may lag and still count as caught up."""

SUBSCRIPTION = """
select s.subenabled, w.pid is not null,
       not exists (select 1 from pg_subscription_rel r where r.srsubid = s.oid and r.srsubstate <> 'r'),
       e.apply_error_count + e.sync_error_count, w.latest_end_time
  from pg_subscription s
  join pg_stat_subscription_stats e on e.subid = s.oid
  left join pg_stat_subscription w on w.subid = s.oid and w.relid is null and w.leader_pid is null
 where s.subname = %s and s.subdbid = (select oid from pg_database where datname = current_database())"""
PEER = """
select state, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn)::bigint, flush_lsn::text
  from pg_stat_replication where application_name = %s"""
SLOT = """
select active, wal_status,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint, safe_wal_size
  from pg_replication_slots where slot_name = %s"""
DIGEST = sql.SQL("""
select count(*), md5(coalesce(string_agg(h, '' order by h), ''))
  from (select md5(t::text) as h from public.{} t) x""")


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """Our link from the peer. `ready`: every table's first copy is done. `errors` counts for ever,
    lost connections too; while it grows with the peer up, applying is stuck: an operator is needed."""

    enabled: bool
    running: bool
    ready: bool
    errors: int
    heard: datetime | None


@dataclass(frozen=True, slots=True)
class PeerState:
    """How far the peer has what we wrote. `lag` is in bytes of WAL not yet on its disk."""

    streaming: bool
    lag: int | None
    flushed: str

    @property
    def caught_up(self) -> bool:
        """Near enough for deposits to wait for it."""
        return self.streaming and self.lag is not None and self.lag < NEAR


@dataclass(frozen=True, slots=True)
class SlotState:
    """What we keep for an absent peer. `left` is how many bytes more may be written before the slot is
    lost (None: no limit); `lost` means the peer must be united or replaced."""

    active: bool
    lost: bool
    retained: int
    left: int | None


@dataclass(frozen=True, slots=True)
class Digest:
    """Of one table: equal digests mean equal rows."""

    rows: int
    md5: str


class Replica:
    """Replication between this node and its one peer; needs a superuser. Raises Unavailable throughout."""

    def __init__(self, conninfo: str, node: int, peer: int) -> None:
        self.incoming = f"sub_{node}_from_{peer}"
        self.outgoing = f"sub_{peer}_from_{node}"
        local = make_conninfo(conninfo, options="-c synchronous_commit=local")
        self._connections = Connections(local, _no_greeting, most=3, keep=1, statement=10.0)

    @classmethod
    @asynccontextmanager
    async def open(cls, conninfo: str, node: int, peer: int) -> AsyncIterator[Self]:
        """`conninfo` is of this node's database vm, as superuser. Does not connect yet."""
        replica = cls(conninfo, node, peer)
        try:
            yield replica
        finally:
            await replica._connections.close()

    async def ensure_subscription(self, link: str, *, copy_data: bool = False) -> bool:
        """Subscribe to the peer, which must be up and have its schema; True when newly made.

        `link` connects this node's server to the peer's (`PostgresServer.link_conninfo`). `copy_data`
        fetches what the peer has already: for a new, empty node only. Raises Conflict when the peer
        still keeps a slot for this node's former database: there `forget_peer()` comes first.
        """
        link = make_conninfo(link, application_name=self.incoming)
        rows = await self._connections.query(
            "select subconninfo, subenabled from pg_subscription where subname = %s", (self.incoming,)
        )
        if not rows:
            await self._require_publications(link)
            await self._create(link, copy_data)
            log.info("Subscribed to the peer.", subscription=self.incoming, copy_data=copy_data)
            return True
        if rows[0][0] != link:
            await self._alter("connection {}", sql.Literal(link))
        if not rows[0][1]:
            await self._alter("enable")
        return False

    async def subscription_state(self) -> SubscriptionState | None:
        """None when there is no subscription."""
        rows = await self._connections.query(SUBSCRIPTION, (self.incoming,))
        return SubscriptionState(*rows[0]) if rows else None

    async def peer_state(self) -> PeerState:
        """How the peer follows us."""
        rows = await self._connections.query(PEER, (self.outgoing,))
        if not rows:
            return PeerState(False, None, "0/0")
        return PeerState(rows[0][0] == "streaming", rows[0][1], rows[0][2] or "0/0")

    async def slot_state(self) -> SlotState | None:
        """What is kept for the peer; None when it never subscribed."""
        rows = await self._connections.query(SLOT, (self.outgoing,))
        return SlotState(rows[0][0], rows[0][1] == "lost", *rows[0][2:]) if rows else None

    async def switch_synchronous(self, on: bool) -> None:
        """Whether deposits wait for the peer's disk. Off releases those that wait, within 10 ms."""
        if await self.is_synchronous() == on:
            return
        names = f'"{self.outgoing}"' if on else ""
        await self._connections.query(
            sql.SQL("alter system set synchronous_standby_names = {}").format(sql.Literal(names))
        )
        await self._connections.query("select pg_reload_conf()")
        log.info("Deposits wait for the peer." if on else "Deposits do not wait for the peer.")

    async def is_synchronous(self) -> bool:
        """Whether the switch is on, as the server's files say (it may be some milliseconds behind)."""
        rows = await self._connections.query(
            "select setting from pg_file_settings where name = 'synchronous_standby_names'"
            " order by seqno desc limit 1"
        )
        return bool(rows and rows[0][0])

    async def single_copies(self) -> int:
        """Messages not known to be on the peer's disk."""
        [[count]] = await self._connections.query("select count(*) from public.single_copy")
        return int(count)

    async def clear_single_copies(self) -> int:
        """Forget those that the peer has on its disk by now; how many are left.

        A message is stamped at one call and can go at a later one, so it takes two calls at least.
        """
        await self._connections.query(
            "delete from public.single_copy where lsn <="
            " (select flush_lsn from pg_stat_replication where application_name = %s)",
            (self.outgoing,),
        )
        await self._connections.query(
            "update public.single_copy set lsn = pg_current_wal_insert_lsn() where lsn is null"
        )
        return await self.single_copies()

    async def forget_peer(self) -> None:
        """Drop both directions without asking the peer: it is dead and will be replaced."""
        await self.switch_synchronous(False)
        if await self.subscription_state():
            await self._alter("disable")
            await self._alter("set (slot_name = none)")
            await self._connections.query(
                sql.SQL("drop subscription {}").format(sql.Identifier(self.incoming))
            )
        await self._drop_slot()
        log.info("Forgot the peer.", subscription=self.incoming, slot=self.outgoing)

    async def digests(self, tables: Sequence[str] = REPLICATED) -> dict[str, Digest]:
        """Of each table, to compare the nodes. Reads everything: for tests and operators."""
        return {
            table: Digest(*(await self._connections.query(DIGEST.format(sql.Identifier(table))))[0])
            for table in tables
        }

    async def _drop_slot(self) -> None:
        """Also one in use: a peer that is not quite dead reconnects at once, so several tries."""
        for tries_left in (4, 3, 2, 1, 0):
            await self._connections.query(
                "select pg_terminate_backend(active_pid, 2000) from pg_replication_slots"
                " where slot_name = %s and active",
                (self.outgoing,),
            )
            try:
                await self._connections.query(
                    "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
                    " where slot_name = %s",
                    (self.outgoing,),
                )
                return
            except Unavailable:
                if not tries_left:
                    raise

    async def _require_publications(self, link: str) -> None:
        """A slot made before the publications exist could never decode what lies between."""
        peer = Connections(link, _no_greeting, most=1, keep=0, connect=3.0)
        rows = await peer.query(
            "select pubname from pg_publication where pubname = any(%s)", (list(PUBLICATIONS),)
        )
        if len(rows) < len(PUBLICATIONS):
            raise Unavailable("the peer's database has no schema yet")

    async def _create(self, link: str, copy_data: bool) -> None:
        # synchronous_commit = local: off would delay every synchronous deposit of the peer by 200 ms,
        # on would make two waiting nodes wait for each other for ever.
        statement = sql.SQL(
            "create subscription {} connection {} publication vm_log, vm_set with (origin = none,"
            " copy_data = {}, synchronous_commit = 'local', streaming = off, disable_on_error = false)"
        ).format(sql.Identifier(self.incoming), sql.Literal(link), sql.SQL("true" if copy_data else "false"))
        try:
            await self._connections.query(statement)
        except psycopg.errors.DuplicateObject as taken:
            raise Conflict(f"the peer still keeps slot {self.incoming}: forget this node there") from taken

    async def _alter(self, change: str, *values: sql.Composable) -> None:
        head = sql.SQL("alter subscription {} ").format(sql.Identifier(self.incoming))
        await self._connections.query(head + sql.SQL(change).format(*values))


async def _no_greeting(connection: AsyncConnection[Row]) -> None:
    """An administrator's connection asks nothing first."""
