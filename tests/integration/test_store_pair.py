"""Two real servers kept identical: what a deposit promises, what a cut and a death cost, how they heal."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid5

import psycopg
import pytest

from store.errors import StoreError
from store.features import SCHEMA
from store.ids import uuid7
from store.model import Answer, Folder, Mark, NewWork, Outcome, Work
from store.postgres import PostgresStore
from tests.fakes.followers import deliver, followed
from tests.fakes.pair import Pair, Servers, open_pair, running_servers
from tests.fakes.store_contract import FAR, NOON, POLICY, message, user
from tests.fakes.store_contract_dispatch import dispatched, of, team

AUDIO = bytes(range(256)) * 312  # 80 kB


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running_servers() as both:
        yield both


@pytest.fixture
async def pair(servers: Servers) -> AsyncIterator[Pair]:
    servers.clean()
    async with open_pair(servers) as both:
        yield both


async def until(holds: Callable[[], Awaitable[bool]], timeout: float = 20.0) -> None:
    async with asyncio.timeout(timeout):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_deposit_is_on_both_nodes_when_it_returns(pair: Pair) -> None:
    one, two = pair.stores
    new = message(uuid7())
    assert (await one.messages.deposit(new, AUDIO)).copies == 2
    assert await two.messages.audio(new.id) == AUDIO
    [listed] = await two.messages.listing(new.mailbox_id)
    assert (listed.node, listed.folder) == (1, Folder.NEW)
    again = await one.messages.deposit(new, AUDIO)
    assert (again.copies, again.repeated) == (2, True)
    assert await pair.replicas[0].single_copies() == 0


async def test_the_links_are_tls(pair: Pair) -> None:
    with psycopg.connect(pair.servers.nodes[0].server.conninfo("postgres", "vm")) as admin:
        seen = admin.execute(
            "select ssl, client_dn from pg_stat_ssl join pg_stat_replication using (pid)"
            " where application_name = 'sub_2_from_1'"
        ).fetchone()
    assert seen == (True, "/CN=node2")


async def test_what_one_node_writes_wakes_the_other(pair: Pair) -> None:
    one, two = pair.stores
    told: set[str] = set()
    ready = asyncio.Event()

    async def listen() -> None:
        async for table in two.changes():
            told.add(table)
            ready.set()
            if told >= {"message", "outbox", "message_event", "user_account"}:
                return

    listening = asyncio.create_task(listen())
    await ready.wait()
    await one.users.add(user())
    new = message(uuid7())
    await one.messages.deposit(new, AUDIO)
    await one.messages.mark(new.id, Mark.READ)
    await asyncio.wait_for(listening, 5)


async def test_work_done_on_one_node_is_done_on_both(pair: Pair) -> None:
    one, two = pair.stores
    for _ in range(20):
        await one.messages.deposit(message(uuid7()), b"x")
        for item in await two.outbox.due(FAR, 1):
            await two.outbox.done(item, "sent", 1)
    await pair.caught_up()
    assert await one.outbox.pending() == await two.outbox.pending() == 0


async def test_work_whose_end_waits_for_the_peer_is_done_there_when_it_returns(pair: Pair) -> None:
    one, two = pair.stores
    await one.agree(SCHEMA)
    work = [NewWork(uuid7(), Work.MAIL, uuid7()) for _ in range(40)]
    await one.outbox.add(work)
    items = await one.outbox.due(FAR, 1)
    for item in items[:20]:
        await one.outbox.done(item, "sent", 1, wait=1.0)
        assert await two.outbox.result(item.id) == "sent"
    await asyncio.gather(*(one.outbox.done(item, "sent", 1, wait=1.0) for item in items[20:]))
    assert await two.outbox.pending() == 0


async def test_work_whose_end_waits_for_the_peer_waits_so_long_at_most_and_keeps_nothing_busy(
    pair: Pair,
) -> None:
    one, _ = pair.stores
    await one.agree(SCHEMA)
    await one.outbox.add([NewWork(uuid7(), Work.MAIL, uuid7()) for _ in range(20)])
    items = await one.outbox.due(FAR, 1)
    pair.servers.cut()
    began = time.monotonic()
    ends = [asyncio.create_task(one.outbox.done(item, "sent", 1, wait=2.0)) for item in items]
    await asyncio.sleep(0.1)
    assert await one.users.all() == [] and time.monotonic() - began < 2.0
    await asyncio.gather(*ends)
    assert 2.0 <= time.monotonic() - began < 4.0
    assert await one.outbox.pending() == 0
    await pair.replicas[0].switch_synchronous(False)
    began = time.monotonic()
    await one.outbox.done(items[0], "sent", 1, wait=5.0)
    assert time.monotonic() - began < 1.0
    pair.servers.join()
    await pair.caught_up()  # nothing of it is left for the next test


async def test_a_dead_peer_costs_a_second_then_nothing_and_gets_all_when_it_is_back(pair: Pair) -> None:
    one, _ = pair.stores
    replica = pair.replicas[0]
    dead = pair.servers.nodes[1].server
    before, during, after = message(uuid7()), message(uuid7()), message(uuid7())
    await one.messages.deposit(before, AUDIO)
    dead.stop(signal.SIGKILL)

    started = time.monotonic()
    assert (await one.messages.deposit(during, AUDIO, wait=1.0)).copies == 1
    assert 0.9 < time.monotonic() - started < 3
    assert await replica.single_copies() == 1

    waiting = asyncio.create_task(one.messages.deposit(message(uuid7()), AUDIO, wait=20.0))
    await asyncio.sleep(0.2)
    await replica.switch_synchronous(False)  # the role manager
    released = await asyncio.wait_for(waiting, 5)
    assert released.copies == 1
    assert (await one.messages.deposit(after, AUDIO)).copies == 1
    assert await replica.single_copies() == 3

    dead.start()
    await until(lambda: _caught_up(pair))
    await replica.switch_synchronous(True)
    await pair.caught_up()
    await until(lambda: _no_single_copy(pair))
    assert set(await pair.stores[1].messages.all_ids()) == {before.id, during.id, after.id, released.id}
    assert (await one.messages.deposit(message(uuid7()), AUDIO)).copies == 2
    assert await pair.same()


async def _caught_up(pair: Pair) -> bool:
    return (await pair.replicas[0].peer_state()).caught_up


async def _no_single_copy(pair: Pair) -> bool:
    return await pair.replicas[0].clear_single_copies() == 0


async def test_a_split_heals_to_the_union_and_the_newer_setting(pair: Pair) -> None:
    one, two = pair.stores
    ann, box = user("1001", name="Ann"), uuid7()
    await one.users.add(ann)
    shared = [message(box, minute) for minute in range(4)]
    for new in shared:
        await one.messages.deposit(new, b"before")
    await pair.caught_up()
    pair.servers.cut()
    for replica in pair.replicas:
        await replica.switch_synchronous(False)

    for store in (one, two):
        await store.messages.deposit(message(box, 9), b"during")
        await store.users.add(user("1002", name=f"made by {store.node}"))
        await store.users.set_greeting(ann.id, b"greeting of %d" % store.node)
        await store.users.change(replace(ann, name=f"changed by {store.node}"))
    await one.messages.mark(shared[0].id, Mark.READ)
    await two.messages.mark(shared[0].id, Mark.DELETE)
    await one.messages.mark(shared[1].id, Mark.DELETE)
    await two.messages.mark(shared[1].id, Mark.READ)
    await two.messages.mark(shared[1].id, Mark.UNDELETE)
    await two.messages.mark(shared[2].id, Mark.READ)
    await one.messages.mark(shared[2].id, Mark.UNREAD)
    for store in (one, two):
        for item in await store.outbox.due(FAR, 1):
            await store.outbox.done(item, f"by {store.node}", 1)

    pair.servers.join()
    await pair.caught_up()
    assert await pair.same()
    listings = [await store.messages.listing(box) for store in (one, two)]
    assert listings[0] == listings[1]
    folders = {listed.id: listed.folder for listed in listings[0]}
    assert len(folders) == 6
    assert [folders[new.id] for new in shared] == [
        Folder.DELETED,
        Folder.SAVED,
        Folder.NEW,
        Folder.NEW,
    ]
    for store in (one, two):
        assert await store.users.greeting(ann.id) == b"greeting of 2"
        kept = await store.users.get(ann.id)
        assert kept and kept.name == "changed by 2"
        owner = await store.users.by_extension("1002")
        assert owner and owner.name == "made by 1"  # the lower id; the other user is there still
        assert len(await store.users.all()) == 3
        assert await store.outbox.pending() == 0


async def test_an_event_follows_what_was_seen_although_this_nodes_clock_is_behind(pair: Pair) -> None:
    one, two = pair.stores
    new = message(uuid7())
    await one.messages.deposit(new, b"x")
    one._clock.observe(time.time_ns() // 1000 + 3_600_000_000)  # node 1 lives an hour ahead
    await one.messages.mark(new.id, Mark.DELETE)
    await pair.caught_up()
    await two.messages.mark(new.id, Mark.UNDELETE)
    await pair.caught_up()
    for store in (one, two):
        [listed] = await store.messages.listing(new.mailbox_id)
        assert listed.folder is Folder.NEW


async def test_wrong_pins_are_counted_over_both_nodes(pair: Pair) -> None:
    one, two = pair.stores
    who = uuid7()
    assert (await one.sign_ins.begin(who, POLICY, NOON)).allowed
    assert (await two.sign_ins.begin(who, POLICY, NOON)).allowed
    assert (await one.sign_ins.begin(who, POLICY, NOON)).allowed
    assert not (await two.sign_ins.begin(who, POLICY, NOON)).allowed
    assert await two.sign_ins.locked_until(who, POLICY, NOON) == await one.sign_ins.locked_until(
        who, POLICY, NOON
    )
    await two.sign_ins.unlock(who)
    await pair.caught_up()
    assert (await one.sign_ins.begin(who, POLICY, NOON)).allowed


async def test_racing_on_both_nodes_wins_no_additional_guess(pair: Pair) -> None:
    for _ in range(10):
        who = uuid7()
        attempts = await asyncio.gather(
            *(store.sign_ins.begin(who, POLICY, NOON) for store in pair.stores * 4)
        )
        assert sum(attempt.allowed for attempt in attempts) <= POLICY.failures


async def test_waiting_deposits_of_both_nodes_never_wait_for_each_other(pair: Pair) -> None:
    """Deposits, events about each other's messages, settings and results, all at once."""
    one, two = pair.stores
    ann = user(mail="ann@example.org")
    await one.users.add(ann)
    await pair.caught_up()
    copies: list[int] = []
    errors = [await _errors(pair, node) for node in (0, 1)]

    async def deposits(store: PostgresStore) -> None:
        for _ in range(40):
            deposit = await store.messages.deposit(message(ann.id), AUDIO, wait=5.0)
            copies.append(deposit.copies)

    async def marks(store: PostgresStore) -> None:
        for mark in (Mark.READ, Mark.DELETE, Mark.UNREAD, Mark.UNDELETE) * 5:
            for listed in (await store.messages.listing(ann.id))[:5]:
                await store.messages.mark(listed.id, mark)
            await store.users.set_greeting(ann.id, AUDIO)
            for item in await store.outbox.due(FAR, 1, 5):
                await store.outbox.done(item, "sent", 1)

    started = time.monotonic()
    work = [job(store) for store in (one, two) for job in (deposits, deposits, marks)]
    await asyncio.wait_for(asyncio.gather(*work), 60)
    assert copies == [2] * 160
    assert time.monotonic() - started < 60
    await pair.caught_up()
    assert await pair.same()
    assert [await _errors(pair, node) for node in (0, 1)] == errors
    assert await one.messages.counts(ann.id) == await two.messages.counts(ann.id)


