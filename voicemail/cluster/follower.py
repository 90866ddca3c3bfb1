"""Keeps the two databases linked: subscribes, and switches whether deposits wait for the peer.

Looks twice a second, and at once when the link to the peer changes. Losing the peer and its return
need no action on data: only the switch changes. `wanted` decides it; the rest acts. A node that has no
subscription, or whose peer no longer keeps for it what it missed, makes a new one and copies what it
lacks; that may take minutes, beside the looking.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from store.errors import StoreError
from store.features import Feature
from store.replica import PeerState, Replica, SlotState, SubscriptionState
from voicemail.cluster.hearing import Hearing
from voicemail.cluster.keepalive import KeepAlive
from voicemail.secrets import Member

log = structlog.get_logger()

LOOK = 0.5
STUCK = 3.0
"""Seconds without rows from a peer that is there, until it is asked whether it still keeps them for us."""
ASLEEP = 10.0
"""Seconds in which PostgreSQL does not even try to fetch the peer's rows, until it gets a new subscription.
It starts a failed worker again a moment after the last start, by the wall clock: after a jump back of an
hour that is an hour later."""
COUNT = 10.0
"""Seconds between two counts of what is counted in whole tables."""
MARKS = 512


@dataclass(frozen=True, slots=True)
class Following:
    """What is known of replication, for status and roles."""

    database: bool = False
    """This node's own database answers."""
    subscribed: bool = False
    """Linked to the peer, with everything that the peer had then."""
    receiving: bool = False
    """The peer's rows arrive here."""
    covers: bool = False
    """Those of every table that this release replicates; the peer may write into new ones then."""
    delivered: bool = False
    """The peer has on disk all that was written here, but for the last moment's."""
    delivered_at: float | None = None
    """The moment (monotonic seconds) until which the peer has on disk all that was written here."""
    synchronous: bool = False
    lag: int | None = None
    single_copies: int | None = None
    retained: int | None = None
    """Bytes of log kept for the peer; None when it never subscribed."""
    room: int | None = None
    """How many bytes more can be written before the peer's rows are no longer kept for it."""
    lost: bool = False
    """They are not: the peer copies what it lacks when it is back."""
    conflicts: int | None = None
    """Extensions that two users have since a split; see `voicemail cluster conflicts`."""
    apply_errors: int | None = None
    """Failures to apply the peer's rows, since ever."""


def wanted(peer: KeepAlive | None, state: PeerState) -> bool:
    """Whether deposits are to wait for the peer's disk: only while it is heard, its database answers,
    and its replication is near enough for the wait to be short."""
    return peer is not None and peer.database and state.caught_up


def merged(following: Following, hearing: Hearing, now: float) -> bool:
    """Whether both nodes have on disk all that either took before they heard of each other again. Each tells
    until which moment the other has its rows; both moments must be after the end of the last silence."""
    peer = hearing.recent(now)
    if peer is None or not following.receiving or following.delivered_at is None:
        return False
    if (
        peer.delivered_ago is None and not peer.delivered
    ):  # a node of the release before says `delivered` only
        return False
    theirs = hearing.at - (peer.delivered_ago or 0.0)
    return min(theirs, following.delivered_at) >= hearing.calm


@dataclass(frozen=True, slots=True)
class Idle:
    """PostgreSQL fetches no rows of the peer, and has not tried to."""

    since: float
    errors: int
    """Failures until then: one more means that it tries."""


def idle(before: Idle | None, incoming: SubscriptionState | None, there: bool, now: float) -> Idle | None:
    """None: it fetches them, is not meant to, or cannot: the peer's database is not `there`. A connection
    that is refused counts as no failure, so an absent peer would look like a worker that does not try."""
    if not there or incoming is None or not incoming.enabled or incoming.running:
        return None
    same = before is not None and before.errors == incoming.errors
    return before if same else Idle(now, incoming.errors)


def told(schema: int, follower: "Follower | None") -> int:
    """The version of the schema that the other node may count on: it must not write into a table whose
    rows do not come here yet (docs/decisions/0009)."""
    return schema if follower is None or follower.state.covers else min(schema, Feature.SETTINGS - 1)


def ago(moment: float | None, now: float) -> float | None:
    """For the keep-alive: moments are of one machine's clock."""
    return None if moment is None else round(now - moment, 3)


