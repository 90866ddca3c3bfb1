import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from store.errors import NotFound
from store.ids import uuid7
from store.memory import MemoryStore
from store.model import SYSTEM, Envelope, Folder, Mark, MessageKind, NewMessage, Remote, Setting, User, Work
from tests.fakes.primary import HandClock
from voicemail.broadcasts import BROADCAST, HEARD
from voicemail.policy.keeping import Aging
from voicemail.policy.locations import Location
from voicemail.primary import aging
from voicemail.primary.aging import Ager
from voicemail.primary.lease import NotPrimary

BOX = UUID(int=1)
ALL = Aging(new_to_saved=10, saved_to_deleted=20, deleted_to_gone=5)


class Age:
    """A store with messages, and an Ager; no time passes in pauses."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), HandClock()
        self.store.state.now = self.clock.now
        self.epoch: int | None = 1
        self.marks = 0
        self.ends_after = 10_000
        self.ager = Ager(self.store, _Hurried(self.clock), lambda: self.epoch, self._permit)

    def _permit(self) -> None:
        self.marks += 1
        if self.marks > self.ends_after:
            raise NotPrimary("over")

    async def policy(self, policy: Aging) -> None:
        await self.store.settings.put(Setting(Aging.KIND, "default", policy.model_dump_json()))

    async def message(self, *marks: Mark, **more: object) -> UUID:
        new = NewMessage(uuid7(), BOX, "1", "", self.clock.now(), 4.0)
        new = replace(new, **more)  # type: ignore[arg-type]
        await self.store.messages.deposit(new, b"sound")
        for mark in marks:
            await self.store.messages.mark(new.id, mark)
        return new.id

    def days(self, days: float) -> None:
        self.clock.advance(timedelta(days=days).total_seconds())

    async def folder(self, message: UUID) -> Folder | None:
        found = await self.store.messages.get(message)
        return found.folder if found else None


class _Hurried:
    def __init__(self, clock: HandClock) -> None:
        self.now, self.monotonic = clock.now, clock.monotonic

    async def sleep_until(self, moment: float | None, bell: object) -> None:
        pass


@pytest.fixture
def age() -> Age:
    return Age()


async def test_only_what_was_deleted_two_weeks_ago_goes_by_default(age: Age) -> None:
    new, gone = await age.message(), await age.message(Mark.DELETE)
    age.days(13.9)
    later = await age.message(Mark.DELETE)
    await age.ager.turn()
    assert await age.folder(gone) is Folder.DELETED
    age.days(0.2)
    await age.ager.turn()
    assert [await age.folder(each) for each in (new, gone, later)] == [Folder.NEW, None, Folder.DELETED]
    with pytest.raises(NotFound):
        await age.store.messages.audio(gone)


async def test_a_message_moves_one_step_in_a_round_and_its_time_begins_anew(age: Age) -> None:
    await age.policy(ALL)
    message = await age.message()
    folders = []
    for _ in range(8):
        age.days(5.1)
        await age.ager.turn()
        folders.append(await age.folder(message))
    assert folders == [Folder.NEW, *[Folder.SAVED] * 4, Folder.DELETED, None, None][:8]


async def test_nothing_is_done_by_who_is_not_primary_nor_twice_in_half_an_hour(age: Age) -> None:
    old = await age.message(Mark.DELETE)
    age.epoch = None
    age.days(20)
    await age.ager.turn()
    assert await age.folder(old) is Folder.DELETED
    age.epoch = 2
    await age.ager.turn()
    assert await age.folder(old) is None
    second = await age.message(Mark.DELETE, recorded=age.clock.now())
    age.store.state.since[second] = age.clock.now() - timedelta(days=20)
    await age.ager.turn()
    assert await age.folder(second) is Folder.DELETED
    age.epoch = 3
    await age.ager.turn()
    assert await age.folder(second) is None


async def test_a_lease_that_ends_stops_it_before_the_next_mark(age: Age) -> None:
    old = [await age.message(Mark.DELETE) for _ in range(5)]
    age.days(20)
    age.ends_after = 2
    await age.ager.turn()
    assert [await age.folder(each) for each in old].count(None) == 2
    age.ends_after = 100
    await age.ager.turn()
    assert [await age.folder(each) for each in old].count(None) == 5


async def test_a_store_that_is_away_is_asked_again_a_minute_later(age: Age) -> None:
    old = await age.message(Mark.DELETE)
    age.days(20)
    age.store.state.away = True
    await age.ager.turn()
    age.store.state.away = False
    await age.ager.turn()
    assert await age.folder(old) is Folder.DELETED
    age.clock.advance(aging.AFTER_FAILURE)
    await age.ager.turn()
    assert await age.folder(old) is None


async def test_batches_end_and_all_are_done(age: Age, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aging, "BATCH", 3)
    old = [await age.message(Mark.DELETE) for _ in range(10)]
    age.days(20)
    await age.ager.turn()
    assert [await age.folder(each) for each in old] == [None] * 10


async def test_a_broadcast_does_not_age_but_ends_and_is_forgotten(age: Age) -> None:
    await age.policy(ALL)
    message = await age.message(mailbox_id=SYSTEM, envelope=Envelope(MessageKind.BROADCAST))
    until = (age.clock.now() + timedelta(days=30)).isoformat()
    await age.store.settings.put(Setting(BROADCAST, str(message), f'{{"until": "{until}"}}'))
    await age.store.settings.put(Setting(HEARD, str(message), "{}", BOX))
    age.days(29)
    await age.ager.turn()
    assert await age.folder(message) is Folder.NEW
    age.days(2)
    await age.ager.turn()
    assert await age.folder(message) is None
    assert await age.store.settings.all(BROADCAST) == [] == await age.store.settings.owned(HEARD)


# ---- senders who wait for a receipt

EVA = Remote("2722@vm2.example", message_id="abc@vm2.example", receipt_to="2722@vm2.example")


def dispositions(age: Age) -> list[str]:
    rows = [each for each in age.store.state.outbox.values() if each.kind is Work.REPORT]
    return [str(json.loads(each.payload)["disposition"]) for each in rows]


async def asked_for(age: Age) -> UUID:
    await age.policy(ALL)
    await age.store.users.add(User(BOX, "1002", name="Ben"))
    far = Setting(Location.KIND, "far", Location(domain="vm2.example").model_dump_json())
    await age.store.settings.put(far)
    return await age.message(envelope=Envelope(remote=EVA))


async def test_the_sender_is_told_when_his_message_is_deleted_unheard_since_it_is_old() -> None:
    age = Age()
    message = await asked_for(age)
    age.days(11)
    await age.ager.round()
    assert await age.folder(message) is Folder.SAVED and dispositions(age) == []
    age.days(21)
    await age.ager.round()
    assert await age.folder(message) is Folder.DELETED and dispositions(age) == ["deleted/expired"]
    age.days(6)
    await age.ager.round()
    assert await age.folder(message) is None and dispositions(age) == ["deleted/expired"]


async def test_a_message_that_was_heard_expires_in_silence() -> None:
    age = Age()
    message = await asked_for(age)
    await age.store.messages.mark(message, Mark.READ)
    age.days(21)
    await age.ager.round()
    assert await age.folder(message) is Folder.DELETED and dispositions(age) == []