async def _errors(pair: Pair, node: int) -> int:
    state = await pair.replicas[node].subscription_state()
    assert state and state.running and state.ready
    return state.errors


async def test_the_database_of_another_node_is_refused(pair: Pair) -> None:
    await pair.stores[0].users.all()
    conninfo = pair.servers.nodes[0].server.conninfo()
    async with PostgresStore.open(conninfo, 2) as wrong:
        with pytest.raises(StoreError, match="belongs to node 1"):
            await wrong.users.all()
        with pytest.raises(StoreError, match="belongs to node 1"):
            await wrong.users.all()


async def test_a_dead_peer_is_forgotten_and_a_new_one_copies_everything(pair: Pair) -> None:
    one, _ = pair.stores
    new = message(uuid7())
    await one.messages.deposit(new, AUDIO)
    await one.messages.mark(new.id, Mark.READ)
    for replica in pair.replicas:
        await replica.forget_peer()
    assert await pair.replicas[0].slot_state() is None
    server = pair.servers.nodes[1].server
    with psycopg.connect(server.conninfo("postgres", "vm"), autocommit=True) as admin:
        admin.execute("truncate message, message_event, outbox, message_state, outbox_open")
    first, second = pair.servers.nodes
    password = server.settings.passwords.vmrepl
    link = first.server.link_conninfo("127.0.0.1", second.link.port, password)
    assert await pair.replicas[0].ensure_subscription(link)
    link = second.server.link_conninfo("127.0.0.1", first.link.port, password)
    assert await pair.replicas[1].ensure_subscription(link)
    await until(lambda: _ready(pair))
    await pair.caught_up()
    assert await pair.same()
    [listed] = await pair.stores[1].messages.listing(new.mailbox_id)
    assert listed.folder is Folder.SAVED
    slot = await pair.replicas[0].slot_state()
    assert slot and slot.active and not slot.lost


