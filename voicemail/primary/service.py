"""The process of the Primary's work: `python -m voicemail.primary.service CONFIG`.

It runs on every node, warm: connected to the store, its SIP stack up. The supervisor writes to its
stdin who is Primary (feed.py); at the end of stdin the supervisor is gone, and so is this process.
Being killed at any moment is fine: what was not recorded as done is done again by whoever is next.
"""

import asyncio
import random
import sys
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import structlog

from sip.requests import RequestClient, run_with_engine
from sip.settings import EngineSettings
from store.api import Store
from store.model import Work
from store.postgres import PostgresStore
from voicemail.config import Config, load
from voicemail.log import configure
from voicemail.primary.agenda import Agenda
from voicemail.primary.aging import Ager
from voicemail.primary.clock import Clock, SystemClock
from voicemail.primary.feed import News, read
from voicemail.primary.handler import Handler
from voicemail.primary.lamps import Senders
from voicemail.primary.lease import Lease, NotPrimary
from voicemail.primary.notifier import Notifier, Sender
from voicemail.primary.post import Post
from voicemail.primary.postman import Postman, SmartHost
from voicemail.primary.routes import Dns
from voicemail.primary.runner import Runner
from voicemail.primary.smtp_out import Mailer
from voicemail.secrets import NodeFiles, app_conninfo

REQUEST_PORT = 30
"""Above `sip.worker_port` (28 workers at most): where our NOTIFY and PUBLISH come from."""

log = structlog.get_logger()


def request_address(config: Config) -> tuple[str, int]:
    """Where the requests come from; the edge must count it among its members."""
    return "127.0.0.1", config.sip.worker_port + REQUEST_PORT


def senders(config: Config) -> Senders:
    """How this node presents itself in lamp requests."""
    edge = f"{config.node.address}:{config.sip.port}"
    return Senders(edge, f"sip:{config.sip.pilot}@{config.sip.domain or edge}")


def own_domain(config: Config) -> str:
    """Of our mailboxes as other systems know them."""
    return config.mail.message_id_domain


class Duty:
    """The runner and its handlers, and what the supervisor's news mean to them."""

    def __init__(self, store: Store, sender: Sender, config: Config, clock: Clock) -> None:
        zone = datetime.now().astimezone().tzinfo
        assert zone is not None
        self._clock = clock
        self.notifier = Notifier(store, sender, config.trunk, senders(config), clock)
        postman = Postman(store, config.mail, SmartHost(config.mail, config.node.name), zone)
        mailer = Mailer(config.node.name, config.mail.timeout, Dns())
        post = Post(store, config.mail, own_domain(config), mailer, clock)
        handlers: dict[Work, Handler] = {
            Work.LAMP: self.notifier,
            Work.MAIL: postman,
            Work.ALARM: postman,
            Work.POST: post,
            Work.REPORT: post,
        }
        self.runner = Runner(store, handlers, Agenda(random.random), clock, Lease())
        self.ager = Ager(store, clock, self._epoch, self._permit)

    def _epoch(self) -> int | None:
        lease = self.runner.lease
        return lease.epoch if lease.valid(self._clock.monotonic()) else None

    def _permit(self) -> None:
        if self._epoch() is None:
            raise NotPrimary("the lease is over")

    def hear(self, news: News) -> None:
        """Take one line of the supervisor."""
        if news.peer_edge != self.notifier.peer_edge:
            self.notifier.peer_edge = news.peer_edge
            self.runner.wake()
        if news.resync:
            self.runner.resync()
        if news.duty:
            now = self._clock.monotonic()
            self.runner.renew(news.epoch, now if news.at is None else min(news.at, now))
        else:
            self.runner.revoke()


async def listen(stream: asyncio.StreamReader, duty: Duty) -> None:
    """Until the supervisor is gone."""
    while line := await stream.readline():
        if news := read(line):
            duty.hear(news)
        else:
            log.warning("the supervisor's line makes no sense", line=line[:200])
    log.info("the supervisor is gone")


async def work(store: Store, sender: Sender, config: Config, stream: asyncio.StreamReader) -> None:
    """Do the Primary's work as the lines of `stream` allow, until it ends."""
    duty = Duty(store, sender, config, SystemClock())
    running = asyncio.create_task(duty.runner.run())
    listening = asyncio.create_task(listen(stream, duty))
    aging = asyncio.create_task(duty.ager.run())
    try:
        ended, _ = await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        running.cancel()
        listening.cancel()
        aging.cancel()
        await asyncio.gather(running, listening, aging, return_exceptions=True)


async def lines_of(pipe: BinaryIO) -> asyncio.StreamReader:
    """An asynchronous reader of our stdin."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def serve(config: Config, client: RequestClient) -> None:
    """All of this process beside its SIP stack."""
    node = NodeFiles(config).membership().number
    stream = await lines_of(sys.stdin.buffer)
    replicated = not config.store.dsn
    async with PostgresStore.open(app_conninfo(config), node, replicated=replicated) as store:
        await work(store, client, config, stream)


def main() -> None:
    configure("primary")
    config = load(Path(sys.argv[1]))
    address, port = request_address(config)
    settings = EngineSettings(sip_address=address, sip_port=port, rtp_address=address)
    run_with_engine(settings, lambda client: serve(config, client))


if __name__ == "__main__":
    main()