class Delivery:
    """Works out `Following.delivered_at`, from how far our log was at each look and how far the peer is."""

    def __init__(self) -> None:
        self.until: float | None = None
        self._marks: list[tuple[float, int]] = []
        self._apart = 0.0

    def seen(self, at: float, written: int, flushed: int) -> float | None:
        """All that was written before `at` lies before `written` in our log. The moment, if one is known."""
        if not self._marks or at - self._marks[-1][0] >= self._apart:
            self._marks.append((at, written))
        while self._marks and self._marks[0][1] <= flushed:
            self.until = self._marks.pop(0)[0]
        if len(self._marks) > MARKS:  # far behind: every second one will do
            del self._marks[1::2]
            self._apart = 2 * self._apart or 2 * LOOK
        elif not self._marks:
            self._apart = 0.0
        return self.until


class Follower:
    """One node's watch over replication with its one peer."""

    def __init__(
        self, conninfo: str, number: int, peer: Member, link: str, said: Callable[[], KeepAlive | None]
    ) -> None:
        self.conninfo, self.number, self.peer, self.link, self.said = conninfo, number, peer, link, said
        self.state = Following()
        self._wake = asyncio.Event()
        self._trouble: dict[str, str] = {}
        self._delivery = Delivery()
        self._linked = self._covers = False
        self._received = self._counted = float("-inf")
        self._idle: Idle | None = None
        self._conflicts: int | None = None
        self._linking: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look now: the link to the peer changed."""
        self._wake.set()

    async def run(self) -> None:
        async with Replica.open(self.conninfo, self.number, self.peer.number) as replica:
            try:
                while True:
                    self._wake.clear()
                    try:
                        self.state = await self._look(replica)
                        self._tell("Replication cannot be followed.")
                    except StoreError as error:
                        self.state = Following()
                        self._tell("Replication cannot be followed.", str(error))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK):  # wait_for may swallow a cancellation (3.11)
                            await self._wake.wait()
            finally:
                if self._linking:
                    self._linking.cancel()
                    await asyncio.wait({self._linking}, timeout=1.0)

    async def _look(self, replica: Replica) -> Following:
        now, peer = time.monotonic(), self.said()
        state = await replica.peer_state()
        want = wanted(peer, state)
        await replica.switch_synchronous(want)
        incoming, slot = await replica.subscription_state(), await replica.slot_state()
        receiving = incoming is not None and incoming.enabled and incoming.running and incoming.ready
        there, seen = peer is not None and peer.database, time.monotonic()  # our own database may hang
        if receiving or not there:
            self._received = seen
        self._idle = idle(self._idle, incoming, there, seen)
        if there:
            self._keep_linked(replica, incoming, seen)
        if now - self._counted > COUNT:
            self._conflicts, self._counted = await replica.conflicts(), now
        single = await (replica.clear_single_copies() if want else replica.single_copies())
        moment = self._delivery.seen(now, state.written, state.flushed)
        return Following(
            database=True,
            subscribed=incoming is not None and incoming.enabled,
            receiving=receiving,
            covers=self._covers,
            delivered=state.caught_up and moment is not None,
            delivered_at=moment,
            synchronous=want,
            lag=state.lag,
            single_copies=single,
            conflicts=self._conflicts,
            apply_errors=incoming.errors if incoming else None,
            **_kept(slot),
        )

    def _keep_linked(self, replica: Replica, incoming: SubscriptionState | None, now: float) -> None:
        """Have the subscription made, completed or replaced where it needs to be; one try at a time."""
        whole = self._linked and self._covers and incoming is not None and incoming.enabled
        if (whole and now - self._received < STUCK) or (self._linking and not self._linking.done()):
            return
        self._received = now  # the next try comes after as long a time
        self._linking = asyncio.create_task(self._link(replica))

    async def _link(self, replica: Replica) -> None:
        try:
            incoming = await replica.subscription_state()
            if incoming and incoming.enabled and (why := await self._useless(replica)):
                log.warning("The other node is subscribed to anew.", peer=self.peer.name, why=why)
                await replica.drop_subscription()
            await replica.ensure_subscription(self.link)
            self._linked, self._covers = True, await replica.cover()
            self._tell("The other node cannot be subscribed to.")
        except Exception as error:  # whatever it is, it is tried again; other texts may hold a password
            why = str(error) if isinstance(error, StoreError) else type(error).__name__
            self._tell("The other node cannot be subscribed to.", why)

    async def _useless(self, replica: Replica) -> str:
        """Why the subscription will bring nothing any more; "" when it may."""
        if await replica.slot_is_lost(self.link):
            return "it no longer keeps what this one missed"
        if self._idle and time.monotonic() - self._idle.since > ASLEEP:
            return "the database does not fetch its rows"
        return ""

    def _tell(self, what: str, why: str = "") -> None:
        if why and why != self._trouble.get(what):
            log.warning(what, why=why)
        self._trouble[what] = why


def _kept(slot: SlotState | None) -> dict[str, Any]:
    if slot is None:
        return {}
    return {"retained": slot.retained, "room": slot.left, "lost": slot.lost}
