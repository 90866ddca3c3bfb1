"""What every Store keeps for the telephone interface: settings, envelopes, messages to many, purging."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from store.api import Store
from store.errors import NotFound
from store.ids import uuid7
from store.model import (
    ALTERNATE_EXTENSION,
    FIRST,
    Counts,
    Envelope,
    Folder,
    Mark,
    Message,
    MessageKind,
    NewMessage,
    Part,
    Ripening,
    Setting,
    Work,
    copy_id,
)
from tests.fakes.store_contract import FAR, NOON, message, user, work

LATER = datetime(2090, 1, 1, tzinfo=UTC)


async def test_a_setting_is_added_replaced_and_removed(store: Store) -> None:
    ann = uuid7()
    rows = [
        Setting("cos", "default", '{"a": 1}'),
        Setting("cos", "sales", "{}"),
        Setting("schedule", "default", "{}"),
        Setting("options", "options", '{"x": "ä"}', ann),
    ]
    for row in rows:
        await store.settings.put(row)
    assert await store.settings.all() == rows[:3]
    assert await store.settings.all("cos") == rows[:2]
    assert await store.settings.first(["schedule", "cos", "none"]) == rows[:3]
    assert await store.settings.first(["schedule"], ["cos", "none"], 1) == [rows[0], rows[2]]
    assert await store.settings.first([], ["cos"], 5) == rows[:2]
    assert await store.settings.named("cos", ["sales", "nobody", "default"]) == rows[:2]
    assert await store.settings.named("options", ["options"]) == []
    assert await store.settings.all("options", ann) == await store.settings.owned("options") == rows[3:]
    assert await store.settings.get("options", "options", ann) == rows[3]
    assert await store.settings.get("options", "options") is None
    newer = replace(rows[0], body='{"a": 2}')
    await store.settings.put(newer)
    assert await store.settings.get("cos", "default") == newer
    await store.settings.remove("cos", "default")
    assert await store.settings.all("cos") == rows[1:2] == await store.settings.first(["cos"])
    assert await store.settings.named("cos", ["default"]) == []
    with pytest.raises(NotFound, match="no cos 'default'"):
        await store.settings.remove("cos", "default")
    await store.settings.put(rows[0])
    assert await store.settings.get("cos", "default") == rows[0]


async def test_of_many_settings_those_are_found_that_are_asked_for(store: Store) -> None:
    bodies = {
        "ann": {"keys": ["32", "332"], "extension": "3001"},
        "ben": {"keys": ["321"], "extension": "3001"},
        "cid": {"keys": ["4"], "extension": "30"},
        "dan": {"other": 1, "extension": ""},
    }
    rows = [Setting("contact", name, json.dumps(body)) for name, body in bodies.items()]
    for row in (*reversed(rows), Setting("other", "ann", rows[0].body), replace(rows[0], owner=uuid7())):
        await store.settings.put(row)
    names = [row.name for row in rows]
    assert [each.name for each in await store.settings.page("contact")] == names
    assert [each.name for each in await store.settings.page("contact", "ann", 2)] == names[1:3]
    assert await store.settings.page("contact", "dan") == []
    assert await store.settings.count("contact") == 4
    assert [each.name for each in await store.settings.numbered("contact", "3001")] == ["ann", "ben"]
    for keys, found in (("32", names[:2]), ("33", ["ann"]), ("3", names[:2]), ("9", []), ("322", [])):
        assert [each.name for each in await store.settings.spelled("contact", keys, 9)] == found, keys
    assert len(await store.settings.spelled("contact", "3", 1)) == 1
    await store.settings.remove("contact", "ann")
    assert await store.settings.count("contact") == 3
    assert [each.name for each in await store.settings.spelled("contact", "32", 9)] == ["ben"]


async def test_a_user_is_found_by_an_alternate_extension_that_nobody_has(store: Store) -> None:
    ann, ben = user("1001"), user("1002")
    for one in (ann, ben):
        await store.users.add(one)
    for number in ("4711", "1002"):
        await store.settings.put(Setting(ALTERNATE_EXTENSION, number, f'{{"user": "{ann.id}"}}'))
    assert await store.users.by_extension("4711") == ann
    assert await store.users.by_extension("1002") == ben
    await store.settings.remove(ALTERNATE_EXTENSION, "4711")
    assert await store.users.by_extension("4711") is None


WHOLE = Envelope(
    kind=MessageKind.NON_DELIVERY,
    sender=uuid7(),
    recipients=("1002", "list:sales"),
    private=True,
    secure=True,
    receipt=True,
    about=uuid7(),
    why="mailbox full",
    parts=(Part(2.5), Part(7.0, uuid7(), "+4930555", NOON)),
)


async def test_an_envelope_is_kept_as_it_is(store: Store) -> None:
    new = message(uuid7(), envelope=WHOLE)
    await store.messages.deposit(new, b"x")
    kept = await store.messages.get(new.id)
    assert kept and kept.envelope == WHOLE
    assert [each.envelope for each in await store.messages.listing(new.mailbox_id)] == [WHOLE]


async def sent(store: Store, *boxes: object, **envelope: object) -> NewMessage:
    new = message(uuid7(), envelope=Envelope(**envelope))  # type: ignore[arg-type]
    await store.messages.send(new, boxes, b"hello")  # type: ignore[arg-type]
    return new


async def test_one_recording_goes_into_many_mailboxes_and_a_repeat_adds_nothing(store: Store) -> None:
    ann, ben = user("1001", mail="ann@example.org"), user("1002")
    for one in (ann, ben):
        await store.users.add(one)
    new = await sent(store, ann.id, ben.id, sender=ben.id)
    again = await store.messages.send(new, [ann.id, ben.id], b"hello")
    assert again.repeated and again.id == new.id
    for one in (ann, ben):
        [listed] = await store.messages.listing(one.id)
        assert listed.id == copy_id(new.id, one.id)
        assert await store.messages.audio(listed.id) == b"hello"
        assert await store.messages.size(one.id) == 5
        assert await store.messages.counts(one.id) == Counts(new=1)
    kinds = sorted((item.kind, item.mailbox_id == ann.id) for item in await work(store))
    assert kinds == [(Work.LAMP, False), (Work.LAMP, True), (Work.MAIL, True)]


async def test_a_purged_message_is_gone_but_others_play_its_recording(store: Store) -> None:
    ann, ben = uuid7(), uuid7()
    new = await sent(store, ann, ben)
    first, second = copy_id(new.id, ann), copy_id(new.id, ben)
    await store.messages.mark(first, Mark.PURGE)
    assert await store.messages.listing(ann) == []
    assert await store.messages.get(first) is None
    assert await store.messages.counts(ann) == Counts()
    assert await store.messages.size(ann) == 0
    for gone in (store.messages.audio(first), store.messages.mark(first, Mark.READ)):
        with pytest.raises(NotFound):
            await gone
    assert await store.messages.audio(second) == b"hello"
    await store.messages.mark(second, Mark.PURGE)
    assert await store.messages.listing(ben) == []


async def test_a_message_for_later_is_shown_to_its_sender_only(store: Store) -> None:
    ann, ben = uuid7(), uuid7()
    new = await sent(store, ann, sender=ben, deliver_at=LATER)
    past = await sent(store, ann, sender=ben, deliver_at=NOON)
    assert [each.id for each in await store.messages.listing(ann)] == [copy_id(past.id, ann)]
    assert await store.messages.counts(ann) == Counts(new=1)
    [waiting] = await store.messages.sent(ben, NOON + timedelta(days=1))
    assert (waiting.id, waiting.envelope.deliver_at) == (copy_id(new.id, ann), LATER)
    due = await store.outbox.due(datetime.now(UTC), 1)
    assert [item.message_id for item in due] == [copy_id(past.id, ann)]
    assert len(await store.outbox.due(FAR, 1)) == 2
    assert await store.outbox.next_due() in (LATER, NOON)
    await store.messages.mark(waiting.id, Mark.DELETE)
    assert await store.messages.sent(ben, NOON) == []


async def test_a_broadcast_lights_no_lamp(store: Store) -> None:
    ann = uuid7()
    await sent(store, ann, kind=MessageKind.BROADCAST)
    assert await work(store) == []
    assert await store.messages.counts(ann) == Counts()
    assert len(await store.messages.listing(ann)) == 1


async def aged(store: Store, mark: Mark, before: datetime) -> Sequence[Message]:
    """In all mailboxes."""
    return await store.messages.aged(mark, before, await store.messages.mailboxes())


async def test_messages_age_from_their_last_mark(store: Store) -> None:
    ann = uuid7()
    new, read, deleted = [message(ann, minute) for minute in range(3)]
    for each in (new, read, deleted):
        await store.messages.deposit(each, b"x")
    await store.messages.mark(read.id, Mark.READ)
    await store.messages.mark(deleted.id, Mark.DELETE)
    found = {mark: await aged(store, mark, FAR) for mark in (Mark.READ, Mark.DELETE, Mark.PURGE)}
    assert {mark: [each.id for each in listed] for mark, listed in found.items()} == {
        Mark.READ: [new.id],
        Mark.DELETE: [read.id],
        Mark.PURGE: [deleted.id],
    }
    assert await aged(store, Mark.READ, NOON) == []
    assert await aged(store, Mark.DELETE, NOON + timedelta(days=1)) == []
    assert [m.folder for m in await aged(store, Mark.PURGE, FAR)] == [Folder.DELETED]


async def test_mailboxes_are_found_page_by_page_and_age_by_themselves(store: Store) -> None:
    boxes = sorted(uuid7() for _ in range(5))
    for number, box in enumerate((*boxes, *boxes)):
        await store.messages.deposit(message(box, number % 60), b"x")
    assert await store.messages.mailboxes() == boxes
    assert await store.messages.mailboxes(most=2) == boxes[:2]
    assert await store.messages.mailboxes(boxes[1], 2) == boxes[2:4]
    assert await store.messages.mailboxes(boxes[-1]) == []
    some = await store.messages.aged(Mark.READ, FAR, boxes[1:3])
    assert sorted(each.mailbox_id for each in some) == [boxes[1], boxes[1], boxes[2], boxes[2]]
    assert [each.id for each in await store.messages.aged(Mark.READ, FAR, boxes[1:3], 1)] == [some[0].id]
    assert await store.messages.aged(Mark.READ, FAR, []) == []


async def test_time_begins_anew_for_a_message_that_is_restored(store: Store) -> None:
    old = message(uuid7())
    await store.messages.deposit(old, b"x")
    for mark in (Mark.READ, Mark.DELETE):
        await store.messages.mark(old.id, mark)
    before = datetime.now(UTC)
    await store.messages.mark(old.id, Mark.UNDELETE)
    assert await aged(store, Mark.DELETE, before) == []
    assert [each.id for each in await aged(store, Mark.DELETE, FAR)] == [old.id]


async def test_what_ripens_is_counted_by_user_with_a_mail_address(store: Store) -> None:
    ann, ben, cid, dan = [user(f"300{n}", mail="x@example.org" if n < 3 else "") for n in range(4)]
    for each in (ann, ben, cid, dan):
        await store.users.add(each)
    started = datetime.now(UTC)
    for minute, (owner, *marks) in enumerate(
        [
            (ann,),
            (ann, Mark.READ),
            (ann, Mark.READ),
            (ann, Mark.READ, Mark.DELETE),
            (ann, Mark.DELETE, Mark.PURGE),
            (ben, Mark.DELETE),
            (ben, Mark.DELETE, Mark.UNDELETE),
            (dan, Mark.DELETE),
        ]
    ):
        new = message(owner.id, minute)
        await store.messages.deposit(new, b"x")
        for mark in marks:
            await store.messages.mark(new.id, mark)
    found = {each.mailbox_id: each for each in await store.messages.ripening(FAR, FAR)}
    assert list(found) == sorted(each.id for each in (ann, ben, cid))
    assert [(found[u.id].saved, found[u.id].deleted) for u in (ann, ben, cid)] == [(2, 1), (0, 1), (0, 0)]
    of_ann, of_ben = found[ann.id], found[ben.id]
    assert of_ann.saved_since and of_ann.deleted_since and of_ben.deleted_since
    just_before = started - timedelta(milliseconds=1)  # how exact a clock's reading is
    assert just_before < of_ann.saved_since < of_ann.deleted_since < of_ben.deleted_since
    assert of_ben.saved_since is None and found[cid.id] == Ripening(cid.id)
    [only] = [each for each in await store.messages.ripening(FAR, None) if each.mailbox_id == ann.id]
    assert only == Ripening(ann.id, 2, of_ann.saved_since)
    [first] = [
        each
        for each in await store.messages.ripening(of_ann.saved_since, of_ann.deleted_since)
        if each.mailbox_id == ann.id
    ]
    assert first == Ripening(ann.id), "not before its moment"


async def test_what_ripens_comes_in_pages(store: Store) -> None:
    people = [user(f"30{n:02}", mail="x@example.org") for n in range(5)]
    for each in people:
        await store.users.add(each)
    await store.users.remove(people[2].id)
    left = sorted(each.id for each in people if each is not people[2])
    seen: list[UUID] = []
    while page := await store.messages.ripening(FAR, FAR, seen[-1] if seen else FIRST, 3):
        seen += [each.mailbox_id for each in page]
    assert seen == left
