"""The link to the other node: keep-alives both ways, questions, and replication between the databases."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from store.server import PostgresServer
from voicemail.cluster import asking
from voicemail.cluster.beacon import Exchange, Voice, key_of
from voicemail.cluster.follower import Follower, Following
from voicemail.cluster.keepalive import KeepAlive, speak
from voicemail.cluster.manager import Manager
from voicemail.errors import ClusterError
from voicemail.secrets import Membership, NodeFiles


class Link:
    """To whoever `membership` says the other node is. `say` gives our keep-alive; `replaced` is called
    when the other node has given this one up."""

    def __init__(
        self,
        files: NodeFiles,
        membership: Membership,
        server: PostgresServer | None,
        manager: Manager,
        say: Callable[[], KeepAlive],
        replaced: Callable[[], None],
    ) -> None:
        self.files, self.membership, self.server, self.manager = files, membership, server, manager
        self.voice, self.replaced = Voice(say), replaced
        self.follower: Follower | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def meet(self) -> None:
        """Talk to the peer of `membership`, if there is one, and link the databases."""
        for task in self.tasks:
            task.cancel()
        self.tasks.clear()
        self.follower = None
        self.manager.name, peer = self.membership.me.name, self.membership.peer
        self.manager.alone, self.manager.publisher = peer is None, self.membership.publisher
        if peer is None:
            return
        self.manager.peer_name = peer.name
        self.tasks.append(asyncio.create_task(speak(self.files, peer, self.voice, self.replaced)))
        key = key_of(self.files.secrets().cluster)
        beacons = Exchange(self.membership.me, peer, key, self.voice, self.beaconed)
        self.tasks.append(asyncio.create_task(beacons.run()))
        if self.server:
            link = self.server.link_conninfo(peer.address, peer.store_port, self.files.secrets().vmrepl)
            admin, number = self.server.conninfo("postgres"), self.membership.number
            self.follower = Follower(admin, number, peer, link, self.peer)
            self.tasks.append(asyncio.create_task(self.follower.run()))

    def heard(self, said: KeepAlive, opened: float) -> bool:
        """For the cluster port: a keep-alive from a connection that came in at `opened`."""
        with self._news():
            return self.manager.heard(said, opened, time.monotonic())

    def beaconed(self, said: KeepAlive, proof: float) -> None:
        """A keep-alive by datagram, made after `proof`."""
        with self._news():
            self.manager.beaconed(said, proof, time.monotonic())

    @contextmanager
    def _news(self) -> Iterator[None]:
        """Replication is looked at when the peer's database came or went."""
        before = self.manager.hearing.last
        yield
        now = self.manager.hearing.last
        if now and (before is None or before.database != now.database):
            self.wake()

    def lost(self) -> None:
        """For the cluster port: the peer's connection closed."""
        self.manager.lost(time.monotonic())
        self.wake()

    def wake(self) -> None:
        """Something changed: replication is looked at now."""
        if self.follower:
            self.follower.wake()

    def peer(self) -> KeepAlive | None:
        """What the peer says of itself; None while it is silent."""
        return self.manager.hearing.recent(time.monotonic())

    @property
    def following(self) -> Following:
        return self.follower.state if self.follower else Following()

    async def ask(self, asked: dict[str, Any], patience: float = asking.PATIENCE) -> dict[str, Any]:
        """Raises ClusterError."""
        if peer := self.membership.peer:
            return await asking.ask(self.files, peer, asked, patience)
        raise ClusterError("no other node has joined the cluster")