async def _ready(pair: Pair) -> bool:
    state = await pair.replicas[1].subscription_state()
    return bool(state and state.ready and state.running)


async def test_after_a_cut_all_that_was_taken_alone_is_on_both_when_they_say_so_whatever_comes_in(
    pair: Pair,
) -> None:
    box, stop = uuid7(), asyncio.Event()

    async def callers(store: PostgresStore) -> None:
        while not stop.is_set():
            await store.messages.deposit(message(box), AUDIO, wait=0.5)

    async with followed(pair) as followers:

        async def parted() -> bool:
            return not any(one.state.receiving for one in followers)

        await deliver(followers, time.monotonic())
        pair.servers.cut()
        loads = [asyncio.create_task(callers(store)) for store in pair.stores]
        await asyncio.sleep(1.5)
        await until(parted)
        healed = time.monotonic()
        alone = [await store.messages.all_ids() for store in pair.stores]
        pair.servers.join()
        await deliver(followers, healed)
        known = [set(await store.messages.all_ids()) for store in pair.stores]
        assert all(alone) and known[0] >= set(alone[1]) and known[1] >= set(alone[0])
        assert not any(load.done() for load in loads)
        stop.set()
        await asyncio.gather(*loads)
        await pair.caught_up()  # nothing of it is left for the next test


