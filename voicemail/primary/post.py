"""Sends messages and reports to other systems: the handler of Work.POST and Work.REPORT.

Each destination has a lane of its own: the host of a location, the smart host, or the exchangers of a domain.
A mail's Message-ID is made of its row of work, so a repeat after a takeover can be recognised. The 2xx of the
other system ends the work. What it refuses for good, and what nobody took for five days, comes back to the
author as a message that says so; when it is four hours late, he is told once that it is.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import aiosmtplib
import structlog

from sip.errors import BadSound
from store.api import Store
from store.errors import NotFound, StoreError, Unavailable
from store.model import OUTGOING, Mark, Message, OutboxItem, User, Work
from voicemail import departures
from voicemail.config import Mail
from voicemail.errors import VoicemailError
from voicemail.greetings import NAME
from voicemail.policy.elsewhere import answerable, barred, domain_of, host_and_port, location_of
from voicemail.policy.locations import Location, Tls
from voicemail.postroom import GONE, HELD, LATE
from voicemail.primary.agenda import Job, Outcome, Plan, Subject, Verdict
from voicemail.primary.backoff import PATIENCE
from voicemail.primary.clock import Clock
from voicemail.primary.handler import LaneSettings
from voicemail.primary.lease import Permit
from voicemail.primary.outgoing import voice_mail
from voicemail.primary.report_mail import report_mails
from voicemail.primary.returns import (
    LATE_ONE,
    LEAVING,
    CannotGo,
    Posting,
    bring_back,
    clear,
    taken,
    tell,
    to_clear,
)
from voicemail.primary.routes import Route, smart_host
from voicemail.primary.smtp_out import Parcel, outcome
from voicemail.vpim.headers import NoAddress
from voicemail.vpim.model import Codec
from voicemail.vpim.write import written

log = structlog.get_logger()

AT_ONCE, WAITING = 1, 1000
"""Mails to one destination at once: so many a takeover may repeat. And in hand; more are postponed."""
DESK = "post desk"
"""The lane of what is not sent any more, and only has to be told."""
MOST_LANES = 500
"""Destinations with a lane of their own; what comes beyond shares some."""
SHARED = 16
LEAST_TRIES = 10
"""Nor is it given up before so many tries here: nodes may have been down for days."""
TELL = timedelta(hours=4)
"""After which the author is told that it is late (as mail servers do by default)."""
FRESH = 2.0
"""Seconds for which locations are used without reading them again."""
SWEEP, SWEEP_AFTER = 3600.0, 500
"""Seconds, and mails that were taken, between two looks for messages that nothing waits for any more."""
MOST_ENDED = 10_000


class Sends(Protocol):
    """Hands mails over. The real one is Mailer."""

    async def send(self, parcel: Parcel, route: Route, permit: Permit) -> None:
        """Ask `permit`, then hand over. Raises SMTPException, OSError, NotPrimary."""


class Post:
    """One for the process. `domain` is that of our mailboxes: 1001@domain. `settings` are [mail]'s."""

    def __init__(self, store: Store, settings: Mail, domain: str, mailer: Sends, clock: Clock) -> None:
        self._store, self._settings, self._mailer, self._clock = store, settings, mailer, clock
        self._domain = domain
        self._lanes = {DESK: LaneSettings(AT_ONCE, WAITING)}
        self._locations: Mapping[str, Location] = {}
        self._read_at = self._swept_at = float("-inf")
        self._ended: dict[UUID, None] = {}
        """Rows that ended lately, which the store may not know yet."""
        self._accepted = 0
        """Mails since the last sweep."""

    def lanes(self) -> Mapping[str, LaneSettings]:
        return dict(self._lanes)

    def subjects(self, lane: str) -> Iterable[Subject]:
        return ()

    async def refresh(self) -> Sequence[tuple[str, Subject]]:
        await self._clear_away()
        return ()

    async def plan(self, item: OutboxItem) -> Plan:
        try:
            address = self._address(item)
            route = await self._route(address)
        except CannotGo:
            return Plan(item.id, frozenset({DESK}))
        if item.attempts and self._age(item) >= TELL and item.kind is Work.POST:
            await self._tell_late(item, address)
        if self._over(item, item.attempts):
            return Plan(item.id, frozenset({DESK}))
        return Plan(item.id, frozenset({self._lane(route)}))

    async def perform(self, job: Job, permit: Permit) -> Outcome:
        (item,) = job.items
        if job.lane == DESK and self._over(item, item.attempts):
            ended = Outcome(Verdict.REFUSED, "given up: the destination did not take it for days")
        else:
            ended = await self._sent(item, permit)
        if ended.verdict in (Verdict.FAILED, Verdict.SILENT) and self._over(item, item.attempts + 1):
            ended = Outcome(Verdict.REFUSED, f"given up: {ended.text}")
        if item.kind is Work.POST and ended.verdict is Verdict.REFUSED:
            await bring_back(self._store, item, ended.text)
        if item.kind is Work.POST and ended.verdict is Verdict.SENT:
            await self._taken(item)
        elif ended.verdict in (Verdict.SENT, Verdict.REFUSED):
            await self._clear(item)
        return ended

    # -- where to ------------------------------------------------------------------------------------

    def _age(self, item: OutboxItem) -> timedelta:
        """Since it could first go."""
        try:
            due = Posting.read(item.payload).due if item.kind is Work.POST else None
        except CannotGo:
            due = None
        return self._clock.now() - max(item.created, due or item.created)

    def _over(self, item: OutboxItem, tries: int) -> bool:
        return self._age(item) >= PATIENCE and tries >= LEAST_TRIES

    def _address(self, item: OutboxItem) -> str:
        """Raises CannotGo."""
        address = Posting.read(item.payload).to
        if not domain_of(address):
            raise CannotGo(f"not a mail address: {address!r}")
        return address

    async def _known(self) -> Mapping[str, Location]:
        """Raises Unavailable."""
        now = self._clock.monotonic()
        if now - self._read_at >= FRESH:
            self._locations, self._read_at = await departures.locations(self._store), now
        return self._locations

    async def _location(self, address: str) -> Location | None:
        """One that is not known may have been made a moment ago. Raises Unavailable."""
        if found := location_of(address, await self._known()):
            return found
        self._read_at = float("-inf")
        return location_of(address, await self._known())

    async def _route(self, address: str) -> Route:
        """Raises CannotGo, Unavailable."""
        location = await self._location(address)
        if location and location.host:
            try:
                return Route(*host_and_port(location.host), tls=location.tls)
            except ValueError as error:
                raise CannotGo(f"location {location.domain}: host: {error}") from None
        tls = location.tls if location else Tls.OPPORTUNISTIC
        return smart_host(self._settings) or Route(domain=domain_of(address), tls=tls)

    def _lane(self, route: Route) -> str:
        """It stays for as long as this process runs: closing it would end what waits for it."""
        name = f"post {route.name}"
        if name not in self._lanes and len(self._lanes) >= MOST_LANES:
            name = f"post others {sum(name.encode()) % SHARED}"
        self._lanes.setdefault(name, LaneSettings(AT_ONCE, WAITING))
        return name

    # -- sending -------------------------------------------------------------------------------------

    async def _sent(self, item: OutboxItem, permit: Permit) -> Outcome:
        if item.kind is Work.POST:
            return await self._handed(item, self._posted(item), permit)
        whole = await self._whole(item)
        ended = await self._handed(item, self._reported(item, whole), permit)
        if whole and ended.verdict is Verdict.REFUSED:  # too big, perhaps, or of eight bits
            log.info("report goes without the mail", id=str(item.id), why=ended.text)
            ended = await self._handed(item, self._reported(item, b""), permit)
        return ended

    async def _handed(
        self, item: OutboxItem, writing: Coroutine[None, None, list[Parcel]], permit: Permit
    ) -> Outcome:
        try:
            parcels = await writing
            if not parcels:
                return Outcome(Verdict.SENT, "nothing sent: the message was taken back")
            for parcel in parcels:
                await self._mailer.send(parcel, await self._route(parcel.receiver), permit)
        except CannotGo as error:
            return Outcome(Verdict.REFUSED, f"{error.word}, {error}")
        except (aiosmtplib.SMTPException, OSError) as error:
            return outcome(error)
        return Outcome(Verdict.SENT, "sent")

    async def _posted(self, item: OutboxItem) -> list[Parcel]:
        """None of them when the message is gone. Raises CannotGo, Unavailable."""
        message = item.message_id and await self._store.messages.get(item.message_id)
        if not message:
            return []
        address = self._address(item)
        location = await self._location(address)
        why = barred(location, secure=message.envelope.secure, passed_on=False)
        if why or location is None:
            raise CannotGo(why, HELD if location else GONE)
        try:
            audio = await self._store.messages.audio(message.id)
        except NotFound:
            return []
        users = await self._speakers(message)
        author = users.get(message.envelope.sender) if message.envelope.sender else None
        name = await self._store.users.greeting(author.id, NAME) if author else None
        message_id = f"{item.id}@{self._domain}"
        try:
            mail = voice_mail(message, audio, address, message_id, location, self._domain, users, name)
            content = await asyncio.to_thread(written, mail, Codec(location.codec), str(item.id))
        except (BadSound, NoAddress, ValueError) as error:
            raise CannotGo(f"it cannot be written: {error}") from None
        tracked = answerable(mail.sender.address)  # reports to nobody would only come back
        return [Parcel(content, mail.sender.address, address, tracked, str(item.id) if tracked else "")]

    async def _speakers(self, message: Message) -> Mapping[UUID, User]:
        ids = {message.envelope.sender, *(part.sender for part in message.envelope.parts)}
        found = [await self._store.users.get(each) for each in ids if each]
        return {user.id: user for user in found if user}

    async def _whole(self, item: OutboxItem) -> bytes:
        """The mail that a report is about, where all of it goes back; b"" otherwise. Raises Unavailable."""
        message = item.message_id and await self._store.messages.get(item.message_id)
        if not message or message.mailbox_id != OUTGOING:  # of a receipt it is the user's message
            return b""
        try:
            return await self._store.messages.audio(message.id)
        except NotFound:
            return b""

    async def _reported(self, item: OutboxItem, whole: bytes) -> list[Parcel]:
        """Raises CannotGo."""
        try:
            mails = await asyncio.to_thread(report_mails, item, self._domain, whole)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, VoicemailError) as error:
            raise CannotGo(f"not a report: {error!r}") from None
        return [Parcel(each, "", self._address(item)) for each in mails]

    # -- what the author is told, and what is left behind ------------------------------------------------

    async def _tell_late(self, item: OutboxItem, address: str) -> None:
        try:
            await tell(self._store, item, LATE_ONE, LATE)
        except Unavailable:
            raise
        except StoreError as error:  # it is gone meanwhile, or the other node cannot take it yet
            log.info("nobody is told that it is late", id=str(item.id), to=address, why=str(error))

    async def _clear(self, item: OutboxItem) -> None:
        self._ended[item.id] = None
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        await clear(self._store, item, self._ended)

    async def _taken(self, item: OutboxItem) -> None:
        await taken(self._store, item)
        self._accepted += 1
        try:
            await self._clear_away()
        except StoreError as error:  # the mail went all the same
            log.warning("OUTGOING is not cleared now", why=str(error))

    async def _clear_away(self) -> None:
        """Now and then. Raises store errors."""
        now = self._clock.monotonic()
        if now - self._swept_at >= SWEEP or self._accepted >= SWEEP_AFTER:
            self._swept_at, self._accepted = now, 0
            await self._sweep()

    async def _sweep(self) -> None:
        """Messages that nothing waits for any more: taken elsewhere a while ago, or left over by a node that
        died before it could clear them away."""
        owed: set[UUID] = set()
        kept = await self._store.messages.listing(OUTGOING)
        for kind in LEAVING:
            owed.update((await self._store.outbox.owing(kind)).values())
        for message in to_clear(kept, owed, self._clock.now()):
            log.info("message of OUTGOING cleared away", message_id=str(message.id))
            await self._store.messages.mark(message.id, Mark.PURGE)
