"""What every Store keeps of dispatch messages: who accepted, who declined, and so who has them."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import pytest

from store.api import Store
from store.dispatch import DISPATCH, holders
from store.errors import NotFound
from store.ids import uuid7
from store.model import (
    Answer,
    Counts,
    Envelope,
    Folder,
    Mark,
    NewMessage,
    Outcome,
    Setting,
    User,
    Work,
    copy_id,
)
from tests.fakes.store_contract import NOON, POLICY, message, user, work
from tests.fakes.store_contract_telephone import aged

ACCEPT, DECLINE = Answer.ACCEPT, Answer.DECLINE
LATER = datetime(2090, 1, 1, tzinfo=UTC)


async def team(store: Store, size: int = 3) -> list[User]:
    people = [user(f"200{number}") for number in range(size)]
    for each in people:
        await store.users.add(each)
    return people


async def dispatched(store: Store, people: list[User], urgent: bool = False) -> NewMessage:
    """To all of them; what the message of each is called is `of`."""
    new = message(uuid7(), urgent=urgent)
    new = replace(new, envelope=Envelope(dispatch=new.id))
    await store.messages.send(new, [each.id for each in people], b"hello")
    return new


def of(new: NewMessage, one: User) -> UUID:
    return copy_id(new.id, one.id)


async def having(store: Store, people: list[User]) -> list[User]:
    """Who has it, seen in every way there is."""
    found = []
    for each in people:
        listed = await store.messages.listing(each.id)
        counts = await store.messages.counts(each.id)
        assert counts.new + counts.old == sum(m.folder is not Folder.DELETED for m in listed)
        size = await store.messages.size(each.id)
        assert bool(size) == bool(listed)
        seen = (await store.sign_ins.look(each.id, each.id, POLICY, NOON)).glance
        assert seen is None or (seen.counts, seen.size) == (counts, size)
        for m in listed:
            assert await store.messages.get(m.id) == m
        found += [each] if listed else []
    return found


async def test_a_dispatch_message_is_one_for_all_until_somebody_accepts_it(store: Store) -> None:
    ann, ben, carl = people = await team(store)
    new = await dispatched(store, people, urgent=True)
    assert await having(store, people) == people
    [copy] = await store.messages.listing(ann.id)
    assert copy.envelope.dispatch == new.id and copy.open_dispatch
    assert await store.dispatches.answer(of(new, ben), ACCEPT) is Outcome.KEPT
    assert await having(store, people) == [ben]
    [kept] = await store.messages.listing(ben.id)
    assert kept.accepted and not kept.open_dispatch
    assert await store.messages.get(of(new, ann)) is None
    assert await store.messages.counts(carl.id) == Counts()
    assert await store.messages.counts(ben.id) == Counts(new=1, new_urgent=1)


async def test_who_comes_later_is_told_that_it_is_taken(store: Store) -> None:
    ann, ben, _ = people = await team(store)
    new = await dispatched(store, people)
    await store.dispatches.answer(of(new, ann), ACCEPT)
    for answer in Answer:
        assert await store.dispatches.answer(of(new, ben), answer) is Outcome.TAKEN
        assert await store.dispatches.answer(of(new, ann), answer) is Outcome.HAD
    assert await having(store, people) == [ann]


async def test_declining_removes_the_own_copy_and_the_last_holder_may_not(store: Store) -> None:
    ann, ben, carl = people = await team(store)
    new = await dispatched(store, people)
    assert await store.dispatches.answer(of(new, ann), DECLINE) is Outcome.KEPT
    assert await having(store, people) == [ben, carl]
    assert await store.dispatches.answer(of(new, carl), DECLINE) is Outcome.KEPT
    assert await store.dispatches.answer(of(new, ben), DECLINE) is Outcome.LAST
    assert await having(store, people) == [ben]
    assert await store.dispatches.answer(of(new, ben), ACCEPT) is Outcome.KEPT
    assert await having(store, people) == [ben]


async def test_who_has_declined_may_still_accept_what_nobody_has(store: Store) -> None:
    ann, _, _ = people = await team(store)
    new = await dispatched(store, people)
    await store.dispatches.answer(of(new, ann), DECLINE)
    assert await store.dispatches.answer(of(new, ann), ACCEPT) is Outcome.KEPT
    assert await having(store, people) == [ann]


async def test_users_who_are_gone_hold_nothing_and_neither_do_purged_copies(store: Store) -> None:
    ann, ben, carl = people = await team(store)
    new = await dispatched(store, people)
    await store.users.remove(carl.id)
    await store.messages.mark(of(new, ben), Mark.PURGE)
    assert await store.dispatches.answer(of(new, ann), DECLINE) is Outcome.LAST
    with pytest.raises(NotFound):
        await store.dispatches.answer(of(new, ben), ACCEPT)


async def test_a_message_that_is_no_dispatch_cannot_be_answered(store: Store) -> None:
    plain = message(uuid7())
    await store.messages.deposit(plain, b"x")
    for one in (plain.id, uuid7()):
        with pytest.raises(NotFound):
            await store.dispatches.answer(one, ACCEPT)


async def test_an_answer_is_told_to_all_their_lamps(store: Store) -> None:
    people = await team(store)
    new = await dispatched(store, people)
    before = {item.id for item in await work(store)}
    await store.dispatches.answer(of(new, people[0]), ACCEPT)
    lamps = [item for item in await work(store) if item.id not in before]
    assert sorted(item.mailbox_id for item in lamps) == sorted(each.id for each in people)
    assert {item.kind for item in lamps} == {Work.LAMP}


async def put(store: Store, new: NewMessage, one: User, answer: Answer) -> None:
    """As the other node's answers come in: whatever is here already."""
    body = f'{{"answer": "{answer.value}", "message": "{of(new, one)}"}}'
    await store.settings.put(Setting(DISPATCH, str(one.id), body, new.id))


