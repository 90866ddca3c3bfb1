"""Notification mails a second, from deposit to the smart host, by how many are handed over at once.

    python -m tests.bench.mails [--mails 200] [--seconds 20] [--at-once 1 5]

A real PostgreSQL (fsync on), the Primary's runner and postman in this process, the sink as a process of its
own. Each mail has a recording of so many seconds attached. With one at once a takeover repeats one mail at
most; the figure says what that costs.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from sip.wav import file_ulaw
from store.ids import uuid7
from store.model import NewMessage, User, Work
from store.postgres import PostgresStore
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


async def measured(dsn: str, port: int, mails: int, seconds: float) -> float:
    """Mails a second."""
    clock, settings = SystemClock(), Mail(host="127.0.0.1", port=port, sender="vm@example.com")
    async with PostgresStore.open(dsn, replicated=False) as store:
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def main(mails: int, seconds: float, at_once: list[int]) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, running_server(parameters=SERVER) as server:
        with_template(server)
        command = ["-m", "voicemail.sink", "--port", str(port), "--folder", folder]
        sink = await asyncio.create_subprocess_exec(sys.executable, *command)
        try:
            for limit in at_once:
                postman.AT_ONCE = limit
                with copied_database(server) as dsn:
                    before = len(list(Path(folder).glob("*.eml")))
                    rate = await measured(dsn, port, mails, seconds)
                    came = len(list(Path(folder).glob("*.eml"))) - before
                sys.stdout.write(
                    f"{limit} at once: {rate:.0f} mails/s ({came} came, {seconds:g} s attached)\n"
                )
        finally:
            sink.terminate()
            await sink.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 5])
    given = parser.parse_args()
    asyncio.run(main(given.mails, given.seconds, given.at_once))
