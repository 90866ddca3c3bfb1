"""A store with messages for other systems, what sends them, and a mailer that does as it is told."""

import asyncio
import json
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from uuid import UUID

import aiosmtplib

from sip import wav
from store.ids import uuid7
from store.memory import MemoryStore
from store.model import OUTGOING, Envelope, Folder, Message, NewMessage, OutboxItem, Setting, User
from tests.fakes.primary import HandClock
from voicemail import departures
from voicemail.config import Mail
from voicemail.policy.locations import Location, Tls
from voicemail.primary.agenda import Job, Outcome
from voicemail.primary.lease import Permit
from voicemail.primary.post import Post
from voicemail.primary.routes import Route
from voicemail.primary.smtp_out import Parcel

ANNA = User(UUID(int=1), "1001", name="Anna Ähre")
FAR = Location(domain="vm2.example")
NEAR = Location(domain="vm3.example", host="vm3.example:2525", tls=Tls.VERIFY)
MAIL = Mail()
SPEECH = wav.file_ulaw(bytes(range(256)) * 50)
REFUSAL = aiosmtplib.SMTPRecipientRefused(550, "5.1.1 no such mailbox", "x")
BUSY = aiosmtplib.SMTPRecipientRefused(451, "4.3.0 later", "x")


@dataclass
class Sent:
    """A mailer: keeps what it was given. `failures` are raised, by receiver; who is in `hanging` waits."""

    parcels: list[Parcel] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    hanging: dict[str, asyncio.Event] = field(default_factory=dict)
    until_stuck: int = 1000
    longest: int = 10**9
    """Bytes of a mail that are taken."""

    async def send(self, parcel: Parcel, route: Route, permit: Permit) -> None:
        permit()
        if failure := self.failures.get(parcel.receiver):
            raise failure
        if len(parcel.content) > self.longest:
            raise aiosmtplib.SMTPDataError(552, "5.3.4 too big")
        self.parcels.append(parcel)
        self.routes.append(route)
        if event := self.hanging.get(parcel.receiver):
            await event.wait()
        if sum(each.domain == route.domain for each in self.routes) > self.until_stuck:
            await asyncio.Event().wait()

    @property
    def receivers(self) -> list[str]:
        return [each.receiver for each in self.parcels]

    @property
    def ids(self) -> list[str]:
        return [str(message_from_bytes(each.content, policy=default)["Message-ID"]) for each in self.parcels]


class Office:
    """A store with one user and two locations, and the handler."""

    def __init__(self, mail: Mail = MAIL) -> None:
        self.store, self.clock, self.sent = MemoryStore(), HandClock(), Sent()
        self.store.state.users[ANNA.id] = ANNA
        self.post = Post(self.store, mail, "vm1.example", self.sent, self.clock)
        for name, each in (("far", FAR), ("near", NEAR)):
            self.set(name, each)

    def set(self, name: str, location: Location) -> None:
        setting = Setting(Location.KIND, name, location.model_dump_json())
        self.store.state.settings[setting.id] = setting

    async def leaves(self, *to: str, sender: UUID | None = ANNA.id, **more: object) -> list[OutboxItem]:
        envelope = Envelope(sender=sender, recipients=to, **more)  # type: ignore[arg-type]
        new = NewMessage(uuid7(), OUTGOING, "1001", "Anna", self.clock.now(), 1.6, envelope=envelope)
        await departures.depart(self.store, new, to, SPEECH, 1.0)
        return [i for i in self.store.state.outbox.values() if json.loads(i.payload).get("to") in to]

    async def try_once(self, item: OutboxItem) -> Outcome:
        plan = await self.post.plan(item)
        (lane,) = plan.lanes
        assert lane in self.post.lanes()
        return await self.post.perform(Job(lane, plan.subject, (item,)), lambda: None)

    async def record(self, item: OutboxItem) -> None:
        """As the runner does when a piece of work has ended."""
        await self.store.outbox.done(item, "sent", 1)

    async def told(self) -> list[Message]:
        return list(await self.store.messages.listing(ANNA.id))

    async def leaving(self) -> list[Message]:
        """What no other system has taken yet."""
        return list(await self.store.messages.listing(OUTGOING, Folder.NEW))

    async def kept(self) -> list[Message]:
        """What some other system has taken."""
        return list(await self.store.messages.listing(OUTGOING, Folder.SAVED))
