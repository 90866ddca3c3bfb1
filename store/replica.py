"""Replication as the role manager of one node sees it: link up, switch the wait, compare, forget.

Names, on node n about node m: n subscribes by `sub_{n}_from_{m}`, which is also the name of the slot
on m and the application_name that m sees. All statements commit locally.

A node always subscribes in one way, whether it is new, was away too long, or replaces another: first the
peer keeps a slot for it, then it pulls what it lacks (repair.py), then its subscription is enabled. So a
subscription that is disabled is one whose node has not pulled everything yet, also after a crash; and what
the peer sees as confirmed by it includes all that came before the slot. Neither node waits for the other.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import structlog
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from store import compare, repair
from store.compare import COMPARED, Digest
from store.connections import Connections, Row
from store.errors import Unavailable

log = structlog.get_logger()

REPLICATED = (
    "message",
    "message_event",
    "outbox",
    "outbox_done",
    "sign_in_attempt",
    "user_account",
    "greeting",
    "setting",
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
# One row also when the peer does not follow us.
PEER = """
select coalesce(r.state, ''), pg_wal_lsn_diff(w.lsn, r.flush_lsn)::bigint,
       coalesce(pg_wal_lsn_diff(r.flush_lsn, '0/0'), 0)::bigint, pg_wal_lsn_diff(w.lsn, '0/0')::bigint
  from (select pg_current_wal_flush_lsn() as lsn) w
  left join pg_stat_replication r on r.application_name = %s
 order by r.state = 'streaming' desc nulls last, r.flush_lsn desc nulls last limit 1"""
SLOT = """
select active, wal_status,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint, safe_wal_size
  from pg_replication_slots where slot_name = %s"""
COVERED = """
select count(*) = %s from pg_subscription_rel r join pg_subscription s on s.oid = r.srsubid
 where s.subname = %s and s.subdbid = (select oid from pg_database where datname = current_database())"""
OWN = "select subconninfo, subenabled, subslotname from pg_subscription where subname = %s"
PEERS_SLOT = "select wal_status from pg_replication_slots where slot_name = %s"


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """Our link from the peer. `errors` counts for ever, lost connections too; while it grows with the peer
    up, applying is stuck: an operator is needed."""

    enabled: bool
    """False until this node has pulled what the peer had when the link was made."""
    running: bool
    ready: bool
    errors: int
    heard: datetime | None


@dataclass(frozen=True, slots=True)
class PeerState:
    """How far the peer has what we wrote. `lag` is in bytes of WAL not yet on its disk."""

    streaming: bool
    lag: int | None
    flushed: int = 0
    """Place in our WAL (bytes from its beginning) up to which all is applied and on the peer's disk; 0 when
    it does not follow us."""
    written: int = 0
    """Place up to which our own disk has it."""

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


class Replica:
    """Replication between this node and its one peer; needs a superuser. Raises Unavailable throughout."""

    def __init__(self, conninfo: str, node: int, peer: int) -> None:
        self.incoming = f"sub_{node}_from_{peer}"
        self.outgoing = f"sub_{peer}_from_{node}"
        self.conninfo = conninfo
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

    async def ensure_subscription(self, link: str) -> bool:
        """Subscribe to the peer, which must be up and have its schema, and pull what this node lacks; True
        when that was needed. Takes as long as copying; when it fails, the next call goes on.

        `link` connects this node's server to the peer's (`PostgresServer.link_conninfo`).
        """
        link = make_conninfo(link, application_name=self.incoming)
        rows = await self._connections.query(OWN, (self.incoming,))
        if rows and rows[0][2] is None:  # a node that stopped in the middle of dropping it
            await self.drop_subscription()
            rows = []
        if not rows:
            await self._create(link)
        elif rows[0][0] != link:
            await self._alter("connection {}", sql.Literal(link))
        if rows and rows[0][1]:
            return False
        await repair.pull(self.conninfo, link)
        await self._alter("enable")
        log.info("Subscribed to the peer.", subscription=self.incoming)
        return True

    async def slot_is_lost(self, link: str) -> bool:
        """Whether the peer no longer keeps for us what it wrote: only a new subscription helps then."""
        async with _peer(link) as peer:
            rows = await peer.query(PEERS_SLOT, (self.incoming,))
        return not rows or rows[0][0] == "lost"

    async def drop_subscription(self) -> None:
        """Without asking the peer; its slot stays until the next subscription, or until it forgets us."""
        if await self.subscription_state():
            await self._alter("disable")
            await self._alter("set (slot_name = none)")
            await self._connections.query(
                sql.SQL("drop subscription {}").format(sql.Identifier(self.incoming))
            )

    async def subscription_state(self) -> SubscriptionState | None:
        """None when there is no subscription."""
        rows = await self._connections.query(SUBSCRIPTION, (self.incoming,))
        return SubscriptionState(*rows[0]) if rows else None

    async def cover(self) -> bool:
        """Whether every table that this release replicates comes with our subscription; if not, it takes
        what the peer publishes by now. Raises Unavailable, also while the peer does not answer."""
        covered = (COVERED, (len(REPLICATED), self.incoming))
        if (await self._connections.query(*covered))[0][0]:
            return True
        await self._alter("refresh publication with (copy_data = false)")
        return bool((await self._connections.query(*covered))[0][0])

    async def peer_state(self) -> PeerState:
        """How the peer follows us."""
        [row] = await self._connections.query(PEER, (self.outgoing,))
        return PeerState(row[0] == "streaming", *row[1:])

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

        A message is stamped at one call and can go at a later one, so it takes two calls at least. With the
        place flushed: the place inserted may lie behind a page's header, where nobody gets before more is
        written; what is visible has been flushed.
        """
        await self._connections.query(
            "delete from public.single_copy where lsn <="
            " (select max(flush_lsn) from pg_stat_replication where application_name = %s)",
            (self.outgoing,),
        )
        await self._connections.query(
            "update public.single_copy set lsn = pg_current_wal_flush_lsn() where lsn is null"
        )
        return await self.single_copies()

    async def forget_peer(self) -> None:
        """Drop both directions without asking the peer: it is dead and will be replaced."""
        await self.switch_synchronous(False)
        await self.drop_subscription()
        await _drop_slot(self._connections, self.outgoing)
        log.info("Forgot the peer.", subscription=self.incoming, slot=self.outgoing)

    async def digests(self, tables: Sequence[str] = COMPARED, audio: bool = True) -> dict[str, Digest]:
        """Of each table, those derived here too, to compare the nodes; see compare.digests."""
        return await compare.digests(self.conninfo, tables, audio)

    async def conflicts(self) -> int:
        """Users whose extension belongs to another one, since a split."""
        [[count]] = await self._connections.query(
            "select count(*) from public.user_account u where not u.deleted and exists"
            " (select 1 from public.user_account o"
            " where o.extension = u.extension and not o.deleted and o.id < u.id)"
        )
        return int(count)

    async def _create(self, link: str) -> None:
        """A slot at the peer, and a subscription that does not use it yet.

        The slot is made apart, not by `create subscription`: that would wait for the peer's open
        transactions within one of ours, and two nodes doing so at once would wait for each other for ever.
        Where the peer keeps a slot for an earlier database of this node, it is replaced.
        """
        async with _peer(link) as peer:
            rows = await peer.query(
                "select pubname from pg_publication where pubname = any(%s)", (list(PUBLICATIONS),)
            )
            if len(rows) < len(PUBLICATIONS):
                raise Unavailable("the peer's database has no schema yet")
            await _drop_slot(peer, self.incoming)
            await peer.query(
                "select pg_create_logical_replication_slot(%s::text, 'pgoutput')", (self.incoming,)
            )
        # synchronous_commit = local: off would delay every synchronous deposit of the peer by 200 ms,
        # on would make two waiting nodes wait for each other for ever.
        statement = sql.SQL(
            "create subscription {} connection {} publication vm_log, vm_set with (origin = none,"
            " copy_data = false, create_slot = false, enabled = false, synchronous_commit = 'local',"
            " streaming = off, disable_on_error = false)"
        )
        await self._connections.query(statement.format(sql.Identifier(self.incoming), sql.Literal(link)))

    async def _alter(self, change: str, *values: sql.Composable) -> None:
        head = sql.SQL("alter subscription {} ").format(sql.Identifier(self.incoming))
        await self._connections.query(head + sql.SQL(change).format(*values))


@asynccontextmanager
async def _peer(link: str) -> AsyncIterator[Connections]:
    """The peer's database as the role of the link, which may make and drop slots."""
    peer = Connections(link, _no_greeting, most=1, keep=1, connect=3.0, statement=10.0)
    try:
        yield peer
    finally:
        await peer.close()


async def _drop_slot(server: Connections, name: str) -> None:
    """Also one in use: whoever uses it reconnects at once, so several tries."""
    for tries_left in (4, 3, 2, 1, 0):
        await server.query(
            "select pg_terminate_backend(active_pid, 2000) from pg_replication_slots"
            " where slot_name = %s and active",
            (name,),
        )
        try:
            await server.query(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s",
                (name,),
            )
            return
        except Unavailable:
            if not tries_left:
                raise


async def _no_greeting(connection: AsyncConnection[Row]) -> None:
    """An administrator's connection asks nothing first."""
