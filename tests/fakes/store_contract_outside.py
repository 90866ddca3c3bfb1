"""What every Store keeps for work that comes from elsewhere than a deposit, and for other systems."""

from datetime import timedelta
from uuid import uuid5

import pytest

from store.api import Store
from store.ids import uuid7
from store.model import (
    OUTGOING,
    SYSTEM,
    Envelope,
    MessageKind,
    NewWork,
    OutboxItem,
    Remote,
    Setting,
    Work,
)
from tests.fakes.store_contract import FAR, NOON, message, user, work

CALL = NewWork(uuid5(SYSTEM, "call"), Work.NOTIFY, uuid7(), uuid7(), '{"device": "mobile"}')


async def test_work_is_written_once_however_often_it_is_added(store: Store) -> None:
    await store.outbox.add([CALL])
    await store.outbox.add([CALL])
    [item] = await work(store)
    told = OutboxItem(CALL.id, CALL.kind, CALL.mailbox_id, CALL.message_id, item.created, 0, CALL.payload)
    assert item == told
    await store.outbox.done(item, "answered", 1)
    await store.outbox.add([CALL])
    assert await work(store) == []


async def test_work_for_later_is_listed_and_due_when_its_time_has_come(store: Store) -> None:
    later = FAR - timedelta(hours=1)
    await store.outbox.add([NewWork(uuid7(), Work.NOTIFY, uuid7(), not_before=later)])
    assert await store.outbox.due(NOON, 1) == []
    [waiting] = await store.outbox.listed()
    assert (waiting.until, waiting.why, waiting.item.message_id) == (later, "", None)
    assert [waiting.item.id] == [item.id for item in await store.outbox.due(FAR, 1)]
    assert await store.outbox.next_due() == later


async def test_what_was_tried_is_listed_with_its_answer_and_can_be_hurried(store: Store) -> None:
    await store.outbox.add([CALL])
    [item] = await work(store)
    assert await store.outbox.hurry([item.id]) == 0
    await store.outbox.postpone(item, FAR - timedelta(hours=1), "450 busy")
    [waiting] = await store.outbox.listed()
    assert (waiting.item.attempts, waiting.why) == (1, "450 busy")
    assert await store.outbox.due(NOON, 1) == []
    assert await store.outbox.hurry([item.id, uuid7()]) == 1
    assert len(await store.outbox.due(NOON, 1)) == 1


async def test_what_is_dropped_is_done(store: Store) -> None:
    await store.outbox.add([CALL])
    assert await store.outbox.drop(CALL.id, "dropped by hand")
    assert not await store.outbox.drop(CALL.id, "dropped by hand")
    assert not await store.outbox.drop(uuid7(), "dropped by hand")
    assert await store.outbox.listed() == []


async def test_what_work_is_about_is_known_also_when_it_is_done(store: Store) -> None:
    about = NewWork(uuid7(), Work.POST, OUTGOING, uuid7(), "{}")
    await store.outbox.add([about])
    assert await store.outbox.message_of(about.id) == about.message_id
    await store.outbox.drop(about.id, "dropped by hand")
    assert await store.outbox.message_of(about.id) == about.message_id
    assert await store.outbox.message_of(uuid7()) is None


async def test_work_is_found_by_its_id_and_so_is_how_it_ended(store: Store) -> None:
    await store.outbox.add([CALL])
    [item] = await work(store)
    assert await store.outbox.get(CALL.id) == item and await store.outbox.get(uuid7()) is None
    assert await store.outbox.result(CALL.id) is None
    await store.outbox.done(item, "answered", 1, wait=0.1)
    assert await store.outbox.get(CALL.id) == item
    assert (await store.outbox.result(CALL.id), await store.outbox.result(uuid7())) == ("answered", None)


async def test_what_messages_wait_for_is_known(store: Store) -> None:
    one, other, free = (
        NewWork(uuid7(), Work.POST, OUTGOING, message) for message in (uuid7(), uuid7(), None)
    )
    await store.outbox.add([one, other, free, CALL])
    assert await store.outbox.owing(Work.POST) == {each.id: each.message_id for each in (one, other)}
    assert await store.outbox.owing(Work.POST, other.message_id) == {other.id: other.message_id}
    await store.outbox.drop(other.id, "dropped by hand")
    assert await store.outbox.owing(Work.POST) == {one.id: one.message_id}
    assert await store.outbox.owing(Work.POST, other.message_id) == {}


@pytest.mark.parametrize("device", [False, True])
@pytest.mark.parametrize("mail", ["", "ann@example.org"])
async def test_new_messages_are_announced_to_who_has_an_address_or_a_device(
    store: Store, mail: str, device: bool
) -> None:
    ann = user(mail=mail)
    await store.users.add(ann)
    if device:
        await store.settings.put(Setting("device", "mobile", "{}", ann.id))
    await store.messages.deposit(message(ann.id), b"one")
    await store.messages.send(message(ann.id), [ann.id], b"two")
    kinds = [item.kind for item in await work(store)]
    assert kinds.count(Work.MAIL) == (2 if mail or device else 0)


async def test_a_message_from_another_system_says_who_sent_it(store: Store) -> None:
    ann = user()
    await store.users.add(ann)
    remote = Remote("2722@other.example", "Bob", "1@other.example", "bob@other.example")
    new = message(ann.id, envelope=Envelope(remote=remote))
    await store.messages.deposit(new, b"x")
    found = await store.messages.get(new.id)
    assert found and found.envelope.remote == remote


@pytest.mark.parametrize("kind", [MessageKind.OUTGOING, MessageKind.QUARANTINED])
async def test_nobody_is_told_of_what_is_in_no_users_mailbox(store: Store, kind: MessageKind) -> None:
    new = message(OUTGOING, envelope=Envelope(kind))
    await store.messages.deposit(new, b"x")
    assert await work(store) == []
    [kept] = await store.messages.listing(OUTGOING)
    assert kept.envelope.kind is kind
