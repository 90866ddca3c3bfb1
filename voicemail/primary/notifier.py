"""Sets lamps: reads a mailbox's counts just before sending and tells one destination.

A lamp is told nothing but what was read from the store; when the store does not answer, nothing is
sent. A lamp whose user is gone is put out.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sip.errors import SipError
from sip.requests import Answer, Request
from store.api import Store
from store.model import Counts, OutboxItem, User
from voicemail.config import Trunk
from voicemail.primary.agenda import Job, Outcome, Plan, Verdict
from voicemail.primary.clock import Clock
from voicemail.primary.handler import LaneSettings
from voicemail.primary.lamps import (
    BAD_EVENT,
    EXPIRES,
    SILENT,
    Lamp,
    Senders,
    changed,
    edge_lane,
    lamp_of,
    lanes_of,
    notify,
    publish,
    trunk_lane,
)
from voicemail.primary.lease import Permit

AT_ONCE = 8
"""Requests to one destination. The request client carries 64 in all, so that several destinations
may be silent before anything else has to wait."""
WAITING = 5000
TRUNK_AGAIN = 3600.0
FRESH = 0.25
"""Seconds for which counts once read serve other destinations of the same lamp."""


class Sender(Protocol):
    """As sip.requests.RequestClient."""

    async def send(
        self,
        method: str,
        target: str,
        headers: tuple[tuple[str, str], ...] = (),
        content_type: str = "",
        body: str = "",
        route: str = "",
        identity: str = "",
    ) -> Answer:
        """Silence is an answer: 408. Raises SipError when the request cannot be formed."""


@dataclass(frozen=True, slots=True)
class Reading:
    begun: float
    counts: asyncio.Future[Counts]


class Notifier:
    """The handler of lamps. `peer_edge` ("host:port") may be changed at any time."""

    def __init__(
        self, store: Store, sender: Sender, trunks: Iterable[Trunk], we: Senders, clock: Clock
    ) -> None:
        self._store, self._sender, self._we, self._clock = store, sender, we, clock
        self._trunks = {trunk_lane(trunk): trunk for trunk in trunks if trunk.lamp_uri}
        self._users: dict[UUID, User] = {}
        self._etags: dict[tuple[str, str], str] = {}
        self._readings: dict[UUID, Reading] = {}
        self.peer_edge = ""

    @property
    def _edges(self) -> dict[str, str]:
        return {edge_lane(edge): edge for edge in (self._we.edge, self.peer_edge) if edge}

    def lanes(self) -> Mapping[str, LaneSettings]:
        trunk, edge = LaneSettings(AT_ONCE, WAITING, TRUNK_AGAIN), LaneSettings(AT_ONCE, WAITING, EXPIRES / 2)
        return dict.fromkeys(self._trunks, trunk) | dict.fromkeys(self._edges, edge)

    async def plan(self, item: OutboxItem) -> Plan:
        self._readings.pop(item.mailbox_id, None)  # whatever was read may be older than this item
        user = self._users.get(item.mailbox_id) or await self._store.users.get(item.mailbox_id)
        if user is None:
            return Plan(item.id, otherwise="no such user")
        self._users[user.id] = user
        return Plan(lamp_of(user), lanes_of(user, self._trunks, self._edges))

    async def refresh(self) -> Sequence[tuple[str, Lamp]]:
        before, self._users = self._users, {user.id: user for user in await self._store.users.all()}
        return [
            (lane, lamp)
            for lamp, user in changed(before, self._users)
            for lane in lanes_of(user, self._trunks, self._edges)
        ]

    def subjects(self, lane: str) -> Iterable[Lamp]:
        edges = self._edges
        return (lamp_of(u) for u in self._users.values() if lane in lanes_of(u, self._trunks, edges))

    async def perform(self, job: Job, permit: Permit) -> Outcome:
        lamp, lane = job.subject, job.lane
        if not isinstance(lamp, Lamp):
            raise TypeError(f"not a lamp: {lamp!r}")
        counts = await self._shown(lamp, lane)
        if counts is None:
            return Outcome(Verdict.SENT, "another user has this extension now")
        try:
            if trunk := self._trunks.get(lane):
                permit()
                return outcome(await self._send(notify(trunk, lamp.extension, counts, self._we)))
            if edge := self._edges.get(lane):
                return await self._publish(edge, lamp.extension, counts, permit)
        except SipError as error:
            return Outcome(Verdict.FAILED, str(error))
        return Outcome(Verdict.SENT, "no such destination now")

    async def _shown(self, lamp: Lamp, lane: str) -> Counts | None:
        """What this lamp must show: nothing waiting when it is nobody's any longer; None when it is
        somebody else's."""
        user = self._users.get(lamp.mailbox)
        if user and user.extension == lamp.extension:
            if lane in lanes_of(user, self._trunks, self._edges):
                return await self._counts(lamp.mailbox)
            return Counts()
        if any(other.extension == lamp.extension for other in self._users.values()):
            return None
        return Counts()

    async def _counts(self, mailbox: UUID) -> Counts:
        now = self._clock.monotonic()
        reading = self._readings.get(mailbox)
        if reading is None or now > reading.begun + FRESH:
            if len(self._readings) > 4 * AT_ONCE:
                self._readings.clear()
            task = asyncio.ensure_future(self._store.messages.counts(mailbox))
            reading = self._readings[mailbox] = Reading(now, task)
        try:
            return await asyncio.shield(reading.counts)
        except Exception:
            self._readings.pop(mailbox, None)
            raise

    async def _publish(self, edge: str, extension: str, counts: Counts, permit: Permit) -> Outcome:
        """A publication that the edge has forgotten (412) is begun anew."""
        key = (edge, extension)
        permit()
        answer = await self._send(publish(edge, extension, counts, self._etags.pop(key, ""), self._we))
        if answer.code == 412:
            permit()
            answer = await self._send(publish(edge, extension, counts, "", self._we))
        if answer.ok and (etag := answer.header("SIP-ETag")):
            self._etags[key] = etag
        return outcome(answer)

    async def _send(self, request: Request) -> Answer:
        return await self._sender.send(
            request.method,
            request.target,
            request.headers,
            request.content_type,
            request.body,
            request.route,
            request.identity,
        )


def outcome(answer: Answer) -> Outcome:
    """What an answer means. One that refuses this lamp (404, 481) is tried again like a busy one: a PBX
    that is still loading its configuration answers so, too."""
    if answer.ok:
        return Outcome(Verdict.SENT, "sent")
    if answer.code == BAD_EVENT:
        return Outcome(Verdict.REFUSED, "no lamps are kept there")
    if answer.code in SILENT or answer.code < 200:
        return Outcome(Verdict.SILENT, f"no answer ({answer.code})")
    return Outcome(Verdict.FAILED, f"answered {answer.code}")
