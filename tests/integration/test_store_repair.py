"""A node that cannot catch up by replication alone: it was away for longer than its peer keeps what
it missed, or its copying was cut off. It comes back by itself, while both nodes take messages."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import psycopg
import pytest

from store.compare import COMPARED
from store.errors import Unavailable
from store.features import SCHEMA
from store.ids import uuid7
from store.model import SYSTEM, Mark, NewWork, User, Work
from store.postgres import PostgresStore
from store.repair import overwrite
from tests.fakes.followers import followed, link_of
from tests.fakes.pair import Node, Pair, Servers, open_pair, running_servers
from tests.fakes.store_contract import FAR, message, user
from voicemail.cluster.follower import Follower
from voicemail.secrets import Member, Membership
from voicemail.supervise import comparing as supervise_comparing
from voicemail.supervise.comparing import Comparing

AUDIO = bytes(range(256)) * 312  # 80 kB


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running_servers(max_slot_wal_keep_size="1MB") as both:
        yield both


@pytest.fixture
async def pair(servers: Servers) -> AsyncIterator[Pair]:
    servers.clean()
    async with open_pair(servers) as both:
        yield both
        for replica in both.replicas:
            await replica.forget_peer()


def admin(node: Node) -> psycopg.Connection:
    return psycopg.connect(node.server.conninfo("postgres", "vm"), autocommit=True)


class AskedLink:
    """The link of one node, whose questions the other's `Comparing` answers."""

    def __init__(self, pair: Pair, node: int) -> None:
        members = tuple(Member(n, f"vm{n}", "127.0.0.1", 1, 1, 1) for n in (1, 2))
        self.server, self.membership = pair.servers.nodes[node].server, Membership(node + 1, members)
        self.pair, self.peer = pair, 1 - node

    async def ask(self, asked: dict[str, Any], _: float) -> dict[str, Any]:
        return await Comparing(AskedLink(self.pair, self.peer)).digests(asked)  # type: ignore[arg-type]


def comparing(pair: Pair) -> Comparing:
    return Comparing(AskedLink(pair, 0))  # type: ignore[arg-type]


TWICE = message(uuid5(SYSTEM, "ann"), id=uuid5(SYSTEM, "twice"))
"""Ids made of what they are for, so that both nodes may write them."""
CALL = NewWork(uuid5(SYSTEM, "call"), Work.NOTIFY, uuid7())


async def same_ids(store: PostgresStore) -> None:
    """What both nodes write of the same things: the earlier message is of node 2, the earlier work of 1."""
    said = replace(TWICE, caller=f"of {store.node}", recorded=TWICE.recorded - timedelta(hours=store.node))
    await store.messages.deposit(said, b"of %d" % store.node, wait=0.01)
    await store.outbox.add([replace(CALL, payload=f'{{"by": {store.node}}}')])


async def work_alone(pair: Pair, ann: User, shared: UUID) -> None:
    """Rows of every kind on both sides, some of them about the same things."""
    for store in pair.stores:
        box = await store.users.get(ann.id)
        assert box
        for _ in range(30):
            await store.messages.deposit(message(ann.id), AUDIO, wait=0.01)
        await store.messages.mark(shared, Mark.READ if store.node == 1 else Mark.DELETE)
        await store.users.add(user(f"20{store.node}", name=f"made by {store.node}"))
        await store.users.add(user("300", name=f"made by {store.node}"))
        await store.users.change(replace(box, name=f"changed by {store.node}"))
        await store.users.set_greeting(ann.id, b"greeting of %d" % store.node)
        await store.sign_ins.unlock(ann.id)
        for item in await store.outbox.due(FAR, 1, 20):
            await store.outbox.done(item, f"by {store.node}", 1)
        await same_ids(store)


def lose_slots(pair: Pair) -> None:
    """More log than is kept, on both nodes."""
    for node in pair.servers.nodes:
        with admin(node) as server:
            for _ in range(4):
                server.execute("select pg_logical_emit_message(true, 'x', 'x')")
                server.execute("select pg_switch_wal()")
            server.execute("checkpoint")
            [state] = server.execute("select wal_status from pg_replication_slots").fetchall()
            assert state == ("lost",)


