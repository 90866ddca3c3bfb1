"""The store in memory: the same interface, passing the same contract tests. For tests and demonstrations."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from store import lockout
from store.errors import Conflict, Fenced, NotFound
from store.features import Feature
from store.ids import uuid7
from store.lockout import SignInEvent
from store.memory_dispatch import MemoryDispatches
from store.memory_messages import MemoryMessages, MemorySettings
from store.memory_state import Postponed, State
from store.model import (
    ALTERNATE_EXTENSION,
    REPORTS,
    SYSTEM,
    Folder,
    Greeting,
    NewWork,
    Notice,
    OutboxItem,
    Told,
    User,
    Waiting,
    Work,
    clean,
    setting_id,
)
from store.signing_in import Attempt, Glance, Look, PinPolicy

HOUR = timedelta(hours=1)


class MemoryUsers:
    def __init__(self, state: State) -> None:
        self._state = state

    async def by_extension(self, extension: str) -> User | None:
        found = next((user for user in await self.all() if user.extension == extension), None)
        return found or self._by_alternate(extension)

    def _by_alternate(self, extension: str) -> User | None:
        setting = self._state.settings.get(setting_id(ALTERNATE_EXTENSION, extension))
        return self._state.users.get(UUID(json.loads(setting.body)["user"])) if setting else None

    async def get(self, user_id: UUID) -> User | None:
        self._state.check()
        return self._state.users.get(user_id)

    async def all(self) -> Sequence[User]:
        self._state.check()
        return sorted(self._state.users.values(), key=lambda user: (user.extension, user.id))

    async def add(self, user: User) -> None:
        await self._require_free(user)
        if user.id in self._state.users:
            raise Conflict(f"user {user.id} is there already")
        self._state.users[user.id] = user
        self._state.tell("user_account")

    async def change(self, user: User) -> None:
        self._require(user.id)
        await self._require_free(user)
        self._state.users[user.id] = user
        self._state.tell("user_account")

    async def remove(self, user_id: UUID) -> None:
        self._require(user_id)
        del self._state.users[user_id]
        self._state.tell("user_account")

    async def greeting(self, user_id: UUID, kind: str = "standard") -> bytes | None:
        self._state.check()
        return self._state.greetings.get((user_id, kind))

    async def greeting_unless(self, user_id: UUID, version: str, kind: str = "standard") -> Greeting | None:
        audio = await self.greeting(user_id, kind)
        if audio is None:
            return None
        current = hashlib.sha1(audio).hexdigest()
        return Greeting(current, None if current == version else audio)

    async def set_greeting(self, user_id: UUID, audio: bytes | None, kind: str = "standard") -> None:
        self._state.check()
        if audio is None:
            self._state.greetings.pop((user_id, kind), None)
        else:
            self._state.greetings[user_id, kind] = audio
        self._state.tell("greeting")

    def _require(self, user_id: UUID) -> None:
        self._state.check()
        if user_id not in self._state.users:
            raise NotFound(f"no user {user_id}")

    async def _require_free(self, user: User) -> None:
        owner = await self.by_extension(user.extension)
        if owner and owner.id != user.id:
            raise Conflict(f"extension {user.extension} is in use")


class MemorySignIns:
    def __init__(self, state: State, store: "MemoryStore") -> None:
        self._state, self._store = state, store

    async def look(self, user_id: UUID, of: UUID, policy: PinPolicy, now: datetime) -> Look:
        locked = await self.locked_until(user_id, policy, now)
        return Look(await self._glance(of), locked is None)

    async def begin(
        self,
        user_id: UUID,
        policy: PinPolicy,
        now: datetime,
        *,
        of: UUID | None = None,
        look: Look | None = None,
    ) -> Attempt:
        attempt = uuid7()
        if not (look and look.open) and await self.locked_until(user_id, policy, now):
            return Attempt(attempt, user_id, allowed=False)
        self._record(attempt, user_id, now, "begin")
        if not lockout.allowed(self._events(user_id), attempt, policy):
            return Attempt(attempt, user_id, allowed=False)
        return Attempt(attempt, user_id, True, await self._glance(of) if of else None)

    async def _glance(self, of: UUID) -> Glance | None:
        store, user = self._store, await self._store.users.get(of)
        if user is None:
            return None
        name = await store.users.greeting_unless(of, "", "name")
        kinds = [each.envelope.kind for each in await store.messages.listing(of, Folder.NEW)]
        return Glance(
            user,
            await store.settings.get("user_options", "options", of),
            name.version if name else "",
            await store.messages.size(of),
            await store.messages.counts(of),
            sum(kind in REPORTS for kind in kinds),
            bool(await store.messages.listing(SYSTEM, Folder.NEW, Folder.SAVED)),
        )

    async def succeeded(self, attempt: Attempt) -> None:
        self._record(uuid7(), attempt.user_id, datetime.now(UTC), "success")

    async def locked_until(self, user_id: UUID, policy: PinPolicy, now: datetime) -> datetime | None:
        return lockout.locked_until(self._events(user_id), policy, now)

    async def unlock(self, user_id: UUID) -> None:
        self._record(uuid7(), user_id, datetime.now(UTC), "unlock")

    def _events(self, user_id: UUID) -> list[SignInEvent]:
        self._state.check()
        return self._state.sign_ins.setdefault(user_id, [])

    def _record(self, identifier: UUID, user_id: UUID, at: datetime, kind: str) -> None:
        self._events(user_id).append(SignInEvent(identifier, self._state.clock.now(), at, kind))


class MemoryOutbox:
    def __init__(self, state: State) -> None:
        self._state = state

    async def fence(self, epoch: int) -> None:
        self._state.check()
        self._state.epoch = max(self._state.epoch, epoch)

    async def due(self, now: datetime, epoch: int, limit: int = 100) -> Sequence[OutboxItem]:
        await self._hold(epoch)
        ready = [item for item in self._open() if (self._tries(item).until or now) <= now]
        return ready[:limit]

    async def done(self, item: OutboxItem, result: str, epoch: int, *, wait: float = 0.0) -> None:
        await self._hold(epoch)
        self._state.done.setdefault(item.id, result)
        self._state.tell("outbox_done")
        if wait and self._state.peer:
            await self._state.peer.wait()

    async def postpone(self, item: OutboxItem, until: datetime, why: str) -> None:
        tries = self._tries(item)
        self._state.postponed[item.id] = Postponed(tries.attempts + 1, until, why)

    async def add(self, work: Sequence[NewWork]) -> None:
        self._state.check()
        for new in [each for each in work if each.id not in self._state.outbox]:
            about = (new.id, new.kind, new.mailbox_id, new.message_id)
            self._state.outbox[new.id] = OutboxItem(*about, datetime.now(UTC), 0, new.payload)
            if new.not_before:
                self._state.postponed[new.id] = Postponed(0, new.not_before)
        self._state.tell("outbox")

    async def listed(self, limit: int = 1000) -> Sequence[Waiting]:
        tries = [(item, self._tries(item)) for item in self._open()[:limit]]
        return [Waiting(item, known.until, known.why) for item, known in tries]

    async def message_of(self, item_id: UUID) -> UUID | None:
        self._state.check()
        item = self._state.outbox.get(item_id)
        return item.message_id if item else None

    async def get(self, item_id: UUID) -> OutboxItem | None:
        self._state.check()
        return self._state.outbox.get(item_id)

    async def owing(self, kind: Work, message_id: UUID | None = None) -> Mapping[UUID, UUID]:
        found = {i.id: i.message_id for i in self._open() if i.kind is kind and i.message_id}
        return {one: about for one, about in found.items() if message_id in (None, about)}

    async def result(self, item_id: UUID) -> str | None:
        self._state.check()
        return self._state.done.get(item_id)

    async def drop(self, item_id: UUID, result: str) -> bool:
        self._state.check()
        if item_id in self._state.done or item_id not in self._state.outbox:
            return False
        self._state.done[item_id] = result
        self._state.tell("outbox_done")
        return True

    async def hurry(self, items: Sequence[UUID]) -> int:
        self._state.check()
        tried = [each for each in items if (known := self._state.postponed.get(each)) and known.attempts]
        for each in tried:
            self._state.postponed[each].until = None
        self._state.tell("outbox")
        return len(tried)

    async def pending(self) -> int:
        return len(self._open())

    async def waiting(self) -> Mapping[Work, tuple[int, int]]:
        items = self._open()
        return {
            kind: (sum(i.kind is kind for i in items), sum(i.kind is kind and i.attempts > 0 for i in items))
            for kind in {item.kind for item in items}
        }

    async def alarm(self, notice: Notice, now: datetime) -> Told:
        self._state.check()
        if self._state.schema < Feature.ALARM_MAIL:
            return Told.NOT_YET
        told = [i for i in self._state.outbox.values() if i.kind is Work.ALARM]
        before = [(i.created, one) for i in told if (one := Notice.read(i.payload)).alarm == notice.alarm]
        if notice.state == "cleared":
            if not before or before[-1][1].state == "cleared":
                return Told.NOTHING
        elif any(one.state != "cleared" and at > now - HOUR for at, one in before):
            return Told.EARLIER
        payload = json.dumps({key: clean(value) for key, value in asdict(notice).items()})
        item = OutboxItem(uuid7(), Work.ALARM, UUID(int=0), None, now, 0, payload)
        self._state.outbox[item.id] = item
        self._state.tell("outbox")
        return Told.WRITTEN

    async def standing(self) -> Sequence[str]:
        self._state.check()
        told = [Notice.read(i.payload) for i in self._state.outbox.values() if i.kind is Work.ALARM]
        last = {notice.alarm: notice.state for notice in told}
        return sorted(name for name, state in last.items() if state == "raised")

    async def next_due(self) -> datetime | None:
        times = [until for item in self._open() if (until := self._tries(item).until)]
        return min(times, default=None)

    def _open(self) -> list[OutboxItem]:
        self._state.check()
        left = [item for item in self._state.outbox.values() if item.id not in self._state.done]
        left.sort(key=lambda item: (item.created, item.id))
        return [replace(item, attempts=self._tries(item).attempts) for item in left]

    def _tries(self, item: OutboxItem) -> Postponed:
        self._state.check()
        return self._state.postponed.get(item.id, Postponed())

    async def _hold(self, epoch: int) -> None:
        await self.fence(epoch)
        if epoch < self._state.epoch:
            raise Fenced(f"epoch {epoch} is over")


class MemoryStore:
    """The `Store` of store.api. Tests set `state.away` and `state.copies`."""

    def __init__(self, node: int = 1) -> None:
        self.state = State(node=node)
        self.users = MemoryUsers(self.state)
        self.dispatches = MemoryDispatches(self.state)
        self.settings = MemorySettings(self.state)
        self.messages = MemoryMessages(self.state)
        self.sign_ins = MemorySignIns(self.state, self)
        self.outbox = MemoryOutbox(self.state)

    async def agree(self, schema: int) -> int:
        self.state.check()
        self.state.schema = max(self.state.schema, schema)
        return self.state.schema

    async def changes(self) -> AsyncIterator[str]:
        """See store.api."""
        news: asyncio.Queue[str] = asyncio.Queue()
        self.state.listeners.append(news)
        try:
            yield ""
            while True:
                yield await news.get()
        finally:
            self.state.listeners.remove(news)
