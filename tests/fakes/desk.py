"""A desk with everything on it: memory store, real spool, real delivery; time and pauses by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from argon2 import PasswordHasher

from sip import wav
from sip.call import RecordLimits
from sip.invite import Invite
from store.ids import uuid7
from store.memory import MemoryStore
from store.model import Folder, Message, NewMessage, Setting, User
from store.spool import Spool
from tests.fakes.call import START, Clock, ScriptedCall, Step
from voicemail.conversation.desk import Desk, Sounds
from voicemail.delivery import Delivery, Rules
from voicemail.pilot import Pilot, PilotSettings
from voicemail.policy.book import OPTIONS, Policies
from voicemail.policy.model import UserOptions

PIN = "839204"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PIN_HASH = CHEAP.hash(PIN)
"""As `pins.hashed`, but compared in no time: the cost is written in the hash."""
ANNA = User(id=uuid4(), extension="1001", name="Anna", pin_hash=PIN_HASH)
BEN = User(id=uuid4(), extension="1002", name="Ben", pin_hash=PIN_HASH)
PILOT = "5000"
READY = UserOptions(enrolled=True)
"""Of users who have been there before."""


class Pauses:
    """A sleep that lasts until the test ends it."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._over.wait()
        self._over.clear()

    def end(self) -> None:
        self._over.set()


@dataclass
class House:
    """What a worker has, to be looked into."""

    folder: Path
    store: MemoryStore
    spool: Spool
    delivery: Delivery
    clock: Clock
    pauses: Pauses = field(default_factory=Pauses)

    def desk(self) -> Desk:
        sounds = self.folder / "sounds"
        sounds.mkdir(exist_ok=True)
        policies = Policies(self.store, self.clock.now)
        return Desk(
            self.store, self.delivery, Sounds(sounds), policies, self.clock.now, RecordLimits(longest=60.0)
        )

    def pilot(self) -> Pilot:
        desk = self.desk()
        settings = PilotSettings(PILOT, self.folder / "sounds", desk.limits, desk.policy)
        return Pilot(self.store, self.delivery, settings, self.clock.now)

    def call(self, *script: Step, leaves_at: int = 0, invite: Invite | None = None) -> ScriptedCall:
        """A call that has been answered already, unless an `invite` is given."""
        call = ScriptedCall(list(script), leaves_at=leaves_at, clock=self.clock, answered=invite is None)
        call.invite = invite or call.invite
        return call

    async def messages(self, user: User = ANNA, *folders: Folder) -> list[Message]:
        return list(await self.store.messages.listing(user.id, *folders))

    async def audio(self) -> list[bytes]:
        """The samples of all messages of ANNA, oldest first, each run of equal samples as one."""
        found = [await self.store.messages.audio(each.id) for each in await self.messages()]
        return [_runs(wav.parse(each).data) for each in found]

    async def leave(self, user: User = ANNA, audio: bytes | None = None, **more: object) -> NewMessage:
        """A message in the store, 4 s long."""
        whole = wav.file_ulaw(b"\x55" * 4 * wav.RATE) if audio is None else audio
        plain = NewMessage(uuid7(), user.id, "+4930555", "", START, 4.0)
        new = replace(plain, **more)  # type: ignore[arg-type]
        await self.store.messages.deposit(new, whole)
        return new

    def left_in_spool(self) -> int:
        return len(list(self.spool.folder.glob("*.json")))


def _runs(samples: bytes) -> bytes:
    return bytes(b for i, b in enumerate(samples) if not i or samples[i - 1] != b)


@asynccontextmanager
async def house(folder: Path, *users: User) -> AsyncIterator[House]:
    """A worker's house with these users, ANNA and BEN if none are named."""
    store, spool, pauses, clock = MemoryStore(), Spool(folder / "spool", 0), Pauses(), Clock()
    store.state.now = clock.now
    for user in users or (ANNA, BEN):
        await store.users.add(user)
        await store.settings.put(Setting(UserOptions.KIND, OPTIONS, READY.model_dump_json(), user.id))
    async with Delivery(store, spool, Rules(least_free=1), sleep=pauses) as delivery:
        yield House(folder, store, spool, delivery, clock, pauses)
    spool.close()
