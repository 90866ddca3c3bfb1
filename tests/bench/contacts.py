"""How long a caller waits for a contact on another system, among very many.

    .venv/bin/python tests/bench/contacts.py --contacts 150000

A real PostgreSQL. It prints figures and judges none.
"""

import argparse
import asyncio
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))

from store.features import SCHEMA
from store.model import Setting
from store.postgres import PostgresStore
from tests.fakes.postgres import copied_database, running_server, with_template
from voicemail.cli.paged import rows_of, show_pages
from voicemail.conversation.elsewhere import MOST_FOUND
from voicemail.names import spelled
from voicemail.policy.book import parsed
from voicemail.policy.house import look
from voicemail.policy.locations import Contact
from voicemail.policy.text import keys

FIRST = ("Anna", "Ben", "Carla", "Jörg", "Eva", "Friedrich", "Gül", "Håkan", "Inés", "Zoë")
SYLLABLES = (
    "ba",
    "ker",
    "mül",
    "ler",
    "son",
    "ste",
    "in",
    "mann",
    "ro",
    "vi",
    "ta",
    "schu",
    "li",
    "ng",
    "ei",
)
TIMES = 200


def people(count: int) -> list[tuple[str, Contact]]:
    """Address and contact, the same each time."""
    chance = random.Random(1)
    found = []
    for number in range(count):
        last = "".join(chance.choices(SYLLABLES, k=chance.choice((2, 3, 4)))).title()
        name = f"{chance.choice(FIRST)} {last}"
        contact = Contact(location="far", display_name=name, extension=str(4_000_000 + number))
        found.append((f"{number}@vm2.example", contact))
    return found


def filled(dsn: str, many: list[tuple[str, Contact]]) -> None:
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        columns = "setting (id, kind, name, body, hlc, node)"
        with cursor.copy(f"copy {columns} from stdin") as copy:  # type: ignore[arg-type]
            for name, contact in many:
                copy.write_row(
                    (Setting(Contact.KIND, name, "").id, Contact.KIND, name, contact.model_dump_json(), 1, 1)
                )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("analyze setting")


async def timed(what: str, act: Callable[[int], Awaitable[object]], times: int = TIMES) -> None:
    took = []
    for number in range(times):
        began = time.perf_counter()
        await act(number)
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    print(f"{what:<44} p50 {took[len(took) // 2]:8.1f} ms, most {took[-1]:8.1f} ms", flush=True)


async def main(count: int) -> None:
    many = people(count)
    with running_server() as server:
        with_template(server)
        with copied_database(server) as dsn:
            async with PostgresStore.open(dsn) as store:
                await store.agree(SCHEMA)
                filled(dsn, many)
                settings = store.settings

                async def named(number: int, letters: int) -> None:
                    last = many[number * 97 % count][1].display_name.split()[1]
                    found = await settings.spelled(Contact.KIND, spelled(last)[:letters], MOST_FOUND)
                    assert found and all(parsed(Contact, each) for each in found)

                async def numbered(number: int) -> None:
                    wanted = number * 97 % count
                    [found] = await settings.numbered(Contact.KIND, str(4_000_000 + wanted))
                    assert found.name == many[wanted][0]

                async def put(number: int) -> None:
                    name, contact = many[number]
                    await settings.put(Setting(Contact.KIND, name, contact.model_dump_json()))

                async def old(_: int) -> None:
                    assert len([parsed(Contact, each) for each in await settings.all(Contact.KIND)]) == count

                print(f"{count} contacts; {datetime.now(UTC):%Y-%m-%d}")
                for letters in (1, 2, 3, 5):
                    await timed(f"by name, {letters} keys", lambda n, k=letters: named(n, k))  # type: ignore[misc]
                await timed("by number", numbered)
                await timed("how many", lambda _: settings.count(Contact.KIND), 20)
                await timed("one changed", put)
                await timed("first page of the list", lambda _: settings.page(Contact.KIND), 20)
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                with redirect_stdout(StringIO()):
                    pages = rows_of(store, Contact, keys(Contact), "", 0)
                    began = time.perf_counter()
                    await show_pages(pages, False)
                    took = time.perf_counter() - began
                more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
                print(f"the whole list: {took:.1f} s, {more:.0f} MB more (its text among them)")
                await timed("all of them at once, as it was", old, 3)
                await timed("what `location set` looks at", lambda _: look(store), 3)
                await timed("what `contact set` looks at", lambda _: look(store, contacts=False), 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--contacts", type=int, default=150_000)
    asyncio.run(main(parser.parse_args().contacts))