async def test_the_same_work_written_on_both_sides_of_a_cut_is_one_piece_of_work(pair: Pair) -> None:
    one, two = pair.stores
    for store in pair.stores:
        await store.agree(SCHEMA)
    box, source = uuid7(), uuid7()
    rows = [NewWork(uuid5(source, str(n)), Work.NOTIFY, box, None, json.dumps({"n": n})) for n in range(3)]
    pair.servers.cut()
    await one.outbox.add(rows)
    await two.outbox.add(rows)
    [first, *_] = await one.outbox.due(FAR, 1)
    await one.outbox.done(first, "by 1", 1)
    pair.servers.join()
    await pair.caught_up()
    new = message(uuid7())
    await one.messages.deposit(new, b"x")
    await pair.caught_up()
    assert await two.messages.audio(new.id) == b"x", "replication stopped"
    for store in pair.stores:
        left = [item.id for item in await store.outbox.due(FAR, 1) if item.kind is Work.NOTIFY]
        assert sorted(left) == sorted(row.id for row in rows if row.id != first.id)
    assert await pair.same()


async def test_a_message_written_on_both_sides_of_a_cut_is_the_earlier_one_on_both(pair: Pair) -> None:
    """As a receipt, whose id is made of the message's that was heard on both sides."""
    one, two = pair.stores
    early = message(uuid7())
    late = replace(early, recorded=early.recorded + timedelta(seconds=5), caller_name="later")
    first, second = uuid7(), uuid7()
    pair.servers.cut()
    await one.messages.deposit(replace(early, id=first), b"early")
    await two.messages.deposit(replace(late, id=first), b"late")
    await one.messages.deposit(replace(late, id=second), b"late")
    await two.messages.deposit(replace(early, id=second), b"early")
    await two.messages.mark(second, Mark.READ)
    pair.servers.join()
    await pair.caught_up()
    assert await pair.same()
    for store in pair.stores:
        assert [await store.messages.audio(each) for each in (first, second)] == [b"early", b"early"]
        kept = await store.messages.get(second)
        assert kept and kept.folder is Folder.SAVED


async def test_a_dispatch_accepted_on_both_sides_of_a_cut_is_the_last_ones_on_both(
    pair: Pair,
) -> None:
    one, two = pair.stores
    for store in pair.stores:
        await store.agree(SCHEMA)
    for replica in pair.replicas:
        assert await replica.cover()
    people = await team(one, 3)
    twice, all_declined = await dispatched(one, people), await dispatched(one, people)
    await pair.caught_up()
    pair.servers.cut()
    for replica in pair.replicas:
        await replica.switch_synchronous(False)
    ann, ben, carl = people
    answered = [
        await store.dispatches.answer(of(new, who), answer)
        for store, new, who, answer in (
            (one, twice, ann, Answer.ACCEPT),
            (two, twice, ben, Answer.ACCEPT),
            (two, all_declined, ann, Answer.DECLINE),
            (one, all_declined, ben, Answer.DECLINE),
            (two, all_declined, carl, Answer.DECLINE),
        )
    ]
    assert answered == [Outcome.KEPT] * 5, "neither side refuses anything"
    for store, who in ((one, ann), (two, ben)):
        assert of(twice, who) in [m.id for m in await store.messages.listing(who.id)]
    pair.servers.join()
    await pair.caught_up()
    assert await pair.same()
    for store in pair.stores:
        there = {m.id for who in people for m in await store.messages.listing(who.id)}
        assert there == {of(twice, ben), of(all_declined, carl)}
        told = {each.id: each for each in await store.dispatches.all()}
        assert [each.mailbox_id for each in told[twice.id].overruled] == [ann.id]
        counted = [(await store.messages.counts(who.id)).new for who in people]
        assert counted == [0, 1, 1]
    assert await one.dispatches.all() == await two.dispatches.all()
