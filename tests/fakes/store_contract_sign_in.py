"""What every Store keeps for users who sign in: what is read with an attempt, and in one go."""

from dataclasses import replace
from datetime import timedelta

from store.api import Store
from store.ids import uuid7
from store.model import SYSTEM, Counts, Envelope, Mark, MessageKind, Setting
from store.signing_in import Glance, Look
from tests.fakes.store_contract import FAR, NOON, POLICY, message, user


async def test_an_attempt_brings_what_is_wanted_of_the_user_as_he_is_then(store: Store) -> None:
    ann = user(pin_hash="hash")
    await store.users.add(ann)
    options = Setting("user_options", "options", '{"speed": 1}', ann.id)
    before = await store.sign_ins.look(ann.id, ann.id, POLICY, NOON)
    assert before == Look(Glance(ann), open=True)
    await store.settings.put(options)
    await store.users.set_greeting(ann.id, b"her name", "name")
    kept = message(ann.id)
    urgent = replace(message(ann.id), urgent=True)
    report = replace(message(ann.id), envelope=Envelope(MessageKind.NON_DELIVERY))
    for each in (kept, urgent, report):
        await store.messages.deposit(each, b"four")
    await store.messages.mark(kept.id, Mark.READ)
    await store.messages.deposit(replace(message(SYSTEM), envelope=Envelope(MessageKind.BROADCAST)), b"x")
    other = uuid7()
    attempt = await store.sign_ins.begin(other, POLICY, NOON, of=ann.id, look=before)
    name = await store.users.greeting_unless(ann.id, "", "name")
    assert attempt.user_id == other and name
    assert attempt.glance == Glance(
        ann, options, name.version, 12, Counts(2, 1, 1, 0), reports=1, broadcasts=True
    )
    assert (await store.sign_ins.look(other, ann.id, POLICY, NOON)).glance == attempt.glance


async def test_of_nobody_and_of_those_who_have_gone_there_is_no_glance(store: Store) -> None:
    ann = user()
    await store.users.add(ann)
    look = await store.sign_ins.look(ann.id, ann.id, POLICY, NOON)
    await store.users.remove(ann.id)
    attempt = await store.sign_ins.begin(ann.id, POLICY, NOON, of=ann.id, look=look)
    assert attempt.allowed and attempt.glance is None
    assert await store.sign_ins.look(ann.id, uuid7(), POLICY, NOON) == Look(None, open=True)


async def test_messages_that_are_not_there_yet_or_no_longer_are_not_seen(store: Store) -> None:
    ann = user()
    await store.users.add(ann)
    later = replace(message(ann.id), envelope=Envelope(deliver_at=FAR))
    deleted, purged = message(ann.id), message(ann.id)
    broadcast = replace(message(SYSTEM), envelope=Envelope(MessageKind.BROADCAST))
    for each in (later, deleted, purged, broadcast):
        await store.messages.deposit(each, b"four")
    await store.messages.mark(deleted.id, Mark.DELETE)
    for each in (purged, broadcast):
        await store.messages.mark(each.id, Mark.PURGE)
    seen = (await store.sign_ins.look(ann.id, ann.id, POLICY, NOON)).glance
    assert seen == Glance(ann, size=8)


async def test_a_look_that_saw_it_open_wins_no_additional_guess(store: Store) -> None:
    who = uuid7()
    look = await store.sign_ins.look(who, who, POLICY, NOON)
    attempts = [await store.sign_ins.begin(who, POLICY, NOON, look=look) for _ in range(5)]
    assert [each.allowed for each in attempts] == [True] * 3 + [False] * 2
    until = NOON + timedelta(minutes=30)
    assert await store.sign_ins.locked_until(who, POLICY, NOON) == until, "not prolonged"
    late = NOON + timedelta(minutes=29)
    assert not (await store.sign_ins.begin(who, POLICY, late, look=look)).allowed
    assert await store.sign_ins.locked_until(who, POLICY, late) == until
    assert not (await store.sign_ins.look(who, who, POLICY, late)).open
    assert (await store.sign_ins.look(who, who, POLICY, until)).open
