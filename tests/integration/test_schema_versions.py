"""Two nodes of which one has the older schema: nothing that one writes stops the other."""

import psycopg
import pytest

from store.errors import NotYet
from store.features import SCHEMA, agreed
from store.ids import uuid7
from store.model import Envelope, Mark, Notice, Setting, Told, Work, copy_id
from store.schema import upgrade
from tests.fakes.pair import Pair, open_pair, running_servers
from tests.fakes.store_contract import FAR, NOON, message, notice, user

NEW, OLD = f"{SCHEMA:04}", "0001"


async def everything(pair: Pair, extension: str, older: int = -1) -> None:
    """Both nodes write rows of every kind that a node with the older schema writes; node `older` as that
    release did."""
    for number, store in enumerate(pair.stores):
        if number == older:
            as_before(pair.servers.nodes[number].server.conninfo(), number + 1, f"{extension}{number}")
            continue
        ann = user(f"{extension}{number}", mail="ann@example.org")
        await store.users.add(ann)
        await store.users.set_greeting(ann.id, b"hello")
        new = message(ann.id)
        await store.messages.deposit(new, b"x" * 1000)
        await store.messages.mark(new.id, Mark.READ)
        await store.sign_ins.unlock(ann.id)
    await pair.caught_up()


def as_before(conninfo: str, node: int, extension: str) -> None:
    """What the release with the first schema writes, in its own words."""
    ann, new = uuid7(), uuid7()
    with psycopg.connect(conninfo, autocommit=True) as old:
        old.execute(
            "insert into public.user_account values (%s, %s, '', 'a@b', true, '', 'en', '{}', false, 1, %s)",
            (ann, extension, node),
        )
        old.execute(
            "insert into public.greeting values (%s, %s, 'standard', 'hello', false, 1, %s)",
            (uuid7(), ann, node),
        )
        old.execute(
            "select public.deposit(%s, %s, %s::smallint, '', '', now(), 1.0, false, false, '', 'x', %s, %s,"
            " false, true)",
            (new, ann, node, uuid7(), uuid7()),
        )
        old.execute("select public.mark(%s, %s, %s::smallint, 1, 'read', %s)", (uuid7(), new, node, uuid7()))
        old.execute(
            "select public.sign_in_event(%s, %s, %s::smallint, 1, now(), 'unlock', false)",
            (uuid7(), ann, node),
        )


async def all_that_is_new(pair: Pair) -> None:
    """Once each is subscribed to the other's new table."""
    assert [await replica.cover() for replica in pair.replicas] == [True, True]
    for number, store in enumerate(pair.stores):
        await store.settings.put(Setting("cos", f"of {number}", "{}"))
        boxes = [uuid7(), uuid7()]
        new = message(uuid7(), envelope=Envelope(secure=True))
        await store.messages.send(new, boxes, b"x" * 100)
        await store.messages.mark(copy_id(new.id, boxes[0]), Mark.PURGE)
    await pair.caught_up()
    assert [len(await store.settings.all()) for store in pair.stores] == [2, 2]


async def errors(pair: Pair) -> list[int]:
    states = [await replica.subscription_state() for replica in pair.replicas]
    return [state.errors for state in states if state]


async def same_but_outbox(pair: Pair) -> bool:
    one, two = [await replica.digests() for replica in pair.replicas]
    wider = ("outbox", "message", "message_state")  # these have columns that the older one lacks
    return all(one[table] == two[table] for table in one.keys() & two.keys() if table not in wider) and all(
        one[table].rows == two[table].rows for table in wider
    )


@pytest.mark.parametrize("older", [0, 1])
async def test_nothing_new_reaches_a_node_that_has_the_older_schema(older: int) -> None:
    newer = 1 - older
    schemas = (OLD, NEW) if older == 0 else (NEW, OLD)
    with running_servers(schemas) as servers:
        async with open_pair(servers) as pair:
            await everything(pair, "1", older)
            # It is alone in being new: what it is told to write is not written.
            with pytest.raises(NotYet):
                await pair.stores[newer].settings.put(Setting("cos", "default", "{}"))
            with pytest.raises(NotYet):
                await pair.stores[newer].messages.send(message(uuid7()), [uuid7()], b"x")
            plain = message(uuid7(), envelope=Envelope(private=True))
            await pair.stores[newer].messages.deposit(plain, b"x")
            kept = await pair.stores[newer].messages.get(plain.id)
            assert kept and kept.envelope == Envelope()
            assert await pair.stores[newer].agree(agreed(SCHEMA, [1])) == 1
            assert await pair.stores[newer].outbox.alarm(notice(), NOON) is Told.NOT_YET
            await everything(pair, "2", older)
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
            await all_that_is_new(pair)
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
