"""The process of the Primary's work, whole: real handlers, a clock moved by hand, a world that can fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from store.ids import uuid7
from store.memory import MemoryStore
from store.model import NewMessage, User, Work
from tests.fakes.primary import HandClock, PostBox, SipWorld, quiet
from voicemail.config import Mail, Trunk
from voicemail.primary.agenda import Agenda
from voicemail.primary.lamps import Senders
from voicemail.primary.lease import Lease
from voicemail.primary.notifier import Notifier
from voicemail.primary.postman import Postman
from voicemail.primary.runner import Runner

OWN, PEER = "192.0.2.11:5060", "192.0.2.12:5060"
PBX = Trunk(name="pbx", addresses=("192.0.2.5",), lamp_uri="sip:mwi-{extension}@192.0.2.5")
OTHER = Trunk(name="other", addresses=("192.0.2.6",), lamp_uri="sip:{extension}@192.0.2.6")
ANNA = User(UUID(int=1), "1001", mail="anna@example.com", attach=False)
BEN = User(UUID(int=2), "1002")
MAIL = Mail(host="mail.example.com", sender="vm@example.com", message_id_domain="vm.example.com")


@dataclass
class Primary:
    """One node's process, with everything around it."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: HandClock = field(default_factory=HandClock)
    world: SipWorld = field(default_factory=SipWorld)
    post: PostBox = field(default_factory=PostBox)
    trunks: tuple[Trunk, ...] = (PBX,)
    mail: Mail = MAIL
    own: str = OWN

    def __post_init__(self) -> None:
        we = Senders(self.own, f"sip:5000@{self.own}")
        self.notifier = Notifier(self.store, self.world, self.trunks, we, self.clock)
        postman = Postman(self.store, self.mail, self.post, UTC)
        handlers = {Work.LAMP: self.notifier, Work.MAIL: postman}
        self.runner = Runner(self.store, handlers, Agenda(lambda: 0.0), self.clock, Lease())

    def renew(self, epoch: int = 1) -> None:
        self.runner.renew(epoch, self.clock.monotonic())

    async def later(self, seconds: float, epoch: int = 1) -> None:
        """Time passes, and the supervisor renews all along."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            self.renew(epoch)
            await quiet(20)

    async def deposit(self, user: User = ANNA, urgent: bool = False) -> UUID:
        message = NewMessage(uuid7(), user.id, "1007", "Eve", datetime.now(UTC), 7.0, urgent)
        await self.store.messages.deposit(message, b"")
        return message.id

    def lamp(self, uri: str) -> tuple[int, int] | None:
        shown = self.world.lamps.get(uri)
        return (shown.new, shown.old) if shown else None

    async def until_done(self, epoch: int = 1, most: int = 5000) -> None:
        """Time passes until nothing is left. Mails are written in real threads, so some seconds may pass
        while one is."""
        for _ in range(most):
            if self.left == 0:
                return
            await self.later(1, epoch)
        raise AssertionError(f"{self.left} items are left")

    @property
    def left(self) -> int:
        return len(self.store.state.outbox) - len(self.store.state.done)

    @asynccontextmanager
    async def on_duty(self, epoch: int = 1) -> AsyncIterator[None]:
        async with self.running():
            self.renew(epoch)
            await quiet()
            self.world.forget()
            yield

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.runner.run())
        try:
            await quiet()
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
