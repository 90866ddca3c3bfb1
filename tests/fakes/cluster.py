"""Nodes without calls or database: their private files, and both ends of the cluster port on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.fakes.postgres import free_port
from voicemail.cluster.join import Admission, initialise, join
from voicemail.cluster.keepalive import KeepAlive, Listener, speak
from voicemail.cluster.roles import Status
from voicemail.config import Config, parse
from voicemail.secrets import Membership, NodeFiles

LOOPBACK = "127.0.0.1"


def node_config(folder: Path, name: str) -> Config:
    """Of a node in `folder`/`name`, with a cluster port of its own."""
    folder = folder / name
    return parse(
        f'[node]\nname = "{name}"\naddress = "{LOOPBACK}"\ndirectory = "{folder}"\n'
        f"[cluster]\nport = {free_port()}\n"
    )


async def until(holds: Callable[[], Any], within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110  the other side runs on sockets
            await asyncio.sleep(0.01)


class End:
    """One node's end of the link: what it hears, how often it lost its peer, who joined."""

    def __init__(self, config: Config) -> None:
        self.config, self.files = config, NodeFiles(config)
        self.number = self.files.membership().number
        self.said: list[KeepAlive] = []
        self.lost = 0
        self.joined: list[Membership] = []
        self.takes = True
        self.status = Status.PRIMARY
        self.asked: list[dict[str, Any]] = []
        self.answers: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]] = self._echo
        self.listener = Listener(
            self.files,
            self.number,
            self._heard,
            self._lost,
            Admission(self.files, self.joined.append),
            self._answer,
        )
        self.speaking: asyncio.Task[None] | None = None

    async def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        return await self.answers(asked)

    async def _echo(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"asked": asked}

    def _heard(self, said: KeepAlive, _: float) -> bool:
        self.said.append(said)
        return self.takes

    def _lost(self) -> None:
        self.lost += 1

    async def listen(self) -> None:
        await self.listener.start(LOOPBACK, self.config.cluster.port)

    def speak(self) -> None:
        peer = self.files.membership().peer
        assert peer
        said = KeepAlive(self.number, self.status, 1)
        self.speaking = asyncio.create_task(speak(self.files, peer, lambda: said))

    async def hush(self) -> None:
        """As when its process dies: its connection closes."""
        if self.speaking:
            self.speaking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.speaking

    async def close(self) -> None:
        await self.hush()
        await self.listener.stop()


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[End]:
    """A member that listens."""
    end = End(config)
    await end.listen()
    try:
        yield end
    finally:
        await end.close()


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[End, End]]:
    """A publisher and the node that joined it; both listen, neither speaks."""
    first, second = node_config(folder, "vm1"), node_config(folder, "vm2")
    secret = initialise(first)
    async with opened(first) as one:
        await join(second, LOOPBACK, first.cluster.port, secret)
        async with opened(second) as two:
            yield one, two
