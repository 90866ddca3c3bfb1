"""One node: the supervisor and Server Role Manager of `voicemail node`. Nothing else runs in this process.

It listens to the peer, lets the manager decide what this node is, and hands on what follows: the crew
(`supervise/crew.py`) runs the programs of a status, the gate tells the edge whether to take calls, the
Primary's process gets its lease, the follower says whether deposits wait for the peer. Operators' commands
come in by the control socket or from the peer (`supervise/commands.py`).
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from store.postgres import PostgresStore
from voicemail import control, programs
from voicemail.cluster.answering import Answering
from voicemail.cluster.follower import ago, merged, told
from voicemail.cluster.join import Admission
from voicemail.cluster.keepalive import EVERY, KeepAlive, Listener
from voicemail.cluster.keeper import Keeper, Program, end_leftovers
from voicemail.cluster.manager import Health, Manager
from voicemail.cluster.roles import Status, answers_calls
from voicemail.cluster.snapshot import Snapshot
from voicemail.cluster.watch import Watch
from voicemail.config import Config
from voicemail.primary.feed import News
from voicemail.secrets import Membership, NodeFiles, app_conninfo
from voicemail.supervise import report
from voicemail.supervise.commands import Commands
from voicemail.supervise.comparing import Comparing
from voicemail.supervise.crew import Crew, end_tasks
from voicemail.supervise.database import Database
from voicemail.supervise.duties import Duties
from voicemail.supervise.gate import Gate
from voicemail.supervise.history import History
from voicemail.supervise.link import Link
from voicemail.supervise.look import look
from voicemail.supervise.operator import Operator, Situation
from voicemail.supervise.phones import Phones
from voicemail.supervise.repair import Repair
from voicemail.supervise.workers import Workers

log = structlog.get_logger()

TICK = 0.1


class Node:
    """The node of one configuration. `run` returns after SIGTERM or SIGINT, with everything stopped."""

    def __init__(self, config: Config, config_path: Path) -> None:
        self.config, self.config_path = config, config_path
        self.files = NodeFiles(config)
        self.empty = self.files.empty.exists()
        membership = self.files.membership()
        self.server = None if config.store.dsn else programs.database(config, self.files)
        self.database = Database(config, self.server)
        self.preparing: asyncio.Task[None] | None = None
        self.manager = Manager(
            membership.publisher,
            membership.number,
            self.files.epoch(),
            self.files.write_epoch,
            time.monotonic(),
            config.cluster.change_status_automatically,
            self.files.orders().deactivated,
            lambda deactivated: self.operator.keep_deactivated(deactivated),
        )
        self.link = Link(self.files, membership, self.server, self.manager, self._say, self._replaced)
        self.history = History(self.files)
        self.operator = Operator(
            self.files, self.manager, self.history, self._situation, self._situation_asked
        )
        self.workers = Workers(config.run_directory / "board")
        self.answering = Answering(time.monotonic())
        self.gate = Gate(
            config,
            self.files,
            lambda: self.link.membership.peer,
            self._takes_calls,
            lambda: self.crew["edge"].running,
        )
        runs = programs.of_node(
            config, config_path, self.server, self.gate.prepare, lambda: self.database.ready
        )
        keepers = {program.name: Keeper(program, self._started(program)) for program in runs}
        self.crew = Crew(keepers, lambda: self.manager.status)
        self.commands = Commands(lambda: self.link.membership, self.link.ask)
        self.duties = Duties(config, self.manager, self.link)
        self._register()
        self.listener = Listener(
            self.files,
            membership.number,
            self.link.heard,
            self.link.lost,
            Admission(self.files, self._admitted),
            self.commands.answer_peer,
        )
        self.tasks: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()

    def _register(self) -> None:
        """The table of commands."""
        self.commands.add("status", self.status)
        self.commands.add("details", self.details, addressed=True)
        self.operator.register(self.commands, self.crew, self.gate)
        self.duties.register(self.commands)
        Comparing(self.link).register(self.commands)
        Repair(
            self.files,
            self.server,
            app_conninfo(self.config),
            self.database,
            self.link,
            self.gate,
            self.manager,
            lambda: self.listener,
        ).register(self.commands)

    # ---- what runs

    def _started(self, program: Program) -> Callable[[], None]:
        return {
            "database": self._database_started,
            "edge": self._edge_started,
            "presence": lambda: self.duties.edge_started(),
        }.get(program.name, lambda: None)

    def _edge_started(self) -> None:
        self.gate.started()
        self.duties.edge_started()

    def _database_started(self) -> None:
        self.duties.edge_started()
        self.database.ready = False
        if self.preparing:
            self.preparing.cancel()
        self.preparing = self._spawn(self.database.prepare())

    def _takes_calls(self) -> bool:
        """While starting, only once somebody is there to answer them."""
        status = self.manager.status
        answers = answers_calls(status) and (status is not Status.STARTING or bool(self.workers.up))
        return answers and self._lets_in()

    def _lets_in(self) -> bool:
        """Not while an operator forbids it, nor while it knows no mailboxes yet."""
        return self.operator.orders.taking_calls and not self.empty

    # ---- the peer

    def _admitted(self, membership: Membership) -> None:
        """A node has joined while we run."""
        self.link.membership = membership
        self._spawn(self.gate.reload())
        self.link.meet()

    def _replaced(self) -> None:
        """The other node gave this one up: whatever it took would be lost, so it takes nothing more."""
        self.files.replaced.touch(0o600)
        log.error("This server was replaced; it stops.", then=programs.REPLACED.format(self.config.directory))
        self.stopping.set()

    def _filled(self) -> None:
        """All that the cluster had when this node joined is here."""
        self.files.empty.unlink()
        self.empty = False
        log.info("This server has what the other one has; it may take calls.")
        self.gate.wake()

    def _say(self) -> KeepAlive:
        following, change, up = self.link.following, self.manager.last_change, self.workers.up
        now = time.monotonic()
        return KeepAlive(
            number=self.link.membership.number,
            status=self.manager.status,
            epoch=self.manager.epoch,
            duties_work=self._duties_work(now),
            subscribed=following.subscribed,
            database=self.database.ready,
            delivered=following.delivered,
            because=change.because,
            since=change.at,
            workers=len(up),
            busy=self.workers.busy,
            ports=sum(worker.capacity for worker in up),
            lag=following.lag,
            single_copies=following.single_copies,
            wants_primary=self.manager.wants_primary(now),
            taking_calls=self._lets_in(),
            schema=told(self.database.schema, self.link.follower),
            clock=time.time(),
            awake=self.manager.awake(now),
            delivered_ago=ago(following.delivered_at, now),
        )

    # ---- how we are

    def _health(self, now: float) -> Health:
        self.workers.look(now)
        if self.empty and self.link.following.receiving:
            self._filled()
        ready = bool(self.workers.up) and self.crew["edge"].running
        self.answering = self.answering.seen(ready, self.manager.status, now)
        return Health(
            ready=ready,
            calls_work=not self.crew.failed(("edge", "workers"), now) and self.answering.works(now),
            duties_work=self._duties_work(now),
            merged=self.server is None or merged(self.link.following, self.manager.hearing, now),
        )

    def _duties_work(self, now: float) -> bool:
        return not self.crew.failed(("primary", "database"), now)

    # ---- the beat

    async def _beat(self) -> None:
        """Decide ten times a second; tell the Primary's process what follows."""
        fed = 0.0
        while True:
            now, was = time.monotonic(), self.manager.status
            self.manager.tick(self._health(now), now, time.time())
            changed = self.history.follow(self.manager.history)
            if changed:
                self._changed()
            if changed or now - fed >= EVERY:
                fed = now
                # merged: the other node's lamps, done there, are not known to be right here
                self._feed(now, resync=changed and was is Status.SPLIT_BRAIN_RECOVERY)
            await asyncio.sleep(TICK)

    def _changed(self) -> None:
        """Another status, whoever caused it: all who follow it look now."""
        self.crew.wake()
        self.gate.wake()
        self.link.wake()

    def _feed(self, now: float, resync: bool = False) -> None:
        peer = self.link.membership.peer if self.link.peer() else None
        news = News(self.manager.duty(now), self.manager.epoch, now, peer.edge if peer else "", resync)
        self.crew["primary"].tell(control.line(asdict(news)))

    async def _watch(self) -> None:
        """Alarms and metrics, beside the beat."""
        replicated, number = self.server is not None, self.link.membership.number
        async with PostgresStore.open(
            app_conninfo(self.config), number, replicated=replicated, connections=1
        ) as store:
            watch = Watch(self.config, self._look, lambda: self.manager.history, store, self.gate.control)
            await watch.run()

    async def _phones(self) -> None:
        """Accounts of users' phones, for the edge."""
        number, replicated = self.link.membership.number, self.server is not None
        async with PostgresStore.open(
            app_conninfo(self.config), number, replicated=replicated, connections=1
        ) as store:
            await Phones(store, self.config.run_directory, self.gate.control).run()

    def _look(self) -> Snapshot:
        following = self.link.following if self.server else None
        keepers = {name: self.crew[name] for name in self.crew.kept}
        refused, wanted = len(self.listener.complaints), self.config.sip.workers
        return look(self.link.membership, self._say(), self.manager, following, keepers, wanted, refused)

    # ---- what an operator sees

    def _situation(self) -> Situation:
        peer = self.link.membership.peer
        return Situation(
            self.link.membership.me.name, self._say(), peer.name if peer else "", self.link.peer()
        )

    async def _situation_asked(self) -> Situation:
        return await report.asked(self.link, self._situation())

    async def status(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What `cluster status` shows. With "details" the other node is asked for its own, too."""
        mine = asdict(self._say()) | await self.details({})
        return {
            "nodes": await report.rows(self.link, mine, bool(asked.get("details"))),
            "synchronous": self.link.following.synchronous,
            "programs": self.crew.running(),
        }

    async def details(self, _: dict[str, Any]) -> dict[str, Any]:
        """What this node says of itself when it is asked: more than in its keep-alives, and at once."""
        return {
            "status": self.manager.status,
            "taking_calls": self._lets_in(),
            "empty": self.empty,
            "programs": self.crew.running(),
            "replication": asdict(self.link.following),
        }

    # ---- from start to stop

    async def run(self) -> None:
        """Start everything, and stop it in the end. Raises ClusterError when it runs already."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        async with AsyncExitStack() as stack:
            stack.callback(os.close, programs.lock(self.config))
            orders = self.operator.orders
            log.info("Starting.", status=self.manager.status, taking_calls=orders.taking_calls)
            end_leftovers(programs.leftover_marks(self.config))
            self.workers.forget()
            await self.listener.start(self.config.node.address, self.config.cluster.port)
            stack.push_async_callback(self.listener.stop)
            server = await control.serve(self.config, self.commands.answer)
            stack.callback(server.close)
            if not self.server:
                self._database_started()  # somebody else runs it
            self.link.meet()
            parts = (self.crew.run, self._beat, self.gate.run, self.history.run, self._watch, self._phones)
            for work in parts:
                self._spawn(work())
            await self.stopping.wait()
            await self._stop()

    async def _stop(self) -> None:
        log.info("Stopping.")
        await self.gate.close()
        await self.duties.stop()
        await end_tasks({*self.tasks, *self.link.tasks})
        await self.crew.stop()
        log.info("Stopped.")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("A part of the node failed; the node stops.", why=repr(error))
            self.stopping.set()
