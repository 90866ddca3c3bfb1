"""The PostgreSQL store keeps the contract that the memory store keeps, and has manners of its own."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import psycopg
import pytest

from store.errors import Unavailable
from store.features import SCHEMA
from store.ids import uuid7
from store.model import Folder
from store.postgres import PostgresStore
from store.server import processes_in
from tests.fakes.postgres import RunningServer, running_server, with_template
from tests.fakes.store_contract import *  # noqa: F403
from tests.fakes.store_contract import FAR, message
from tests.fakes.store_contract_dispatch import *  # noqa: F403
from tests.fakes.store_contract_outside import *  # noqa: F403
from tests.fakes.store_contract_sign_in import *  # noqa: F403
from tests.fakes.store_contract_telephone import *  # noqa: F403


@pytest.fixture
async def store(postgres_store: PostgresStore) -> PostgresStore:
    await postgres_store.agree(SCHEMA)
    return postgres_store


# ------------------------------------------------------------------ manners of its own


class Stand:
    """A server and a database of the test's own, to be killed, frozen and restarted."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server

    def freeze(self, how: signal.Signals) -> None:
        for pid in processes_in(self.server.settings.data):
            with suppress(ProcessLookupError):
                os.kill(pid, how)


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with running_server() as server:
        with_template(server)
        yield Stand(server)


@pytest.fixture
async def restless(stand: Stand) -> AsyncIterator[PostgresStore]:
    async with PostgresStore.open(stand.server.conninfo(), replicated=False) as store:
        yield store


async def test_calls_work_again_as_soon_as_postgresql_has_restarted(
    stand: Stand, restless: PostgresStore
) -> None:
    new = message(uuid7())
    await restless.messages.deposit(new, b"x")
    for how in (signal.SIGINT, signal.SIGKILL):
        stand.server.stop(how)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await restless.messages.deposit(message(uuid7()), b"x")
        assert time.monotonic() - started < 1
        stand.server.start()
        assert (await restless.messages.get(new.id)) is not None
        assert (await restless.messages.deposit(new, b"x")).repeated


async def test_a_frozen_server_is_given_up_within_its_bound(stand: Stand, restless: PostgresStore) -> None:
    await restless.users.all()
    restless._connections.statement = 0.5
    stand.freeze(signal.SIGSTOP)
    try:
        started = time.monotonic()
        for _ in range(2):  # on the connection at hand, and on a new one
            with pytest.raises(Unavailable):
                await restless.users.all()
        with pytest.raises(Unavailable):
            await restless.messages.deposit(message(uuid7()), b"x", wait=0.3)
        assert time.monotonic() - started < 5
    finally:
        stand.freeze(signal.SIGCONT)
    restless._connections.statement = 5.0
    assert await restless.users.all() == []


async def test_a_call_that_is_cancelled_ends_at_once_and_harms_nothing(
    stand: Stand, restless: PostgresStore
) -> None:
    await restless.users.all()
    stand.freeze(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await restless.users.all()
        assert time.monotonic() - started < 1
    finally:
        stand.freeze(signal.SIGCONT)
    assert await restless.users.all() == []


async def test_changes_are_told_again_after_a_restart(stand: Stand, restless: PostgresStore) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    async def listen() -> None:
        async for table in restless.changes():
            await told.put(table)

    listening = asyncio.create_task(listen())
    assert await asyncio.wait_for(told.get(), 5) == ""
    stand.server.stop(signal.SIGKILL)
    stand.server.start()
    assert await asyncio.wait_for(told.get(), 5) == ""
    await restless.messages.deposit(message(uuid7()), b"x")
    assert {await asyncio.wait_for(told.get(), 5) for _ in range(2)} == {"message", "outbox"}
    listening.cancel()


async def test_a_crowd_of_calls_shares_few_connections(store_dsn: str) -> None:
    async with PostgresStore.open(store_dsn, connections=2) as store:
        new = [message(uuid7(), minute) for minute in range(40)]
        await asyncio.gather(*(store.messages.deposit(each, b"x") for each in new))
        assert len(await store.messages.all_ids()) == 40
        with psycopg.connect(store_dsn) as other:
            row = other.execute(
                "select count(*) from pg_stat_activity"
                " where datname = current_database()"
                " and pid <> pg_backend_pid() and backend_type = 'client backend'"
            ).fetchone()
        assert row == (2,)


async def test_a_store_opens_without_its_database() -> None:
    async with PostgresStore.open("host=127.0.0.1 port=1 dbname=vm user=vm") as store:
        with pytest.raises(Unavailable):
            await store.users.all()


async def test_what_callers_send_never_keeps_a_message_out(postgres_store: PostgresStore) -> None:
    box = uuid7()
    odd = message(box, caller="+49\0" * 3000, caller_name="\ud800\U0001f600%s'", call_id="\0")
    await postgres_store.messages.deposit(odd, b"x")
    [listed] = await postgres_store.messages.listing(box)
    assert listed.caller_name == "?\U0001f600%s'"
    assert await postgres_store.users.by_extension("10\x0001'; drop table message") is None


async def test_many_calls_of_work_done_do_not_slow_what_is_due(
    postgres_store: PostgresStore, store_dsn: str
) -> None:
    with psycopg.connect(store_dsn) as database:
        database.execute(
            "insert into outbox select gen_random_uuid(), 1, 'lamp', gen_random_uuid(), null,"
            " now() - n * interval '1 s' from generate_series(1, 30000) n"
        )
        database.execute("insert into outbox_done select gen_random_uuid(), id, 1, 'sent', now() from outbox")
        database.commit()
        database.autocommit = True
        database.execute("analyze")
    await postgres_store.messages.deposit(message(uuid7()), b"x")
    assert len(await postgres_store.outbox.due(FAR, 1)) == 1
    with psycopg.connect(store_dsn) as database:
        row = database.execute("explain (format json) select * from outbox_due order by created limit 100")
        [[plan]] = row.fetchall()
    assert plan[0]["Plan"]["Total Cost"] < 2000


async def test_the_peers_pending_state_is_not_needed_to_tell_folders(store_dsn: str) -> None:
    """An event may arrive before its message, as after a lost slot: it waits for it."""
    async with PostgresStore.open(store_dsn) as store:
        early = message(uuid7())
        with psycopg.connect(store_dsn) as database:
            database.execute("insert into message_event values (%s, %s, 2, 5, 'read')", (uuid7(), early.id))
        await store.messages.deposit(early, b"x")
        assert [one.folder for one in await store.messages.listing(early.mailbox_id)] == [Folder.SAVED]
