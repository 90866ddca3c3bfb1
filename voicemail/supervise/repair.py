"""The node's side of `voicemail cluster replace-node`, `overwrite-from-peer` and `conflicts`.

Answers are those of operator.py: {"said": …}, or {"asks": question} when nothing was done yet.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from store import compare, repair
from store.errors import StoreError
from store.replica import Replica
from store.server import PostgresServer
from voicemail.cluster.join import renew_trust
from voicemail.cluster.keepalive import Listener
from voicemail.cluster.manager import Manager
from voicemail.cluster.roles import Status
from voicemail.errors import ClusterError
from voicemail.secrets import Member, NodeFiles
from voicemail.supervise.commands import Asked, Commands
from voicemail.supervise.database import Database
from voicemail.supervise.gate import Gate
from voicemail.supervise.link import Link

log = structlog.get_logger()

DELIVERED = 60.0
"""Seconds within which the peer must have what was written here."""
LOOK = 0.1
MAY_BE_OVERWRITTEN = (Status.SECONDARY, Status.DEACTIVATED)


class Repair:
    """Does them. `conninfo` is the store's; `server` is None on an external database."""

    def __init__(
        self,
        files: NodeFiles,
        server: PostgresServer | None,
        conninfo: str,
        database: Database,
        link: Link,
        gate: Gate,
        manager: Manager,
        listener: Callable[[], Listener],
    ) -> None:
        self.files, self.server, self.conninfo, self.database = files, server, conninfo, database
        self.link, self.gate, self.manager, self.listener = link, gate, manager, listener
        self._busy = asyncio.Lock()

    def register(self, commands: Commands) -> None:
        commands.add("replace-node", self.replace_node)
        commands.add("overwrite-from-peer", self.overwrite_from_peer)
        commands.add("conflicts", self.conflicts, addressed=True)

    # ---- the other node is dead

    async def replace_node(self, asked: Asked) -> dict[str, Any]:
        """Give the other node up, for good. The answer has the "secret" with which a new one joins."""
        peer, me = self._dead(), self.link.membership.me
        if not asked.get("yes"):
            return {
                "asks": f"{peer.name} can never come back to this cluster, and what only {peer.name} has is"
                f" lost; its disk must join as a new server. Give {peer.name} up for good?"
            }
        async with self._alone():
            secret = await asyncio.to_thread(renew_trust, self.files)
            self.listener().renew_trust()
            if self.server:
                await asyncio.to_thread(self.server.renew_certificates)
                async with self._replica(self.server, peer) as replica:
                    await replica.forget_peer()
            membership = self.link.membership.without_peer()
            self.files.write_membership(membership)
            self.link.membership = membership
            self.link.meet()
            await self.gate.reload()
        log.warning("Gave up the other node; a new one may join.", gave_up=peer.name, address=peer.address)
        return {
            "said": f"{peer.name} is no member any more; {me.name} is the publisher",
            "secret": secret,
            "address": me.address,
            "port": me.cluster_port,
        }

    def _dead(self) -> Member:
        """The other node, which is silent. Raises ClusterError."""
        peer, me = self.link.membership.peer, self.link.membership.me.name
        if peer is None:
            raise ClusterError(
                f"{me} is the only member: a new server joins with what `voicemail cluster secret` prints"
            )
        if self.link.peer():
            raise ClusterError(f"{peer.name} answers, so it is not dead: stop it first")
        if self.manager.status is not Status.PRIMARY:
            raise ClusterError(f"{me} is {self.manager.status}: only a Primary can go on alone")
        if not self.database.ready:
            raise ClusterError(f"the database of {me} does not answer: see `voicemail cluster status`")
        return peer

    # ---- this node's tables are not to be trusted

    async def overwrite_from_peer(self, asked: Asked) -> dict[str, Any]:
        """Make this node's tables equal the peer's; what only this node had goes to a file."""
        server, peer = self._overwritable()
        me = self.link.membership.me.name
        if not asked.get("yes"):
            return {
                "asks": f"Messages and settings of {me} that {peer.name} does not have will be removed from"
                f" {me}, and kept in a file only. Overwrite {me} from {peer.name}?"
            }
        async with self._alone():
            stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() // 10**6 % 1000:03}"
            dump = self.files.directory / f"overwritten-{stamp}.jsonl"
            done = await self._overwrite(server, peer, dump)
        said = f"{me} is as {peer.name} now: {done.fetched} rows fetched"
        if not done.only_here and not done.differed:
            dump.unlink(missing_ok=True)
            return {"said": f"{said}; {me} had nothing that {peer.name} lacks"}
        return {
            "said": f"{said}, {done.only_here} that only {me} had and {done.differed} that differed"
            f" are kept in {dump}"
        }

    def _overwritable(self) -> tuple[PostgresServer, Member]:
        """Raises ClusterError unless it can be done now. Not on a Primary: what it has sent or is about to
        send would change under it; and the other one must be in service, or there is nothing to trust."""
        peer, me = self.link.membership.peer, self.link.membership.me.name
        if self.server is None:
            raise ClusterError("both servers share one external database: there is nothing to overwrite")
        if peer is None:
            raise ClusterError(f"{me} is the only member of its cluster")
        if self.manager.status not in MAY_BE_OVERWRITTEN:
            instead = f"make the other server Primary first (`voicemail cluster make-primary {peer.name}`)"
            if self.manager.status is not Status.PRIMARY:
                instead = f"wait until it is {Status.SECONDARY}, or deactivate it"
            raise ClusterError(f"{me} is {self.manager.status}: {instead}")
        said = self.link.peer()
        if not said or said.status is not Status.PRIMARY or not said.database:
            raise ClusterError(f"{peer.name} is not Primary with its database up at this moment: try again")
        return self.server, peer

    async def _overwrite(self, server: PostgresServer, peer: Member, dump: Path) -> repair.Overwritten:
        admin = server.conninfo("postgres")
        link = server.link_conninfo(peer.address, peer.store_port, self.files.secrets().vmrepl)
        try:
            async with self._replica(server, peer) as replica:
                written = (await replica.peer_state()).written

                async def delivered() -> None:
                    async with asyncio.timeout(DELIVERED):
                        while (await replica.peer_state()).flushed < written:  # noqa: ASYNC110
                            await asyncio.sleep(LOOK)

                return await repair.overwrite(admin, link, dump, delivered)
        except TimeoutError:
            raise ClusterError(f"{peer.name} does not take what was written here: try again") from None
        except (StoreError, OSError) as error:
            kept = f"; what was removed is in {dump}" if dump.exists() else ""
            raise ClusterError(f"it was cut short, do it again: {_line(error)}{kept}") from None

    # ---- what a split left for people

    async def conflicts(self, _: Asked) -> dict[str, Any]:
        """Of this node's database: {"shared": [...], "overruled": [...]}."""
        try:
            found = await compare.conflicts(self.conninfo)
        except StoreError as error:
            raise ClusterError(f"the database does not answer: {_line(error)}") from None
        overruled = [asdict(one) | {"at": one.at.timestamp()} for one in found.overruled]
        return {"shared": [asdict(one) for one in found.shared], "overruled": overruled}

    # ---- within

    def _replica(self, server: PostgresServer, peer: Member) -> Any:
        return Replica.open(server.conninfo("postgres"), self.link.membership.number, peer.number)

    def _alone(self) -> asyncio.Lock:
        """One repair at a time. Raises ClusterError when one is going on."""
        if self._busy.locked():
            raise ClusterError("a repair is going on: wait until it is done")
        return self._busy


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
