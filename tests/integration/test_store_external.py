"""One PostgreSQL that somebody else runs, shared by both nodes: no replication, the same behaviour."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from store.ids import uuid7
from store.model import Mark, OutboxItem
from store.postgres import PostgresStore
from store.schema import upgrade
from tests.fakes.postgres import FAST, RunningServer, running_server
from tests.fakes.store_contract import FAR, NOON, POLICY, message, user


@pytest.fixture(scope="module")
def external() -> Iterator[RunningServer]:
    """As such a server comes: not prepared for logical replication."""
    with running_server(parameters=FAST | {"wal_level": "replica"}) as server:
        upgrade(server.conninfo())
        yield server


@pytest.fixture
async def both(external: RunningServer) -> AsyncIterator[list[PostgresStore]]:
    async with AsyncExitStack() as stack:
        opened = [PostgresStore.open(external.conninfo(), node, replicated=False) for node in (1, 2)]
        yield [await stack.enter_async_context(store) for store in opened]


def test_it_gets_no_publications(external: RunningServer) -> None:
    with psycopg.connect(external.conninfo()) as database:
        assert database.execute("select count(*) from pg_publication").fetchone() == (0,)


async def test_both_nodes_see_the_same_at_once(both: list[PostgresStore]) -> None:
    one, two = both
    ann = user(mail="ann@example.org")
    await one.users.add(ann)
    new = message(ann.id)
    deposit = await two.messages.deposit(new, b"x")
    assert (deposit.copies, deposit.repeated) == (1, False)
    assert (await one.messages.deposit(new, b"x")).repeated
    await one.messages.mark(new.id, Mark.READ)
    for store in both:
        [listed] = await store.messages.listing(ann.id)
        assert (listed.node, listed.folder) == (2, "saved")


async def test_messages_are_not_noted_as_single_copies(
    both: list[PostgresStore], external: RunningServer
) -> None:
    await both[0].messages.deposit(message(uuid7()), b"x")
    with psycopg.connect(external.conninfo()) as database:
        assert database.execute("select count(*) from single_copy").fetchone() == (0,)


async def test_attempts_and_epochs_count_for_both(both: list[PostgresStore]) -> None:
    one, two = both
    who = uuid7()
    allowed = [(await store.sign_ins.begin(who, POLICY, NOON)).allowed for store in (one, two, one, two)]
    assert allowed == [True, True, True, False]
    await one.messages.deposit(message(who), b"x")
    items: list[OutboxItem] = list(await two.outbox.due(FAR, 7))
    for item in items:
        await two.outbox.done(item, "sent", 7)
    assert items
    assert await one.outbox.pending() == 0
