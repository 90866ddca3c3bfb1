"""The receiver of mails as a program of its own, and how much memory it takes."""

import asyncio
import smtplib
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from store.features import SCHEMA
from store.postgres import PostgresStore
from tests.fakes.edge import free_port, until
from tests.fakes.post import ANNA, BEN
from voicemail.config import load
from voicemail.secrets import Membership, NodeFiles, member_of

MEGABYTE = 2**20
CONFIG = """
[node]
name = "vm1"
address = "127.0.0.1"
directory = "{folder}"
[store]
dsn = "{dsn}"
[recording]
least_free_megabytes = 1
[smtp]
port = {port}
domains = ["vm.example.com"]
allowed_networks = ["127.0.0.0/8"]
"""


@dataclass
class Program:
    """`python -m voicemail.access.smtp`."""

    config: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        command = [sys.executable, "-m", "voicemail.access.smtp", str(self.config)]
        with self.config.with_suffix(".log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        try:
            await until(self._listens, 10)

            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def send(self, mails: Iterable[bytes], to: list[str]) -> None:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            for mail in mails:
                client.sendmail("2722@pbx.example.net", to, mail)

    @property
    def spool(self) -> Path:
        return self.config.parent / "spool" / "mail"

    def waiting(self) -> int:
        return len(list(self.spool.glob("*.json")))

    async def settled(self) -> bool:
        return self.waiting() == 0


def memory(leader: int) -> int:
    """Bytes that the processes of a session have to themselves or share, each page counted once a process."""
    total = 0
    for place in Path("/proc").iterdir():
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                rollup = (place / "smaps_rollup").read_text()
                total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        except (OSError, ValueError, IndexError):
            continue
    return total * 1024


async def prepared(folder: Path, store: PostgresStore, dsn: str) -> Program:
    """For a store that is empty; Anna and Ben have mailboxes."""
    await store.agree(SCHEMA)
    for user in (ANNA, BEN):
        await store.users.add(user)
    path, port = folder / "node.toml", free_port()
    path.write_text(CONFIG.format(folder=folder, dsn=dsn, port=port))
    config = load(path)
    NodeFiles(config).write_membership(Membership(1, (member_of(config, 1),)))
    return Program(path, port)


async def peak(leader: int, every: float = 0.02) -> int:
    """The most that was seen until it is cancelled."""
    most = 0
    try:
        while True:
            most = max(most, await asyncio.to_thread(memory, leader))
            await asyncio.sleep(every)
    except asyncio.CancelledError:
        return most
