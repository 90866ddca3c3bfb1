"""Two real nodes on one machine, made and run by the same commands that an administrator uses."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.postgres import PostgresStore
from voicemail import control
from voicemail.config import Config, load
from voicemail.errors import ClusterError, VoicemailError
from voicemail.secrets import app_conninfo


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the two nodes live. Node n uses the ports of `sip` + 20 (n-1) and the ranges above."""

    directory: Path
    address: str = "127.0.0.1"
    sip: int = 5060
    workers_at: int = 6000
    rtp: int = 20000
    workers: int = 4
    pilot: str = "5000"
    allowed_networks: tuple[str, ...] = ("127.0.0.0/8",)
    balancers: tuple[str, ...] = ()
    """Address and port of SIP balancers in front of both nodes."""
    mail_port: int = 0
    """Of the SMTP sink; 0 for no mail."""
    hears_tones: bool = True
    more: str = ""
    """Further lines of both configuration files: trunks and other sections."""

    def text(self, number: int) -> str:
        """The configuration of node 1 or 2."""
        step = number - 1
        sip = self.sip + 20 * step
        networks = ", ".join(f'"{network}"' for network in self.allowed_networks)
        balancers = ", ".join(f'"{place}"' for place in self.balancers)
        mail = f'[mail]\nhost = "127.0.0.1"\nport = {self.mail_port}\n' if self.mail_port else ""
        return (
            f'[node]\nname = "vm{number}"\naddress = "{self.address}"\n'
            f'directory = "{self.directory}/vm{number}"\n'
            f"[cluster]\nport = {sip + 5}\n"
            f'[sip]\nport = {sip}\npresence_port = {sip + 1}\npilot = "{self.pilot}"\n'
            f"workers = {self.workers}\nworker_port = {self.workers_at + 100 * step}\n"
            f"rtp_port = {self.rtp + 1200 * step}\nallowed_networks = [{networks}]\n"
            f"balancers = [{balancers}]\nhears_tones = {str(self.hears_tones).lower()}\n"
            f"requests_per_second_per_source = 1000\n"
            f"[metrics]\nport = {sip + 8}\n[store]\nport = {sip + 7}\n{mail}{self.more}"
        )


class LocalNode:
    """One of the two."""

    def __init__(self, plan: Plan, number: int) -> None:
        self.number, self.path = number, plan.directory / f"vm{number}.toml"
        self.log = plan.directory / f"vm{number}.log"
        self.path.write_text(plan.text(number))
        self.config: Config = load(self.path)
        self.config.directory.mkdir(parents=True, exist_ok=True)
        self.process: asyncio.subprocess.Process | None = None

    @property
    def edge(self) -> str:
        return f"{self.config.node.address}:{self.config.sip.port}"

    async def command(self, *words: str) -> str:
        """Run `voicemail words… --config …`; its output. Raises ClusterError with what it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "voicemail", *words, "--config", str(self.path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
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
        """In a session of its own, so that Ctrl-C reaches only us; its log goes to a file."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "voicemail", "node", "--config", str(self.path),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    async def stop(self) -> None:
        """Stop it in order; kill what is left after 40 s."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), 40)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> int:
        """kill -9 to every process of the node at once; how many there were."""
        assert self.process
        tree = [self.process.pid, *descendants(self.process.pid)]
        for pid in tree:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.process.wait()
        return len(tree)

    async def status(self) -> dict[str, Any]:
        """Its own row of `cluster status`, and "synchronous"; {} while it does not answer."""
        try:
            answer = await asyncio.to_thread(control.ask, self.config, "status")
        except VoicemailError:
            return {}
        row: dict[str, Any] = next(node for node in answer["nodes"] if node["here"])
        return row | {"synchronous": answer["synchronous"], "programs": answer["programs"]}

    @asynccontextmanager
    async def store(self) -> AsyncIterator[PostgresStore]:
        """The store of this node."""
        async with PostgresStore.open(app_conninfo(self.config), self.number) as store:
            yield store


class LocalCluster:
    """Both nodes. `tell` hears what is going on, a line at a time."""

    def __init__(self, plan: Plan, tell: Callable[[str], None] = lambda _: None) -> None:
        plan.directory.mkdir(parents=True, exist_ok=True)
        plan.directory.chmod(0o755)  # PostgreSQL's user must get through
        self.plan, self.tell = plan, tell
        self.nodes = (LocalNode(plan, 1), LocalNode(plan, 2))

    async def start(self) -> None:
        """From nothing to two nodes in service that hold every message twice."""
        first, second = self.nodes
        self.tell("making the cluster: authority, certificates, secrets, database of vm1")
        printed = await first.command("cluster", "init")
        await first.start()
        await self.until(first, lambda status: status.get("status") == "Primary" and status["database"])
        self.tell("vm1 is Primary; vm2 joins")
        secret = self.plan.directory / "join.secret"
        secret.touch(0o600)
        secret.write_text(printed.strip().splitlines()[-1])
        where = ["--publisher", self.plan.address, "--port", str(first.config.cluster.port)]
        await second.command("cluster", "join", *where, "--secret-file", str(secret))
        await second.start()
        await self.in_service()

    async def in_service(self, within: float = 30.0) -> None:
        """Until both nodes take calls and deposits wait for both disks."""
        for node in self.nodes:
            await self.until(
                node,
                lambda status: (
                    status.get("status") in ("Primary", "Secondary")
                    and status["synchronous"]
                    and all(status["programs"].values())
                    and status["workers"] == self.plan.workers
                ),
                within,
            )

    async def until(
        self, node: LocalNode, wanted: Callable[[dict[str, Any]], bool], within: float = 30.0
    ) -> dict[str, Any]:
        """The first status of `node` that is wanted. Raises ClusterError with the last one."""
        ends, status = time.monotonic() + within, {}
        while time.monotonic() < ends:
            if node.process and node.process.returncode is not None:
                raise ClusterError(f"vm{node.number} ended; see {node.log}")
            if (status := await node.status()) and wanted(status):
                return status
            await asyncio.sleep(0.05)
        raise ClusterError(f"vm{node.number} did not get there in {within:g} s: {status}; see {node.log}")

    async def stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes))


def descendants(pid: int) -> Iterable[int]:
    """All processes below `pid`, from /proc; found at once, so that none can start another."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, ahead = [], [pid]
    while ahead:
        ahead += (below := children.get(ahead.pop(), []))
        found += below
    return found
