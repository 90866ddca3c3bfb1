"""Sets lamps: reads a mailbox's counts just before sending and tells one destination.

A lamp is told nothing but what was read from the store; when the store does not answer, nothing is
sent. A lamp whose user is gone is put out.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from sip.errors import SipError
from sip.requests import Answer, Request
from store.api import Store
from store.model import Counts, OutboxItem, Setting
from voicemail.config import Trunk
from voicemail.policy.house import ALTERNATE, is_own
from voicemail.primary.agenda import Job, Outcome, Plan, Verdict
from voicemail.primary.clock import Clock
from voicemail.primary.handler import LaneSettings
from voicemail.primary.lamps import (
    BAD_EVENT,
    EXPIRES,
    SILENT,
    Senders,
    edge_lane,
    notify,
    publish,
    trunk_lane,
)
from voicemail.primary.lease import Permit
from voicemail.primary.places import Destinations, Directory, Lamp, changed

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
        self._directory = Directory()
        self._etags: dict[tuple[str, str], str] = {}
        self._readings: dict[UUID, Reading] = {}
        self.peer_edge = ""

    @property
    def _edges(self) -> dict[str, str]:
        return {edge_lane(edge): edge for edge in (self._we.edge, self.peer_edge) if edge}

    def lanes(self) -> Mapping[str, LaneSettings]:
        trunk, edge = LaneSettings(AT_ONCE, WAITING, TRUNK_AGAIN), LaneSettings(AT_ONCE, WAITING, EXPIRES / 2)
        return dict.fromkeys(self._trunks, trunk) | dict.fromkeys(self._edges, edge)

    @property
    def directory(self) -> Directory:
        """Users and numbers as they were read last."""
        return self._directory

    @property
    def where(self) -> Destinations:
        return Destinations(self._trunks, self._edges)

    async def plan(self, item: OutboxItem) -> Plan:
        self._readings.pop(item.mailbox_id, None)  # whatever was read may be older than this item
        user = self._directory.users.get(item.mailbox_id)
        if user is None:
            user = await self._store.users.get(item.mailbox_id)
            if user is None:
                return Plan(item.id, otherwise="no such user")
            self._directory.add(user)
        return Plan(item.id, more=frozenset(self._directory.places(user, self.where)))

    async def refresh(self) -> Sequence[tuple[str, Lamp]]:
        users, further = await self._store.users.all(), await self._store.settings.all(ALTERNATE)
        before, self._directory = self._directory, Directory(users, _further(further))
        return tuple(changed(before, self._directory, self.where))

    def subjects(self, lane: str) -> Iterable[Lamp]:
        return self._directory.lamps(lane, self.where)

    async def perform(self, job: Job, permit: Permit) -> Outcome:
        lamp, lane = job.subject, job.lane
        if not isinstance(lamp, Lamp):
            raise TypeError(f"not a lamp: {lamp!r}")
        counts = await self._shown(lamp, lane)
        if counts is None:
            return Outcome(Verdict.SENT, "it shows another user's messages now")
        try:
            if trunk := self._trunks.get(lane):
                permit()
                return outcome(await self._send(notify(trunk, lamp.number, counts, self._we)))
            if edge := self._edges.get(lane):
                return await self._publish(edge, lamp.number, counts, permit)
        except SipError as error:
            return Outcome(Verdict.FAILED, str(error))
        return Outcome(Verdict.SENT, "no such destination now")

    async def _shown(self, lamp: Lamp, lane: str) -> Counts | None:
        """What this lamp must show: nothing waiting when it is nobody's any longer; None when it is
        somebody else's."""
        owner = self._directory.owner(lane, lamp.number, self.where)
        if owner is None:
            return Counts()
        return await self._counts(lamp.mailbox) if owner == lamp.mailbox else None

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
        """A publication that the edge has forgotten (412) is begun anew. It has forgotten all then: its
        database was lost, or another node has published meanwhile."""
        key = (edge, extension)
        etag = self._etags.pop(key, "")
        permit()
        answer = await self._send(publish(edge, extension, counts, etag, self._we))
        lost = answer.code == 412 and bool(etag)
        if answer.code == 412:
            self._etags = {known: tag for known, tag in self._etags.items() if known[0] != edge}
            permit()
            answer = await self._send(publish(edge, extension, counts, "", self._we))
        if answer.ok and (new := answer.header("SIP-ETag")):
            self._etags[key] = new
        return replace(outcome(answer), lost=lost)

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


def _further(settings: Iterable[Setting]) -> dict[str, UUID]:
    """Further numbers that administrators gave; those that users gave themselves, such as their mobile
    telephones', show no lamp. One whose setting is damaged is left out, so that the others hold."""
    found = {}
    for each in settings:
        try:
            owner = UUID(json.loads(each.body)["user"])
            if not is_own(each, owner):
                found[each.name] = owner
        except (ValueError, TypeError, KeyError):
            continue
    return found


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
