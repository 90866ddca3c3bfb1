"""Keeps the two databases linked: subscribes, and switches whether deposits wait for the peer.

Looks twice a second, and at once when the link to the peer changes. Losing the peer and its return
need no action on data: only the switch changes. `wanted` decides it; the rest acts.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from store.errors import StoreError
from store.replica import PeerState, Replica
from voicemail.cluster.keepalive import KeepAlive
from voicemail.secrets import Member

log = structlog.get_logger()

LOOK = 0.5


class Link(Protocol):
    """What the follower asks the node."""

    def said(self) -> KeepAlive | None:
        """The peer's last keep-alive; None while it is silent."""


@dataclass(frozen=True, slots=True)
class Following:
    """What is known of replication, for status and roles."""

    database: bool = False
    """This node's own database answers."""
    subscribed: bool = False
    receiving: bool = False
    """The peer's rows arrive here."""
    delivered: bool = False
    """The peer has on disk all that was written here."""
    synchronous: bool = False
    lag: int | None = None
    single_copies: int | None = None


def wanted(peer: KeepAlive | None, state: PeerState) -> bool:
    """Whether deposits are to wait for the peer's disk: only while it is heard, its database answers,
    and its replication is near enough for the wait to be short."""
    return peer is not None and peer.database and state.caught_up


def may_subscribe(publisher: bool, peer: KeepAlive | None) -> bool:
    """The publisher subscribes first; the other node then copies what is there, so that nothing
    written in between is lost (a row written before the slot exists would never be sent)."""
    return peer is not None and peer.database and (publisher or peer.subscribed)


class Follower:
    """One node's watch over replication with its one peer."""

    def __init__(
        self, conninfo: str, number: int, peer: Member, link: str, said: Callable[[], KeepAlive | None]
    ) -> None:
        self.conninfo, self.number, self.peer, self.link, self.said = conninfo, number, peer, link, said
        self.state = Following()
        self._wake = asyncio.Event()
        self._trouble = ""

    def wake(self) -> None:
        """Look now: the link to the peer changed."""
        self._wake.set()

    async def run(self) -> None:
        async with Replica.open(self.conninfo, self.number, self.peer.number) as replica:
            while True:
                self._wake.clear()
                try:
                    self.state = await self._look(replica)
                    self._tell("")
                except StoreError as error:
                    self.state = Following()
                    self._tell(str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):  # wait_for may swallow a cancellation (Python 3.11)
                        await self._wake.wait()

    async def _look(self, replica: Replica) -> Following:
        peer = self.said()
        state = await replica.peer_state()
        want = wanted(peer, state)
        await replica.switch_synchronous(want)
        incoming = await replica.subscription_state()
        if incoming is None and may_subscribe(self.number == 1, peer):
            await replica.ensure_subscription(self.link)
            incoming = await replica.subscription_state()
        single = await (replica.clear_single_copies() if want else replica.single_copies())
        return Following(
            database=True,
            subscribed=incoming is not None,
            receiving=incoming is not None and incoming.running and incoming.ready,
            delivered=state.caught_up,
            synchronous=want,
            lag=state.lag,
            single_copies=single,
        )

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.warning("Replication cannot be followed.", why=trouble)
        self._trouble = trouble
