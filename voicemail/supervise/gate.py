"""Whether this node's edge takes calls: kept equal to what status and operator want, whatever the edge does.

Apart from the beat of the node: an edge that hangs is waited for, and the beat must not look frozen.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from sip import edge, edge_tables
from sip.edge_control import EdgeControl
from sip.errors import SipError
from voicemail import programs
from voicemail.config import Config
from voicemail.secrets import Member, NodeFiles

log = structlog.get_logger()

AGAIN = 0.1
"""Seconds until an edge that did not answer is told again."""
LOOK = 1.0


class Gate:
    """Tells the edge. `wanted` says whether calls are to be taken now, `peer` who the other node is."""

    def __init__(
        self,
        config: Config,
        files: NodeFiles,
        peer: Callable[[], Member | None],
        wanted: Callable[[], bool],
        running: Callable[[], bool],
    ) -> None:
        self.config, self.files, self.peer, self.wanted, self.running = config, files, peer, wanted, running
        self.control = EdgeControl(config.run_directory)
        self.told: bool | None = None
        """What the edge was told last; None: nothing since it was started."""
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """What is wanted has changed."""
        self._wake.set()

    def prepare(self) -> None:
        """The edge's files, before it is started. Blocks. Raises SipError, OSError."""
        self.write()
        edge_tables.prepare(self.config.run_directory)

    def write(self) -> None:
        """Its settings; it may be running. Blocks. Raises SipError."""
        settings = programs.edge_settings(self.config, self.files, self.peer(), self.wanted())
        edge.write(settings, self.config.run_directory)

    def started(self) -> None:
        """The edge was started: it is told anew."""
        self.told = None
        self.wake()

    async def reload(self) -> None:
        """The other members are others now."""
        with suppress(SipError):
            await asyncio.to_thread(self.write)
            await self.control.reload()

    async def close(self) -> None:
        """No more calls: the node stops."""
        with suppress(SipError):
            await self.control.set_serving(False)

    async def run(self) -> None:
        while True:
            self._wake.clear()
            done = await self._tell()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK if done else AGAIN):
                    await self._wake.wait()

    async def _tell(self) -> bool:
        wanted = self.wanted()
        if wanted is self.told:
            return True
        if not self.running():
            return False
        with suppress(SipError):
            await self.control.set_serving(wanted)
            self.told = wanted
        return self.told is wanted