async def deposit_all_the_time(store: PostgresStore, box: UUID) -> None:
    while True:
        await store.messages.deposit(message(box), AUDIO, wait=0.5)
        await asyncio.sleep(0.02)


async def linked(followers: list[Follower], timeout: float = 40.0) -> None:
    async with asyncio.timeout(timeout):
        while not all(f.state.receiving and f.state.delivered and f.state.synchronous for f in followers):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_after_being_away_for_too_long_both_nodes_become_whole_while_messages_come_in(
    pair: Pair,
) -> None:
    one, two = pair.stores
    ann, shared = user("1001", name="Ann"), message(uuid7())
    for store in pair.stores:
        await store.agree(SCHEMA)
    await one.users.add(ann)
    await one.messages.deposit(shared, AUDIO)
    await pair.caught_up()
    pair.servers.cut()
    for replica in pair.replicas:
        await replica.switch_synchronous(False)
    await work_alone(pair, ann, shared.id)
    lose_slots(pair)
    pair.servers.join()
    loads = [asyncio.create_task(deposit_all_the_time(store, ann.id)) for store in pair.stores]
    async with followed(pair) as followers:
        await linked(followers)
        for load in loads:
            load.cancel()
        await asyncio.wait(loads)
        await pair.caught_up()
        assert not any(follower.state.lost for follower in followers)
    assert await pair.same()
    assert await one.messages.listing(ann.id) == await two.messages.listing(ann.id)
    assert len(await one.messages.listing(ann.id)) > 60
    for store in pair.stores:
        kept = await store.users.get(ann.id)
        assert kept and kept.name == "changed by 2"
        assert await store.users.greeting(ann.id) == b"greeting of 2"
        assert await store.messages.audio(TWICE.id) == b"of 2"
        twice, call = await store.messages.get(TWICE.id), await store.outbox.get(CALL.id)
        assert twice and call and (twice.caller, call.payload) == ("of 2", '{"by": 1}')
        assert call in [each.item for each in await store.outbox.listed()]
    for number, node in enumerate(pair.servers.nodes, 1):
        with admin(node) as server:  # what came from the peer bears an origin, so it was not sent back
            found = server.execute(
                "select count(*) filter (where (pg_xact_commit_timestamp_origin(xmin)).roident = 0), count(*)"
                " from public.message where node <> %s",
                (number,),
            ).fetchone()
            assert found and found[0] == 0 and found[1] >= 30


async def test_a_copy_that_was_cut_off_goes_on_and_until_then_nothing_counts_as_delivered(pair: Pair) -> None:
    one = pair.stores[0]
    first, second = pair.replicas
    for replica in pair.replicas:
        await replica.forget_peer()
    for _ in range(300):
        await one.messages.deposit(message(uuid7()), AUDIO)
    copying = asyncio.create_task(second.ensure_subscription(link_of(pair, 1)))
    stored = pair.stores[1].messages
    async with asyncio.timeout(20):
        while not await stored.all_ids():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    pair.servers.cut()
    with pytest.raises(Unavailable):
        await copying
    assert 0 < len(await stored.all_ids()) < 300
    state = await second.subscription_state()
    assert state and not state.enabled
    assert (await first.peer_state()).flushed == 0
    pair.servers.join()
    assert await second.ensure_subscription(link_of(pair, 1))
    assert len(await stored.all_ids()) == 300
    assert not await second.ensure_subscription(link_of(pair, 1))