async def test_after_a_merge_the_last_to_accept_has_it_or_the_last_to_decline(store: Store) -> None:
    people = await team(store)
    other = await dispatched(store, people)
    for answers in product((ACCEPT, DECLINE, None), repeat=3):
        new = await dispatched(store, people)
        for one, answer in zip(people, answers, strict=True):
            if answer:
                await put(store, new, one, answer)
        known = {each.id: each.answers for each in await store.dispatches.all()}
        expected = holders([each.id for each in people], known.get(new.id, ()))
        for each in people:
            there = [m.id for m in await store.messages.listing(each.id)]
            assert (of(new, each) in there) == (each.id in expected), answers
            assert of(other, each) in there
        accepted = [one.id for one, answer in zip(people, answers, strict=True) if answer is ACCEPT]
        assert expected, "somebody always has it"
        assert not accepted or expected == {accepted[-1]}


async def test_dispatches_are_told_with_their_answers_in_order(store: Store) -> None:
    ann, ben, carl = people = await team(store)
    assert await store.dispatches.all() == []
    new, stamp = await dispatched(store, people), await store.dispatches.stamp()
    for one, answer in ((ann, DECLINE), (ben, ACCEPT), (carl, ACCEPT)):
        await put(store, new, one, answer)
        assert await store.dispatches.stamp() != stamp
        stamp = await store.dispatches.stamp()
    [told] = await store.dispatches.all()
    assert told.id == new.id and told.mailboxes == tuple(sorted(each.id for each in people))
    assert [(each.mailbox_id, each.answer) for each in told.answers] == [
        (ann.id, DECLINE), (ben.id, ACCEPT), (carl.id, ACCEPT)
    ]  # fmt: skip
    assert [each.message_id for each in told.overruled] == [of(new, ben)]
    await store.dispatches.forget(told)
    assert await store.dispatches.all() == []


async def test_copies_that_nobody_holds_any_more_are_given_up_in_the_end(store: Store) -> None:
    ann, ben, carl = people = await team(store)
    new = await dispatched(store, people)
    await store.dispatches.answer(of(new, ann), DECLINE)
    await store.dispatches.answer(of(new, ben), ACCEPT)
    assert await store.dispatches.left_over(datetime(2020, 1, 1, tzinfo=UTC)) == []
    left = sorted([of(new, ann), of(new, carl)])
    assert await store.dispatches.left_over(LATER) == left
    assert await store.dispatches.left_over(LATER, limit=1) == left[:1]
    for each in left:
        await store.messages.mark(each, Mark.PURGE)
    assert await store.dispatches.left_over(LATER) == []
    assert await store.messages.audio(of(new, ben)) == b"hello"
    [told] = await store.dispatches.all()
    assert told.mailboxes == (ben.id,)


async def test_an_open_dispatch_message_is_never_deleted_for_its_age(store: Store) -> None:
    ann, ben = people = await team(store, 2)
    new = await dispatched(store, people)
    assert {m.id for m in await aged(store, Mark.READ, LATER)} == {of(new, ann), of(new, ben)}
    for one in people:
        await store.messages.mark(of(new, one), Mark.READ)
    assert await aged(store, Mark.DELETE, LATER) == []
    await store.dispatches.answer(of(new, ann), ACCEPT)
    assert [m.id for m in await aged(store, Mark.DELETE, LATER)] == [of(new, ann)]


async def test_nobody_is_told_of_the_end_of_a_dispatch_message_that_is_open_or_not_his(store: Store) -> None:
    people = [user(f"200{number}", mail="x@example.org") for number in range(2)]
    for each in people:
        await store.users.add(each)
    new = await dispatched(store, people)
    for one in people:
        await store.messages.mark(of(new, one), Mark.READ)
    assert [each.saved for each in await store.messages.ripening(LATER, LATER)] == [0, 0]
    await store.dispatches.answer(of(new, people[0]), ACCEPT)
    found = {each.mailbox_id: each.saved for each in await store.messages.ripening(LATER, LATER)}
    assert found == {people[0].id: 1, people[1].id: 0}
