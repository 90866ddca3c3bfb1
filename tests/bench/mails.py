"""Notification mails a second, from deposit to the smart host, by how many are handed over at once.

    python -m tests.bench.mails [--mails 200] [--seconds 20] [--at-once 1 5] [--pair] [--round-trip 30]

A real PostgreSQL (fsync on), the Primary's runner and postman in this process, the sink as a process of its
own. Each mail has a recording of so many seconds attached. With one at once a takeover repeats one mail at
most; the figure says what that costs. `--pair`: two of them that replicate, so that the end of each mail
waits for the other's disk. `--round-trip`: milliseconds to the host and back.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from sip.wav import file_ulaw
from store.ids import uuid7
from store.model import NewMessage, User, Work
from store.postgres import PostgresStore
from tests.fakes.pair import open_pair, running_servers
from tests.fakes.postgres import copied_database, running_server, with_template
from voicemail.config import Mail
from voicemail.primary import postman
from voicemail.primary.agenda import Agenda
from voicemail.primary.clock import SystemClock
from voicemail.primary.lamps import Senders
from voicemail.primary.lease import Lease
from voicemail.primary.notifier import Notifier
from voicemail.primary.postman import Postman, SmartHost
from voicemail.primary.runner import Runner

SERVER = {"fsync": "on", "shared_buffers": "64MB", "max_wal_size": "1GB"}
ANNA = User(UUID(int=1), "1001", name="Anna", mail="anna@example.com")


async def measured(store: PostgresStore, port: int, mails: int, seconds: float) -> float:
    """Mails a second."""
    clock, settings = SystemClock(), Mail(host="127.0.0.1", port=port, sender="vm@example.com")
    await store.users.add(ANNA)
    for _ in range(mails):
        note = NewMessage(uuid7(), ANNA.id, "1007", "Eve", datetime.now(UTC), seconds)
        await store.messages.deposit(note, file_ulaw(bytes(int(8000 * seconds))))
    lamps = Notifier(store, None, (), Senders("", ""), clock)  # type: ignore[arg-type]  # no destination
    post = Postman(store, settings, SmartHost(settings, "bench"), UTC)
    runner = Runner(store, {Work.LAMP: lamps, Work.MAIL: post}, Agenda(lambda: 0.0), clock, Lease())
    running = asyncio.create_task(runner.run())
    begun = time.monotonic()
    while await store.outbox.pending():
        runner.renew(1, time.monotonic())
        await asyncio.sleep(0.05)
    took = time.monotonic() - begun
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return mails / took


@asynccontextmanager
async def alone() -> AsyncIterator[PostgresStore]:
    with running_server(parameters=SERVER) as server:
        with_template(server)
        with copied_database(server) as dsn:
            async with PostgresStore.open(dsn, replicated=False) as store:
                yield store


@asynccontextmanager
async def of_two() -> AsyncIterator[PostgresStore]:
    with running_servers(**SERVER) as servers:
        servers.clean()
        async with open_pair(servers) as pair:
            yield pair.stores[0]


@asynccontextmanager
async def far(port: int, round_trip: float) -> AsyncIterator[int]:
    """A port from which it takes so many seconds to `port` and back."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while block := await reader.read(65536):
                loop.call_later(round_trip / 2, writer.write, block)
        loop.call_later(round_trip / 2, writer.close)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(round_trip)  # the handshake of TCP
        there, here = await asyncio.open_connection("127.0.0.1", port)
        with suppress(asyncio.CancelledError):  # the end of all
            await asyncio.gather(pass_on(reader, here), pass_on(there, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def main(mails: int, seconds: float, at_once: list[int], pair: bool, round_trip: float) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "voicemail.sink", "--port", str(port), "--folder", folder]
        sink = await asyncio.create_subprocess_exec(sys.executable, *command)
        try:
            for limit in at_once:
                postman.AT_ONCE = limit
                before = len(list(Path(folder).glob("*.eml")))
                async with of_two() if pair else alone() as store, far(port, round_trip) as host:
                    rate = await measured(store, host if round_trip else port, mails, seconds)
                came = len(list(Path(folder).glob("*.eml"))) - before
                sys.stdout.write(
                    f"{limit} at once: {rate:.1f} mails/s ({came} came, {seconds:g} s attached)\n"
                )
        finally:
            sink.terminate()
            await sink.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--pair", action="store_true")
    parser.add_argument("--round-trip", type=float, default=0.0)
    given = parser.parse_args()
    asyncio.run(main(given.mails, given.seconds, given.at_once, given.pair, given.round_trip / 1000))