async def test_overwriting_makes_a_damaged_node_equal_and_keeps_what_only_it_had(
    pair: Pair, tmp_path: Path
) -> None:
    one, two = pair.stores
    ann = user("1001", name="Ann")
    await one.users.add(ann)
    await one.users.set_greeting(ann.id, b"hello")
    news = [message(ann.id, minute) for minute in range(4)]
    for new in news:
        await one.messages.deposit(new, AUDIO)
        await one.messages.mark(new.id, Mark.READ)
    await pair.caught_up()
    only_here = uuid7()
    with admin(pair.servers.nodes[1]) as server:
        server.execute("set session_replication_role = replica")
        server.execute("select pg_replication_origin_create('damage')")
        server.execute("select pg_replication_origin_session_setup('damage')")
        server.execute("delete from public.message where id = %s", (news[0].id,))
        server.execute("update public.message set audio = 'noise' where id = %s", (news[1].id,))
        server.execute("update public.user_account set name = 'Damaged', hlc = hlc + 1")
        server.execute("delete from public.message_event where message_id = %s", (news[2].id,))
        server.execute("delete from public.message_state")
        server.execute("delete from public.outbox_open")
        server.execute(
            "insert into public.message select %s, mailbox_id, node, 'only here', caller_name, recorded,"
            " seconds, urgent, cut_off, call_id, audio from public.message where id = %s",
            (only_here, news[3].id),
        )
        server.execute("select pg_replication_origin_session_reset()")
        server.execute("select pg_replication_origin_drop('damage')")
    fresh = message(ann.id, 9)

    async def delivered() -> None:
        await pair.caught_up()
        await two.messages.deposit(fresh, AUDIO)  # what comes in meanwhile stays

    dump = tmp_path / "dump"
    conninfo = pair.servers.nodes[1].server.conninfo("postgres", "vm")
    done = await overwrite(conninfo, link_of(pair, 1), dump, delivered)
    await pair.caught_up()
    assert await pair.same()
    assert (done.only_here, done.differed) == (1, 2)
    assert done.fetched == 2
    kept = [json.loads(line) for line in dump.read_text().splitlines()]
    told = {(line["table"], line["row"].get("caller") or line["row"].get("name")) for line in kept}
    assert told == {("message", "only here"), ("message", news[1].caller), ("user_account", "Damaged")}
    assert dump.stat().st_mode & 0o777 == 0o600
    listed = await two.messages.listing(ann.id)
    assert {m.id for m in listed} == {*(new.id for new in news), fresh.id}
    assert await one.messages.listing(ann.id) == listed


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on its way."""
    monkeypatch.setattr(supervise_comparing, "LOOKS", 1)


@pytest.mark.usefixtures("hasty")
async def test_comparing_names_the_table_that_differs(pair: Pair) -> None:
    one, _ = pair.stores
    new = message(uuid7())
    await one.messages.deposit(new, AUDIO)
    await one.messages.mark(new.id, Mark.READ)
    await pair.caught_up()
    assert await pair.same()
    differs: list[str] = []
    for statement, table in {
        "update public.message set audio = substr(audio, 2)": "message",
        "update public.message_state set is_read = false": "message_state",
        "delete from public.outbox_open": "outbox_open",
        "delete from public.outbox": "outbox",
    }.items():
        with admin(pair.servers.nodes[1]) as server:
            server.execute("set session_replication_role = replica")
            server.execute(statement)
        differs.append(table)
        for audio in (False, True):
            compared = (await comparing(pair).compare({"audio": audio}))["tables"]
            assert {row["table"] for row in compared if not row["equal"]} == set(differs)


@pytest.mark.usefixtures("hasty")
async def test_without_the_recordings_themselves_their_lengths_are_compared(pair: Pair) -> None:
    await pair.stores[0].messages.deposit(message(uuid7()), b"one")
    await pair.caught_up()
    with admin(pair.servers.nodes[1]) as server:
        server.execute("update public.message set audio = 'two'")
    for audio in (False, True):
        compared = (await comparing(pair).compare({"audio": audio}))["tables"]
        assert [row["table"] for row in compared if not row["equal"]] == (["message"] if audio else [])


async def test_rows_on_their_way_are_waited_for(pair: Pair) -> None:
    pair.servers.cut()
    await pair.stores[0].messages.deposit(message(uuid7()), AUDIO, wait=0.01)
    looking = asyncio.create_task(comparing(pair).compare({}))
    await asyncio.sleep(0.2)
    pair.servers.join()
    compared = await looking
    assert all(row["equal"] for row in compared["tables"])
    assert compared["tables"][COMPARED.index("message")] == {
        "table": "message", "here": 1, "there": 1, "equal": True,
    }  # fmt: skip
