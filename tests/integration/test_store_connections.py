"""What a burst of calls needs of the database stays open for a while, and is closed after it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from psycopg import AsyncConnection

from store.connections import Connections, Row
from store.errors import Unavailable

MOST = 4


async def nothing(_: AsyncConnection[Row]) -> None:
    pass


@pytest.fixture
async def connections(store_dsn: str) -> AsyncIterator[Connections]:
    opened = Connections(store_dsn, nothing, most=MOST, keep=1, linger=0.2, connect=5.0)
    yield opened
    await opened.close()


async def burst(connections: Connections) -> set[int]:
    """As many statements at once as there can be; the server processes that did them."""
    done = await asyncio.gather(
        *(connections.query("select pg_backend_pid(), pg_sleep(0.05)") for _ in range(MOST))
    )
    return {rows[0][0] for rows in done}


async def alive(connections: Connections, pids: set[int]) -> int:
    [[count]] = await connections.query(
        "select count(*) from pg_stat_activity where pid = any(%s)", (list(pids),)
    )
    return int(count)


async def left(connections: Connections, pids: set[int], most: int) -> None:
    """Returns once no more than so many of them are there."""
    async with asyncio.timeout(5):
        while await alive(connections, pids) > most:  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.05)


async def test_the_next_statements_of_a_burst_make_no_new_connections(connections: Connections) -> None:
    first = await burst(connections)
    assert len(first) == MOST and await burst(connections) == first


async def test_when_it_is_over_only_what_is_always_kept_stays(connections: Connections) -> None:
    pids = await burst(connections)
    await left(connections, pids, 1)


async def test_nothing_stays_when_all_is_closed(connections: Connections, store_dsn: str) -> None:
    pids = await burst(connections)
    await connections.close()
    other = Connections(store_dsn, nothing, most=1, connect=5.0)
    await left(other, pids, 0)
    await other.close()


async def test_more_at_once_than_there_may_be_is_told_in_time(store_dsn: str) -> None:
    busy = Connections(store_dsn, nothing, most=1, connect=0.3)
    holder = asyncio.create_task(busy.query("select pg_sleep(1)"))
    await asyncio.sleep(0.1)
    with pytest.raises(Unavailable, match="busy"):
        await busy.query("select 1")
    await holder
    await busy.close()


async def test_each_connection_plans_once_where_that_is_wanted(store_dsn: str) -> None:
    opened = Connections(store_dsn, nothing, most=MOST, plan_once=True, connect=5.0)
    asked = (opened.query("select current_setting('plan_cache_mode'), pg_sleep(0.05)") for _ in range(MOST))
    modes = [rows[0][0] for rows in await asyncio.gather(*asked)]
    await opened.close()
    assert modes == ["force_generic_plan"] * MOST


async def test_a_statement_is_prepared_at_its_first_time_where_that_is_wanted(
    connections: Connections,
) -> None:
    await connections.query("select %s::int + 1", (1,), prepare=True)
    [[prepared]] = await connections.query("select count(*) from pg_prepared_statements")
    assert prepared == 1
