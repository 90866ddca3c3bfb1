"""The accounts of users' own phones: from the store to this node's edge, which asks no database.

The edge's file is on disk, so an edge that starts while the database is away knows its phones. A change
made on either node comes by replication, and reaches this edge within some two seconds.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from sip import accounts
from sip.digest import REALM
from sip.edge_control import EdgeControl
from sip.errors import SipError
from store.api import Store
from store.model import Setting, User

log = structlog.get_logger()

KIND = "sip_account"
"""A setting of its user, named by the extension: {"ha1": …, "realm": …} (sip.digest)."""
PAUSE, AGAIN = 2.0, 5.0
"""Seconds between two looks at the store, and until the next try."""


def accounts_of(settings: Iterable[Setting], users: Iterable[User]) -> dict[str, str]:
    """Extensions and what the edge checks their phones' passwords by. A password made for another extension
    than its user has now, or for another realm, opens nothing."""
    extensions = {user.id: user.extension for user in users}
    found: dict[str, str] = {}
    for setting in settings:
        if setting.owner and extensions.get(setting.owner) == setting.name and (ha1 := _ha1(setting.body)):
            found.setdefault(setting.name, ha1)
    return found


def _ha1(body: str) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    fits = isinstance(said, Mapping) and said.get("realm", REALM) == REALM
    return str(said.get("ha1", "")) if fits else ""


class Phones:
    """Keeps the edge's table equal to the store."""

    def __init__(self, store: Store, run_directory: Path, control: EdgeControl) -> None:
        self.store, self.run_directory, self.control = store, run_directory, control
        self._changed = asyncio.Event()
        self._untold = True
        """Whether the edge may not have read what is in the file."""

    async def run(self) -> None:
        """For as long as the node runs."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                self._changed.clear()
                done = await self._refreshed()
                await asyncio.sleep(PAUSE)
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if done else AGAIN):
                        await self._changed.wait()
        finally:
            listening.cancel()

    async def _listen(self) -> None:
        async for table in self.store.changes():
            if table in ("", "setting", "user_account"):
                self._changed.set()

    async def _refreshed(self) -> bool:
        """Whether the edge has what the store has."""
        try:
            await self.refresh()
        except Exception as error:  # whatever it is, the edge goes on with what it knows
            log.warning("The edge is not told of phones' accounts; tried again.", why=type(error).__name__)
            return False
        return not self._untold

    async def refresh(self) -> None:
        """Read the store, write the file and tell the edge. Raises StoreError, OSError."""
        settings = await self.store.settings.owned(KIND)
        known = accounts_of(settings, await self.store.users.all()) if settings else {}
        if await asyncio.to_thread(accounts.write, self.run_directory, known):
            log.info("Phones' accounts have changed.", accounts=len(known))
            self._untold = True
        if self._untold:
            try:
                await self.control.reload_accounts()
                self._untold = False
            except SipError as error:
                log.debug("the edge reads the accounts when it starts", why=str(error))
