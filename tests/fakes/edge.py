"""A real edge (Kamailio) of the tests' own on free ports of loopback."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from socket import SOCK_DGRAM, SOCK_STREAM, socket
from typing import Self

from sip import edge_tables
from sip.edge import Address, EdgeSettings, Listen, Trunk, argv, presence_argv, write
from sip.edge_control import EdgeControl
from sip.errors import EdgeFailed
from tests.fakes.sip import Party, TcpPhone, Worker

PHONE, TRUNK, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.66"
"""Whom the edges of `settings` know: phones and members, a PBX named pbx, and nobody."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now for UDP and TCP."""
    while True:
        with socket(type=SOCK_DGRAM) as udp, socket(type=SOCK_STREAM) as tcp:
            udp.bind((host, 0))
            port: int = udp.getsockname()[1]
            with suppress(OSError):
                tcp.bind((host, port))
                return port


def settings(workers: list[tuple[str, int]], **changes: object) -> EdgeSettings:
    """An edge that serves phones on 127.0.0.1 and the trunk pbx on 127.0.0.2."""
    chosen: dict[str, object] = {
        "listen": (Listen(Address("127.0.0.1", free_port())),),
        "workers": tuple(Address(*worker) for worker in workers),
        "presence": Address("127.0.0.1", free_port()),
        "trunks": (Trunk("pbx", (TRUNK,)),),
        "allowed_networks": (PHONE,),
        "serving": True,
    }
    return EdgeSettings(**(chosen | changes))  # type: ignore[arg-type]


class RunningEdge:
    """An edge and, with a database, its presence server, each in a process group of its own."""

    def __init__(self, settings: EdgeSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.control = EdgeControl(folder)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def where(self) -> tuple[str, int]:
        return tuple(self.settings.listen[0].address)  # type: ignore[return-value]

    @property
    def uri(self) -> str:
        return f"{self.where[0]}:{self.where[1]}"

    @property
    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def start(self, name: str) -> None:
        """Start "edge" or "presence"."""
        if name == "edge":
            edge_tables.prepare(self.folder)
        command = argv(self.folder) if name == "edge" else presence_argv(self.folder)
        with open(self.folder / f"{name}.log", "ab") as out:
            self.processes[name] = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)

    def stop(self, name: str, how: int = signal.SIGKILL) -> None:
        """End all processes of "edge" or "presence"."""
        process = self.processes.pop(name, None)
        if process:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            process.wait(10)

    async def ready(self, seconds: float = 10.0) -> None:
        """Wait until the edge answers. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(EdgeFailed):
                    await self.control.serving()
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running_edge(settings: EdgeSettings) -> AsyncIterator[RunningEdge]:
    """Start an edge and wait for it; kill it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="vmedge", dir="/tmp"))
    edge = RunningEdge(settings, folder)
    try:
        write(settings, folder)
        edge.start("edge")
        if settings.database:
            edge.start("presence")
        await edge.ready()
        yield edge
    finally:
        for name in list(edge.processes):
            edge.stop(name)
        shutil.rmtree(folder, ignore_errors=True)


class Scene:
    """Opens parties and edges, and closes them all at the end."""

    def __init__(self) -> None:
        self.stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stack.aclose()

    async def party(self, host: str = PHONE, kind: type[Party] = Party, **changes: object) -> Party:
        return await self.stack.enter_async_context(await kind.open(host, **changes))

    async def tcp_phone(self, edge: RunningEdge, host: str = PHONE) -> TcpPhone:
        return await self.stack.enter_async_context(await TcpPhone.connect(edge.where, host))

    async def workers(self, count: int, **changes: object) -> list[Worker]:
        return [await self.party(kind=Worker, **changes) for _ in range(count)]  # type: ignore[misc]

    async def edge(self, workers: list[Worker], **changes: object) -> RunningEdge:
        chosen = settings([worker.address for worker in workers], **changes)
        return await self.stack.enter_async_context(running_edge(chosen))

    async def pair(self, own: list[Worker], others: list[Worker]) -> tuple[RunningEdge, RunningEdge]:
        """Two edges that are each other's peer and know it."""
        places = [Listen(Address("127.0.0.1", free_port())) for _ in range(2)]
        one = await self.edge(own, listen=(places[0],), peer=places[1].address)
        two = await self.edge(others, listen=(places[1],), peer=places[0].address)
        for edge in (one, two):
            await until(lambda edge=edge: peer_answers(edge), 8.0)
        return one, two


async def peer_answers(edge: RunningEdge) -> bool:
    return any(destination.peer and destination.active for destination in await edge.control.destinations())


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - what we wait for is in another process
            await asyncio.sleep(0.03)
