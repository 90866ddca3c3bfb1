"""Followers of a real pair, each of which hears the other while the link is whole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.pair import Pair
from voicemail.cluster.follower import Follower
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status
from voicemail.secrets import Member


def link_of(pair: Pair, node: int) -> str:
    """How node `node` (0 or 1) reaches the other's database, over the link that can be cut."""
    me, peer = pair.servers.nodes[node], pair.servers.nodes[1 - node]
    password = peer.server.settings.passwords.vmrepl
    return me.server.link_conninfo("127.0.0.1", peer.link.port, password)


@asynccontextmanager
async def followed(pair: Pair) -> AsyncIterator[list[Follower]]:
    """Both nodes as they watch over replication."""

    def follower(node: int) -> Follower:
        said, way = KeepAlive(2 - node, Status.PRIMARY, 1), pair.servers.nodes[1 - node].link
        conninfo = pair.servers.nodes[node].server.conninfo("postgres", "vm")
        peer = Member(2 - node, "peer", "127.0.0.1", 1, 1, 1)
        return Follower(conninfo, node + 1, peer, link_of(pair, node), lambda: said if way.whole else None)

    followers = [follower(node) for node in (0, 1)]
    running = [asyncio.create_task(one.run()) for one in followers]
    try:
        yield followers
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def deliver(followers: list[Follower], until: float, timeout: float = 40.0) -> None:
    """Return when both nodes know that the other has all that they took before `until` (monotonic)."""
    async with asyncio.timeout(timeout):
        while not all(one.state.receiving and (one.state.delivered_at or 0.0) >= until for one in followers):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
