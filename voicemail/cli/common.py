"""What all commands share: where the configuration is, the store, and how results are shown."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from store.api import Store
from store.model import User
from store.postgres import PostgresStore
from voicemail.config import Config, load
from voicemail.errors import VoicemailError
from voicemail.secrets import NodeFiles, app_conninfo

T = TypeVar("T")

ConfigPath = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="VOICEMAIL_CONFIG", help="The node's TOML file.", show_default=True
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_CONFIG = Path("/etc/voicemail/node.toml")


def say(text: str) -> None:
    """To stdout, as a person reads it."""
    sys.stdout.write(text + "\n")


def show(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """A table with the keys of the first row as its head, or the rows as JSON."""
    if as_json:
        say(json.dumps(rows, indent=1, default=str))
    elif rows:
        head = list(rows[0])
        cells = [head, *([cell(row.get(key)) for key in head] for row in rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
        for line in cells:
            say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def cell(value: Any) -> str:
    """A value in a table."""
    if value is None:
        return "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def with_store(path: Path, work: Callable[[Config, Store], Awaitable[T]]) -> T:
    """Do `work` on the store of the node whose configuration is at `path`."""
    config = load(path)

    async def run() -> T:
        async with opened(config) as store:
            return await work(config, store)

    return asyncio.run(run())


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    """The store of this node."""
    number = NodeFiles(config).membership().number
    replicated = not config.store.dsn
    async with PostgresStore.open(app_conninfo(config), number, replicated=replicated) as store:
        yield store


async def user_of(store: Store, extension: str) -> User:
    """The user with this extension. Raises VoicemailError."""
    if user := await store.users.by_extension(extension):
        return user
    raise VoicemailError(f"no user has extension {extension}")
