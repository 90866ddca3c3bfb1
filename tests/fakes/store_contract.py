"""What every Store keeps: imported by a test module that gives a fixture named `store`."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from store.api import Store
from store.blob import Behind, FileBlob
from store.errors import Conflict, Fenced, NotFound
from store.ids import uuid7
from store.model import (
    Counts,
    Envelope,
    Folder,
    Greeting,
    Mark,
    NewMessage,
    Notice,
    OutboxItem,
    Told,
    User,
    Work,
)
from store.signing_in import PinPolicy

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = PinPolicy(failures=3, window_minutes=30, lock_minutes=30)
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def user(extension: str = "1001", **changes: object) -> User:
    return replace(User(uuid7(), extension, "Ann"), **changes)  # type: ignore[arg-type]


def message(mailbox: UUID, minute: int = 0, **changes: object) -> NewMessage:
    recorded = NOON + timedelta(minutes=minute)
    return replace(NewMessage(uuid7(), mailbox, "+4930555", "Bob", recorded, 2.5), **changes)  # type: ignore[arg-type]


async def work(store: Store, epoch: int = 1) -> list[OutboxItem]:
    return list(await store.outbox.due(FAR, epoch))


# ------------------------------------------------------------------ users


async def test_a_user_is_found_by_extension_and_by_id(store: Store) -> None:
    ann = user(mail="ann@example.org", attach=False, pin_hash="x", language="de", lamps=("pbx", "desk"))
    await store.users.add(ann)
    assert await store.users.by_extension("1001") == ann
    assert await store.users.get(ann.id) == ann
    assert await store.users.by_extension("1002") is None
    assert await store.users.get(uuid7()) is None


async def test_all_users_come_by_extension(store: Store) -> None:
    for extension in ("1003", "1001", "1002"):
        await store.users.add(user(extension))
    assert [one.extension for one in await store.users.all()] == ["1001", "1002", "1003"]


async def test_an_extension_in_use_is_not_given_again(store: Store) -> None:
    ann, bob = user("1001"), user("1002")
    await store.users.add(ann)
    await store.users.add(bob)
    with pytest.raises(Conflict):
        await store.users.add(user("1001"))
    with pytest.raises(Conflict):
        await store.users.add(replace(ann, extension="1009"))
    with pytest.raises(Conflict):
        await store.users.change(replace(bob, extension="1001"))


async def test_a_removed_users_extension_is_free_again(store: Store) -> None:
    ann, bob = user(), user()
    await store.users.add(ann)
    await store.users.remove(ann.id)
    assert await store.users.get(ann.id) is None
    await store.users.add(bob)
    assert await store.users.by_extension("1001") == bob


async def test_a_change_replaces_the_settings(store: Store) -> None:
    ann = user()
    await store.users.add(ann)
    for name in ("Anna", "Anne"):
        await store.users.change(replace(ann, name=name, extension="1005"))
    assert await store.users.by_extension("1005") == replace(ann, name="Anne", extension="1005")
    assert await store.users.by_extension("1001") is None


async def test_changing_or_removing_nobody_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.users.change(user())
    with pytest.raises(NotFound):
        await store.users.remove(uuid7())


async def test_a_greeting_is_kept_replaced_and_taken_away(store: Store) -> None:
    ann = user()
    await store.users.add(ann)
    assert await store.users.greeting(ann.id) is None
    await store.users.set_greeting(ann.id, b"one")
    await store.users.set_greeting(ann.id, b"\0two\xff")
    await store.users.set_greeting(ann.id, b"busy", "busy")
    assert await store.users.greeting(ann.id) == b"\0two\xff"
    await store.users.set_greeting(ann.id, None)
    assert await store.users.greeting(ann.id) is None
    assert await store.users.greeting(ann.id, "busy") == b"busy"
    await store.users.set_greeting(ann.id, b"three")
    assert await store.users.greeting(ann.id) == b"three"


async def test_a_greeting_comes_without_its_audio_while_its_version_is_known(store: Store) -> None:
    ann = user()
    await store.users.add(ann)
    assert await store.users.greeting_unless(ann.id, "") is None
    await store.users.set_greeting(ann.id, b"one")
    first = await store.users.greeting_unless(ann.id, "")
    assert first and first.audio == b"one"
    assert await store.users.greeting_unless(ann.id, first.version) == Greeting(first.version)
    await store.users.set_greeting(ann.id, b"two")
    second = await store.users.greeting_unless(ann.id, first.version)
    assert second and second.audio == b"two"
    await store.users.set_greeting(ann.id, None)
    assert await store.users.greeting_unless(ann.id, second.version) is None


# ------------------------------------------------------------------ messages


async def test_a_deposited_message_is_listed_with_its_audio(store: Store) -> None:
    box = uuid7()
    new = message(box, urgent=True, cut_off=True, call_id="c1")
    deposit = await store.messages.deposit(new, b"RIFF\0\xff")
    assert (deposit.id, deposit.repeated) == (new.id, False)
    [listed] = await store.messages.listing(box)
    assert listed == await store.messages.get(new.id)
    assert (listed.caller, listed.caller_name, listed.recorded) == ("+4930555", "Bob", NOON)
    assert (listed.seconds, listed.urgent, listed.cut_off, listed.folder) == (2.5, True, True, Folder.NEW)
    assert await store.messages.audio(new.id) == b"RIFF\0\xff"


async def test_depositing_twice_keeps_one(store: Store) -> None:
    new = message(uuid7())
    await store.messages.deposit(new, b"first")
    again = await store.messages.deposit(new, b"second")
    assert again.repeated
    assert await store.messages.all_ids() == [new.id]
    assert await store.messages.audio(new.id) == b"first"
    assert len(await work(store)) == 1


async def test_what_is_large_is_read_from_its_file_and_kept_whole(store: Store, tmp_path: Path) -> None:
    path, sound = tmp_path / "large", bytes(range(256)) * 20_480
    path.write_bytes(sound)
    new, box = message(uuid7()), uuid7()
    for again in (False, True):
        done = await store.messages.deposit(new, Behind(b"head", FileBlob(path)))
        assert done.repeated is again
    assert await store.messages.audio(new.id) == b"head" + sound
    assert await store.messages.size(new.mailbox_id) == len(sound) + 4
    many = replace(message(uuid7()), envelope=Envelope(private=True))
    await store.messages.send(many, (box, new.mailbox_id), FileBlob(path))
    [copy] = await store.messages.listing(box)
    assert await store.messages.audio(copy.id) == sound
    small = message(box)
    await store.messages.deposit(small, b"small")
    assert await store.messages.audio(small.id) == b"small"


async def test_a_message_asks_for_the_lamp_and_for_mail_only_where_wanted(store: Store) -> None:
    ann, bob = user("1001", mail="ann@example.org"), user("1002")
    await store.users.add(ann)
    await store.users.add(bob)
    first, second, third = message(ann.id), message(bob.id), message(uuid7())
    for new in (first, second, third):
        await store.messages.deposit(new, b"x")
    asked = {(item.kind, item.mailbox_id, item.message_id) for item in await work(store)}
    assert asked == {
        (Work.LAMP, ann.id, first.id),
        (Work.MAIL, ann.id, first.id),
        (Work.LAMP, bob.id, second.id),
        (Work.LAMP, third.mailbox_id, third.id),
    }


async def test_urgent_messages_come_first_then_the_oldest(store: Store) -> None:
    box = uuid7()
    late, early, urgent = message(box, 5), message(box, 1), message(box, 9, urgent=True)
    for new in (late, early, urgent):
        await store.messages.deposit(new, b"x")
    assert [one.id for one in await store.messages.listing(box, Folder.NEW)] == [urgent.id, early.id, late.id]


async def test_marks_move_a_message_between_folders(store: Store) -> None:
    box = uuid7()
    new = message(box)
    await store.messages.deposit(new, b"x")
    seen = []
    for mark in (Mark.READ, Mark.DELETE, Mark.UNREAD, Mark.UNDELETE, Mark.READ):
        await store.messages.mark(new.id, mark)
        [listed] = await store.messages.listing(box)
        seen.append(listed.folder.value)
    assert seen == ["saved", "deleted", "deleted", "new", "saved"]
    assert await store.messages.listing(box, Folder.NEW, Folder.DELETED) == []


async def test_folders_are_listed_new_saved_deleted(store: Store) -> None:
    box = uuid7()
    deleted, saved, fresh = (message(box, minute) for minute in range(3))
    for new in (deleted, saved, fresh):
        await store.messages.deposit(new, b"x")
    await store.messages.mark(deleted.id, Mark.DELETE)
    await store.messages.mark(saved.id, Mark.READ)
    assert [one.id for one in await store.messages.listing(box)] == [fresh.id, saved.id, deleted.id]


async def test_a_mark_asks_for_the_lamp(store: Store) -> None:
    new = message(uuid7())
    await store.messages.deposit(new, b"x")
    await store.messages.mark(new.id, Mark.READ)
    assert [item.kind for item in await work(store)] == [Work.LAMP, Work.LAMP]


async def test_counts_are_those_of_message_waiting(store: Store) -> None:
    box = uuid7()
    assert await store.messages.counts(box) == Counts()
    for minute, urgent in enumerate((True, True, False, False, False)):
        new = message(box, minute, urgent=urgent)
        await store.messages.deposit(new, b"x")
        if minute in (1, 2):
            await store.messages.mark(new.id, Mark.READ)
        if minute == 4:
            await store.messages.mark(new.id, Mark.DELETE)
    await store.messages.deposit(message(uuid7()), b"of another mailbox")
    assert await store.messages.counts(box) == Counts(new=2, old=2, new_urgent=1, old_urgent=1)


async def test_an_unknown_message_is_not_found(store: Store) -> None:
    assert await store.messages.get(uuid7()) is None
    with pytest.raises(NotFound):
        await store.messages.audio(uuid7())
    with pytest.raises(NotFound):
        await store.messages.mark(uuid7(), Mark.READ)


async def test_an_empty_recording_is_kept_as_it_is(store: Store) -> None:
    new = message(uuid7())
    await store.messages.deposit(new, b"")
    assert await store.messages.audio(new.id) == b""


# ------------------------------------------------------------------ sign-in


async def test_the_third_failure_locks_for_the_lock_time(store: Store) -> None:
    who = uuid7()
    for minute in range(3):
        assert await store.sign_ins.locked_until(who, POLICY, NOON) is None
        attempt = await store.sign_ins.begin(who, POLICY, NOON + timedelta(minutes=minute))
        assert attempt.allowed
    until = NOON + timedelta(minutes=32)
    assert await store.sign_ins.locked_until(who, POLICY, NOON + timedelta(minutes=3)) == until
    for minute in (3, 31):  # trying on does not lengthen it
        assert not (await store.sign_ins.begin(who, POLICY, NOON + timedelta(minutes=minute))).allowed
    assert await store.sign_ins.locked_until(who, POLICY, until) is None
    assert (await store.sign_ins.begin(who, POLICY, until)).allowed
    assert await store.sign_ins.locked_until(who, POLICY, until) is None


async def test_failures_outside_the_window_do_not_count(store: Store) -> None:
    who = uuid7()
    for minute in (0, 1, 31, 32, 62):
        assert (await store.sign_ins.begin(who, POLICY, NOON + timedelta(minutes=minute))).allowed
    assert await store.sign_ins.locked_until(who, POLICY, NOON + timedelta(minutes=62)) is None


async def test_success_and_an_administrator_forgive(store: Store) -> None:
    who = uuid7()
    for _ in range(2):
        await store.sign_ins.begin(who, POLICY, NOON)
    await store.sign_ins.succeeded(await store.sign_ins.begin(who, POLICY, NOON))
    assert await store.sign_ins.locked_until(who, POLICY, NOON) is None
    for _ in range(3):
        assert (await store.sign_ins.begin(who, POLICY, NOON)).allowed
    assert not (await store.sign_ins.begin(who, POLICY, NOON)).allowed
    await store.sign_ins.unlock(who)
    assert (await store.sign_ins.begin(who, POLICY, NOON)).allowed


async def test_a_race_of_attempts_wins_no_additional_guess(store: Store) -> None:
    who = uuid7()
    attempts = await asyncio.gather(*(store.sign_ins.begin(who, POLICY, NOON) for _ in range(5)))
    assert sum(attempt.allowed for attempt in attempts) <= 3
    assert await store.sign_ins.locked_until(who, POLICY, NOON) == NOON + timedelta(minutes=30)


async def test_users_are_locked_apart(store: Store) -> None:
    ann, bob = uuid7(), uuid7()
    for _ in range(3):
        await store.sign_ins.begin(ann, POLICY, NOON)
    assert (await store.sign_ins.begin(bob, POLICY, NOON)).allowed


# ------------------------------------------------------------------ outbox


async def test_work_comes_oldest_first_and_is_done_once(store: Store) -> None:
    for _ in range(3):
        await store.messages.deposit(message(uuid7()), b"x")
    items = await work(store)
    assert items == sorted(items, key=lambda item: (item.created, item.id))
    assert [item.id for item in await store.outbox.due(FAR, 1, limit=2)] == [item.id for item in items[:2]]
    await store.outbox.done(items[0], "sent", 1)
    await store.outbox.done(items[0], "sent", 1)
    assert await work(store) == items[1:]
    assert await store.outbox.pending() == 2


async def test_postponed_work_comes_back_with_its_tries_counted(store: Store) -> None:
    await store.messages.deposit(message(uuid7()), b"x")
    [item] = await work(store)
    assert await store.outbox.next_due() is None
    for tries in (1, 2):
        until = NOON + timedelta(minutes=tries)
        await store.outbox.postpone(item, until, "450 try later\0")
        assert await store.outbox.due(until - timedelta(seconds=1), 1) == []
        assert await store.outbox.due(until, 1) == [replace(item, attempts=tries)]
        assert await store.outbox.next_due() == until
    assert await store.outbox.pending() == 1
    await store.outbox.done(item, "sent", 1)
    assert await store.outbox.next_due() is None


async def test_an_older_epoch_gets_no_work_and_gives_no_result(store: Store) -> None:
    await store.messages.deposit(message(uuid7()), b"x")
    [item] = await work(store, epoch=4)
    await store.outbox.fence(5)
    with pytest.raises(Fenced):
        await store.outbox.due(FAR, 4)
    with pytest.raises(Fenced):
        await store.outbox.done(item, "sent", 4)
    await store.outbox.fence(3)  # showing an old one changes nothing
    assert await work(store, epoch=5) == [item]
    assert await work(store, epoch=6) == [item]
    with pytest.raises(Fenced):
        await store.outbox.due(FAR, 5)


# ------------------------------------------------------------------ changes


async def test_changes_name_the_tables_concerned(store: Store) -> None:
    told: set[str] = set()
    listening = asyncio.Event()

    async def listen() -> None:
        async for table in store.changes():
            told.add(table)
            listening.set()
            if told >= {"", "message", "outbox", "user_account", "message_event", "outbox_done"}:
                return

    task = asyncio.create_task(listen())
    await asyncio.wait_for(listening.wait(), 5)
    assert told == {""}
    new = message(uuid7())
    await store.users.add(user())
    await store.messages.deposit(new, b"x")
    await store.messages.mark(new.id, Mark.READ)
    await store.outbox.done((await work(store))[0], "sent", 1)
    await asyncio.wait_for(task, 5)


# ------------------------------------------------------------------ alarms


HARD = 'it\'s "full" \\u0000 \\\nü'


def notice(state: str = "raised", alarm: str = "disk_full", text: str = HARD) -> Notice:
    return Notice(alarm, state, "critical", "vm1", NOON.isoformat(), "ops@example.org", "Disk full", text)


async def told(store: Store) -> list[str]:
    return [Notice.read(item.payload).state for item in await work(store) if item.kind is Work.ALARM]


async def test_an_alarm_becomes_work_with_all_that_it_says(store: Store) -> None:
    await store.agree(2)
    assert await store.outbox.alarm(notice(text=HARD + "\0"), NOON) is Told.WRITTEN
    [item] = await work(store)
    assert (item.kind, item.message_id, item.created) == (Work.ALARM, None, NOON)
    assert Notice.read(item.payload) == notice()
    assert await store.outbox.waiting() == {Work.ALARM: (1, 0)}
    await store.outbox.postpone(item, NOON, "450")
    assert await store.outbox.waiting() == {Work.ALARM: (1, 1)}


async def test_an_alarm_is_told_once_an_hour_and_once_that_it_is_over(store: Store) -> None:
    await store.agree(2)
    raised, cleared = notice(), notice("cleared")
    said = [
        (cleared, 0, Told.NOTHING),
        (raised, 1, Told.WRITTEN),
        (raised, 2, Told.EARLIER),
        (cleared, 3, Told.WRITTEN),
        (cleared, 4, Told.NOTHING),
        (raised, 60, Told.EARLIER),
        (notice(alarm="other"), 60, Told.WRITTEN),
        (raised, 61, Told.WRITTEN),
    ]
    for one, minute, expected in said:
        assert await store.outbox.alarm(one, NOON + timedelta(minutes=minute)) is expected, minute
    assert len(await told(store)) == 4


async def test_alarms_that_stand_are_those_told_last_as_raised(store: Store) -> None:
    await store.agree(2)
    said = [notice(), notice(alarm="other"), notice("happened", "split"), notice("cleared")]
    for minute, one in enumerate(said):
        assert await store.outbox.alarm(one, NOON + timedelta(minutes=minute)) is Told.WRITTEN
    assert list(await store.outbox.standing()) == ["other"]
    assert await store.outbox.alarm(notice(), NOON + timedelta(minutes=61)) is Told.WRITTEN
    assert list(await store.outbox.standing()) == ["disk_full", "other"]


async def test_what_was_agreed_never_goes_back(store: Store) -> None:
    newest = await store.agree(2)
    assert newest >= 2
    assert await store.agree(1) == newest
