"""Roles and tables of this node's database, made each time it was started."""

import asyncio

import structlog

from store.errors import StoreError
from store.server import PostgresServer
from voicemail import programs
from voicemail.config import Config

log = structlog.get_logger()

AGAIN = 1.0
"""Seconds until the next try."""


class Database:
    """`ready` once it has all that calls need; `prepare` is run after every start of the server."""

    def __init__(self, config: Config, server: PostgresServer | None) -> None:
        self.config, self.server = config, server
        self.ready = False
        self.schema = 1
        """The version of its schema; the oldest there is until it is known."""

    async def prepare(self) -> None:
        """Until it is done. What is no StoreError is told by its name only: its text may hold the
        connection string."""
        self.ready, told = False, ""
        while not self.ready:
            try:
                self.schema = await asyncio.to_thread(programs.prepare_database, self.config, self.server)
                self.ready = True
            except Exception as error:  # whatever it is, tomorrow it may work
                why = str(error) if isinstance(error, StoreError) else type(error).__name__
                if why != told:
                    log.error("The database cannot be prepared; tried again.", why=why)
                told = why
                await asyncio.sleep(AGAIN)
