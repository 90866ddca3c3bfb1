"""Two nodes of which one has the older schema: nothing that one writes stops the other."""

import psycopg
import pytest

from store.features import SCHEMA, agreed
from store.ids import uuid7
from store.model import Mark, Notice, Told, Work
from store.schema import upgrade
from tests.fakes.pair import Pair, open_pair, running_servers
from tests.fakes.store_contract import FAR, NOON, message, notice, user

NEW, OLD = f"{SCHEMA:04}", "0001"


async def everything(pair: Pair, extension: str) -> None:
    """Both nodes write rows of every kind that a node with the older schema writes."""
    for number, store in enumerate(pair.stores):
        ann = user(f"{extension}{number}", mail="ann@example.org")
        await store.users.add(ann)
        await store.users.set_greeting(ann.id, b"hello")
        new = message(ann.id)
        await store.messages.deposit(new, b"x" * 1000)
        await store.messages.mark(new.id, Mark.READ)
        await store.sign_ins.unlock(ann.id)
    await pair.caught_up()


async def errors(pair: Pair) -> list[int]:
    states = [await replica.subscription_state() for replica in pair.replicas]
    return [state.errors for state in states if state]


async def same_but_outbox(pair: Pair) -> bool:
    one, two = [await replica.digests() for replica in pair.replicas]
    return all(one[table] == two[table] for table in one if table != "outbox") and (
        one["outbox"].rows == two["outbox"].rows
    )


@pytest.mark.parametrize("older", [0, 1])
async def test_nothing_new_reaches_a_node_that_has_the_older_schema(older: int) -> None:
    newer = 1 - older
    schemas = (OLD, NEW) if older == 0 else (NEW, OLD)
    with running_servers(schemas) as servers:
        async with open_pair(servers) as pair:
            await everything(pair, "1")
            # It is alone in being new: what it is told to write is not written.
            assert await pair.stores[newer].agree(agreed(SCHEMA, [1])) == 1
            assert await pair.stores[newer].outbox.alarm(notice(), NOON) is Told.NOT_YET
            await everything(pair, "2")
            assert await same_but_outbox(pair)
            assert await errors(pair) == [0, 0]

            # The other follows; each agrees when it hears of it, in its own time.
            upgrade(servers.nodes[older].server.conninfo())
            await everything(pair, "3")
            assert await pair.stores[newer].agree(agreed(SCHEMA, [SCHEMA])) == SCHEMA
            assert await pair.stores[newer].outbox.alarm(notice(), NOON) is Told.WRITTEN
            assert await pair.stores[older].outbox.alarm(notice(), NOON) is Told.NOT_YET
            await everything(pair, "4")
            assert await pair.stores[older].agree(agreed(SCHEMA, [SCHEMA])) == SCHEMA
            assert await pair.stores[older].outbox.alarm(notice("raised", "other"), NOON) is Told.WRITTEN
            await everything(pair, "5")
            assert await pair.same()
            assert await errors(pair) == [0, 0]
            for store in pair.stores:
                due = await store.outbox.due(FAR, 1, 1000)
                assert {Notice.read(item.payload).alarm for item in due if item.kind is Work.ALARM} == {
                    "disk_full",
                    "other",
                }
                assert Notice.read(due[0].payload) == notice()
            # An hour is counted by each node for itself, over the rows of both.
            assert await pair.stores[older].outbox.alarm(notice(), NOON) is Told.WRITTEN
            assert await pair.stores[newer].outbox.alarm(notice(), NOON) is Told.EARLIER


async def test_without_the_agreement_a_new_column_would_stop_the_older_node() -> None:
    """What the rule protects from: the proof that the tests above can fail."""
    with running_servers((NEW, OLD)) as servers:
        async with open_pair(servers) as pair:
            await pair.stores[0].agree(SCHEMA)
            await pair.stores[0].messages.deposit(message(uuid7()), b"x", wait=0.2)
            with pytest.raises(TimeoutError):
                await pair.caught_up(2.0)
            assert (await errors(pair))[1] > 0
            with psycopg.connect(servers.nodes[1].server.conninfo()) as connection:
                assert connection.execute("select count(*) from public.outbox").fetchone() == (0,)
            upgrade(servers.nodes[1].server.conninfo())
            await pair.caught_up()
            assert await pair.same()
