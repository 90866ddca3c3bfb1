"""What a worker pays for policies in a house as large as docs/administration.md lets it be:

    python -m tests.bench.policies [--handlers 40000] [--lists 100000] [--numbers 40000]

Fills a PostgreSQL of its own with handlers, lists and users' further numbers, and reads as calls do: once
every two seconds what may have changed, then handlers by name and by number that were not asked for before.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from store.features import SCHEMA
from store.model import Setting
from store.postgres import PostgresStore
from tests.fakes.postgres import copied_database, running_server, with_template
from voicemail.policy.book import FRESH, Policies
from voicemail.policy.house import ALTERNATE
from voicemail.policy.model import Action, CallHandler, Go, Members, RoutingRule

TIMES = 50
KEYS = {"1": Action(go=Go.USER, target="1001"), "2": Action(go=Go.DIRECTORY)}


@dataclass
class Clock:
    time: datetime = datetime(2026, 3, 4, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


def rows(handlers: int, lists: int, numbers: int) -> Iterator[tuple[str, str, str]]:
    """Kind, name and body of each."""
    for n in range(handlers):
        yield (
            CallHandler.KIND,
            f"h{n}",
            CallHandler(extension=str(7_000_000 + n), keys=KEYS).model_dump_json(),
        )
    for n in range(lists):
        members = tuple(str(1000 + each) for each in range(15))
        yield Members.KIND, f"l{n}", Members(extension=str(8_000_000 + n), members=members).model_dump_json()
    for n in range(numbers):
        yield ALTERNATE, f"+49{n:08}", f'{{"user": "{UUID(int=n)}"}}'


def filled(dsn: str, wanted: Iterator[tuple[str, str, str]]) -> None:
    into = "copy setting (id, kind, name, body, hlc, node) from stdin"
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor, cursor.copy(into) as copy:
        for kind, name, body in wanted:
            copy.write_row((Setting(kind, name, "").id, kind, name, body, 1, 1))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("analyze setting")


async def timed(what: str, act: Callable[[int], Awaitable[object]]) -> None:
    took, cpu = [], time.process_time()
    for number in range(TIMES):
        began = time.perf_counter()
        assert await act(number) is not None
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    each = 1000 * (time.process_time() - cpu) / TIMES
    print(
        f"{what:<32} p50 {took[TIMES // 2]:6.1f} ms, most {took[-1]:6.1f} ms; {each:.1f} ms of CPU",
        flush=True,
    )


async def main(handlers: int, lists: int, numbers: int) -> None:
    with running_server() as server:
        with_template(server)
        with copied_database(server) as dsn:
            async with PostgresStore.open(dsn) as store:
                await store.agree(SCHEMA)
                filled(dsn, rows(handlers, lists, numbers))
                clock = Clock()
                policies = Policies(store, clock.now)

                async def afresh(_: int) -> object:
                    clock.time += FRESH + timedelta(seconds=1)
                    return await policies.all(RoutingRule)

                async def named(number: int) -> object:
                    return await policies.get(CallHandler, f"h{handlers - 1 - number}")

                async def numbered(number: int) -> object:
                    found = await policies.numbered(CallHandler, str(7_000_000 + handlers - 1 - number))
                    return found or None

                print(f"{handlers} handlers, {lists} lists, {numbers} further numbers")
                await timed("every two seconds", afresh)
                await timed("a handler by name", named)
                await timed("a handler by number", numbered)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--handlers", type=int, default=40_000)
    parser.add_argument("--lists", type=int, default=100_000)
    parser.add_argument("--numbers", type=int, default=40_000)
    given = parser.parse_args()
    asyncio.run(main(given.handlers, given.lists, given.numbers))
