"""Two real nodes, each on a host of its own: made and run by the same commands that an administrator uses."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import make_conninfo

from store.replica import Digest, Replica
from tests.chaos import net
from tests.chaos.wallclock import WallClock
from voicemail import programs
from voicemail.errors import ClusterError
from voicemail.secrets import NodeFiles, socket_folder
from voicemail.tour.local import LocalCluster, LocalNode, Plan

DISK = 700
"""Megabytes of each node's disk, which is in memory."""


@dataclass(frozen=True, slots=True)
class NetPlan(Plan):
    """Both nodes have the same ports, on addresses of their own."""

    clocks: dict[int, WallClock] = field(default_factory=dict)
    """Of each node; empty for the machine's own."""

    def bindir(self, number: int) -> str:
        return str(self.clocks[number].postgres()) if self.clocks else ""

    def text(self, number: int) -> str:
        return (
            f'[node]\nname = "vm{number}"\naddress = "{net.address(number)}"\n'
            f'directory = "{self.directory}/vm{number}"\n'
            f'[sip]\nworkers = {self.workers}\nallowed_networks = ["{net.CALLERS}/32"]\n'
            "requests_per_second_per_source = 1000\n"
            f'[store]\nbindir = "{self.bindir(number)}"\n'
            f'[mail]\nhost = "{net.CALLERS}"\nport = {self.mail_port}\ntimeout = 5.0\n{self.more}'
        )


class NetNode(LocalNode):
    def __init__(self, plan: NetPlan, number: int, network: net.Network) -> None:
        disk = plan.directory / f"vm{number}"
        disk.mkdir(parents=True)
        net.run("mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=755", "tmpfs", str(disk))
        super().__init__(plan, number)
        self.network, self.clock = network, plan.clocks.get(number)

    @property
    def where(self) -> tuple[str, int]:
        return net.address(self.number), self.config.sip.port

    async def command(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self._voicemail(*words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            out, errors = await process.communicate()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise ClusterError(f"voicemail {' '.join(words)}: {errors.decode().strip()}")
        return out.decode()

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._voicemail("node"),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _voicemail(self, *words: str) -> list[str]:
        command = [sys.executable, "-m", "voicemail", *words, "--config", str(self.path)]
        clock = self.clock.before() if self.clock else []
        return [*self.network.on(self.number), *clock, *command]

    async def digests(self) -> dict[str, Digest]:
        """What this node's store holds, table by table; asked by its Unix socket, which cuts do not touch."""
        server = programs.database(self.config, NodeFiles(self.config))
        local = make_conninfo(server.conninfo("postgres"), host=str(socket_folder(self.config)))
        async with Replica.open(local, self.number, 3 - self.number) as replica:
            return await replica.digests()


class NetCluster(LocalCluster):
    nodes: tuple[NetNode, NetNode]  # type: ignore[assignment]

    def __init__(self, plan: NetPlan, network: net.Network, tell: Callable[[str], None]) -> None:
        plan.directory.mkdir(parents=True, exist_ok=True)
        plan.directory.chmod(0o755)
        self.plan, self.tell, self.network = plan, tell, network
        self.nodes = (NetNode(plan, 1, network), NetNode(plan, 2, network))

    def unmount(self) -> None:
        for node in self.nodes:
            with suppress(OSError):
                net.run("umount", "--lazy", str(node.config.directory))


def make(
    folder: Path,
    network: net.Network,
    workers: int,
    lamp_port: int,
    mail_port: int,
    tell: Callable[[str], None],
    clocks: bool = False,
) -> NetCluster:
    """`clocks`: each node has a wall clock of its own, which can be set."""
    trunk = (
        f'[[trunk]]\nname = "pbx"\naddresses = ["{net.CALLERS}"]\n'
        f'lamp_uri = "sip:{{extension}}@{net.CALLERS}:{lamp_port}"\n'
    )
    own = {number: WallClock(folder / f"clock-{number}") for number in (1, 2)} if clocks else {}
    plan = NetPlan(folder, net.address(1), workers=workers, mail_port=mail_port, more=trunk, clocks=own)
    return NetCluster(plan, network, tell)
