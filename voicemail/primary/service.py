"""The process of the Primary's work: `python -m voicemail.primary.service CONFIG`.

It runs on every node, warm: connected to the store, its SIP stack up. The supervisor writes to its
stdin who is Primary (feed.py); at the end of stdin the supervisor is gone, and so is this process.
Being killed at any moment is fine: what was not recorded as done is done again by whoever is next.
"""

import asyncio
import random
import sys
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import BinaryIO

import structlog

from sip.requests import RequestClient, run_with_engine
from sip.settings import EngineSettings
from store.api import Store
from store.errors import StoreError
from store.model import OutboxItem, Work
from store.postgres import PostgresStore
from voicemail import control
from voicemail.cluster.alarm_kinds import BY_NAME
from voicemail.cluster.alarms import Alarm, State
from voicemail.cluster.watch import notice, tell
from voicemail.config import Config, load
from voicemail.log import configure
from voicemail.primary.addresses import request_address, socket_of
from voicemail.primary.agenda import Agenda
from voicemail.primary.aging import Ager
from voicemail.primary.announcer import Announcer
from voicemail.primary.answers import Answers
from voicemail.primary.calls import CallBook
from voicemail.primary.clock import Clock, SystemClock
from voicemail.primary.dialler import Workers
from voicemail.primary.dispatches import Dispatches
from voicemail.primary.feed import News, read
from voicemail.primary.forewarnings import Forewarnings
from voicemail.primary.handler import Handler
from voicemail.primary.lamps import Senders
from voicemail.primary.lease import Lease, NotPrimary
from voicemail.primary.mail import Look
from voicemail.primary.notifier import Notifier, Sender
from voicemail.primary.post import Post
from voicemail.primary.postman import Postman, SmartHost
from voicemail.primary.profiles import Profiles
from voicemail.primary.routes import Dns
from voicemail.primary.runner import Runner
from voicemail.primary.smtp_out import Mailer
from voicemail.primary.summaries import Summaries
from voicemail.primary.templates import Templates
from voicemail.primary.webhook import Https
from voicemail.secrets import NodeFiles, app_conninfo

log = structlog.get_logger()


def senders(config: Config) -> Senders:
    """How this node presents itself in lamp requests."""
    edge = f"{config.node.address}:{config.sip.port}"
    return Senders(edge, f"sip:{config.sip.pilot}@{config.sip.domain or edge}")


def own_domain(config: Config) -> str:
    """Of our mailboxes as other systems know them."""
    return config.smtp.domains[0] if config.smtp.domains else config.mail.message_id_domain


def announcer_of(store: Store, config: Config, clock: Clock, profiles: Profiles, zone: tzinfo) -> Announcer:
    """What tells users of messages, as the configuration says."""
    own = Path(config.notify.templates) if config.notify.templates else None
    look = Look(link=config.notify.link, templates=Templates(own))
    postman = Postman(store, config.mail, SmartHost(config.mail, config.node.name), zone, look)
    calls = CallBook(store, config.notify.calls_per_hour)
    return Announcer(store, postman, Https(), Workers(config), profiles, calls, clock, look)


class Duty:
    """The runner and its handlers, and what the supervisor's news mean to them."""

    def __init__(self, store: Store, sender: Sender, config: Config, clock: Clock) -> None:
        zone = datetime.now().astimezone().tzinfo
        assert zone is not None
        self._store, self._config, self._clock = store, config, clock
        self.notifier = Notifier(store, sender, config.trunk, senders(config), clock)
        profiles = Profiles(store, zone, clock.monotonic)
        announcer = announcer_of(store, config, clock, profiles, zone)
        mailer = Mailer(config.node.name, config.mail.timeout, Dns())
        post = Post(store, config.mail, own_domain(config), mailer, clock)
        handlers: dict[Work, Handler] = {
            Work.LAMP: self.notifier,
            Work.MAIL: announcer,
            Work.NOTIFY: announcer,
            Work.ALARM: announcer,
            Work.POST: post,
            Work.REPORT: post,
        }
        agenda = Agenda(random.random)
        self.runner = Runner(store, handlers, agenda, clock, Lease(), self._given_up)
        self.answers = Answers(store, agenda, self.runner, self.notifier, clock)
        self.ager = Ager(store, clock, self._epoch, self._permit)
        self.dispatches = Dispatches(store, clock, self._epoch, self._permit)
        self.summaries = Summaries(store, profiles, clock, self._epoch, self._permit)
        self.forewarnings = Forewarnings(store, profiles, clock, self._epoch, self._permit)

    def _epoch(self) -> int | None:
        lease = self.runner.lease
        return lease.epoch if lease.valid(self._clock.monotonic()) else None

    def _permit(self) -> None:
        if self._epoch() is None:
            raise NotPrimary("the lease is over")

    async def _given_up(self, item: OutboxItem, why: str) -> None:
        """Whoever waited for it learns it from the administrator. An alarm that nobody could be told of is
        not told by another one."""
        what = f"{item.kind.value} {item.id} of {item.created:%Y-%m-%d %H:%M} UTC: {why}"
        alarm = Alarm(BY_NAME["work_given_up"], State.HAPPENED, what, self._clock.now().timestamp())
        tell(alarm)
        to = self._config.alarm.mail_to
        if to and item.kind is not Work.ALARM:
            try:
                await self._store.outbox.alarm(notice(alarm, self._config.node.name, to), datetime.now(UTC))
            except StoreError as error:
                log.warning("the administrator cannot be mailed", why=str(error))

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
    questions = await answering(config, duty)
    running = asyncio.create_task(duty.runner.run())
    listening = asyncio.create_task(listen(stream, duty))
    jobs = (duty.ager, duty.summaries, duty.forewarnings, duty.dispatches)
    beside = [asyncio.create_task(each.run()) for each in jobs]
    try:
        ended, _ = await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        if questions:
            questions.close()
        for task in (running, listening, *beside):
            task.cancel()
        await asyncio.gather(running, listening, *beside, return_exceptions=True)


async def answering(config: Config, duty: Duty) -> asyncio.Server | None:
    """Answer what the supervisor asks. Without that the work is done all the same."""
    path = socket_of(config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return await control.serve_at(path, duty.answers.answer)
    except OSError as error:
        log.error("questions cannot be answered", path=str(path), why=str(error))
        return None


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
