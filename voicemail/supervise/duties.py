"""Questions to the process of the Primary's work, from the command line of either server.

They go to whichever server is Primary: to this node's process by its socket, or to the other node, which asks
its own. Besides, a node whose edge or presence server was started again has its phones' lamps sent again.
"""

import asyncio
import time
from typing import Any

import structlog

from voicemail import control
from voicemail.cluster.manager import Manager
from voicemail.cluster.roles import Status
from voicemail.config import Config
from voicemail.errors import ClusterError, VoicemailError
from voicemail.primary.addresses import socket_of
from voicemail.supervise.commands import Asked, Commands
from voicemail.supervise.link import Link

log = structlog.get_logger()

QUESTIONS = ("mwi-resync", "mwi-status", "outbox-list", "outbox-retry", "outbox-drop")
PATIENCE = 8.0
"""Seconds for the process's answer: less than the other node waits for ours."""
SETTLED = 2.0
"""Seconds after the last start until the edge's lamps are sent again; what is not ready by then is tried
again."""
MERGING = (Status.SPLIT_BRAIN_RECOVERY,)
"""Statuses besides Primary in which a server may do the Primary's work."""


class Duties:
    """Of one node."""

    def __init__(self, config: Config, manager: Manager, link: Link) -> None:
        self._config, self._manager, self._link = config, manager, link
        self._restoring: asyncio.Task[None] | None = None

    def register(self, commands: Commands) -> None:
        for name in QUESTIONS:
            commands.add(name, self.pass_on, addressed=True)

    async def pass_on(self, asked: Asked) -> dict[str, Any]:
        """To whoever is Primary. Raises ClusterError when nobody is, VoicemailError with its words."""
        me = self._link.membership.me.name
        if self._manager.duty(time.monotonic()):
            path = socket_of(self._config)
            return await control.ask_at(path, f"the Primary's process of {me}", asked, PATIENCE)
        said = self._link.peer()
        if asked.get("passed") or said is None or said.status not in (Status.PRIMARY, *MERGING):
            raise ClusterError(f"{me} is {self._manager.status}, and no other server is known to be Primary")
        return await self._link.ask({**asked, "passed": True})

    def edge_started(self) -> None:
        """What tells phones was started again: nobody knows what it missed. Of several parts that start one
        after the other the last one counts: lamps that are sent before would only find nobody there."""
        if self._restoring:
            self._restoring.cancel()
        self._restoring = asyncio.create_task(self._restore())

    async def _restore(self) -> None:
        await asyncio.sleep(SETTLED)
        edge = f"edge {self._link.membership.me.edge}"
        try:
            await self.pass_on({"command": "mwi-resync", "what": edge})
        except VoicemailError as error:  # whoever becomes Primary sends all lamps
            log.info("No Primary to send this edge's lamps again.", why=str(error))

    async def stop(self) -> None:
        if self._restoring:
            self._restoring.cancel()
            await asyncio.gather(self._restoring, return_exceptions=True)
