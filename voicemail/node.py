"""One node: the supervisor and Server Role Manager of `voicemail node`. Nothing else runs in this process.

It starts the node's programs, listens to the peer, lets the manager decide what this node is, and does
what follows: whether the edge takes calls, whether the Primary's process holds its lease, whether
deposits wait for the peer.
"""

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from sip import edge
from sip.board import Board, State, WorkerState
from sip.edge_control import EdgeControl
from sip.errors import SipError
from store.errors import StoreError
from voicemail import control, programs
from voicemail.cluster.answering import Answering
from voicemail.cluster.follower import Follower, Following
from voicemail.cluster.join import Admission
from voicemail.cluster.keepalive import EVERY, KeepAlive, Listener, speak
from voicemail.cluster.keeper import Keeper, Program, end_leftovers
from voicemail.cluster.manager import Health, Manager
from voicemail.cluster.roles import answers_calls
from voicemail.config import Config
from voicemail.errors import ClusterError, VoicemailError
from voicemail.primary.feed import News
from voicemail.secrets import Membership, NodeFiles

log = structlog.get_logger()

TICK = 0.1
PREPARE_AGAIN = 1.0


class Node:
    """The node of one configuration. `run` returns after SIGTERM or SIGINT, with everything stopped."""

    def __init__(self, config: Config, config_path: Path) -> None:
        self.config, self.config_path = config, config_path
        self.files = NodeFiles(config)
        self.membership = self.files.membership()
        self.server = None if config.store.dsn else programs.database(config, self.files)
        self.database_ready = False
        self.preparing: asyncio.Task[None] | None = None
        self.manager = Manager(
            self.membership.publisher,
            self.membership.number,
            self.files.epoch(),
            self.files.write_epoch,
            time.monotonic(),
            config.cluster.change_status_automatically,
        )
        self.edge_control = EdgeControl(config.run_directory)
        self.board_path = config.run_directory / "board"
        self.board: Board | None = None
        self.board_inode = 0
        self.edge_serves: bool | None = None
        self.follower: Follower | None = None
        self.listener = Listener(
            self.files, self.membership.number, self._heard, self._lost, Admission(self.files, self._admitted)
        )
        self.tasks: set[asyncio.Task[None]] = set()
        self.peer_tasks: list[asyncio.Task[None]] = []
        self.keepers = {program.name: Keeper(program, self._started(program)) for program in self._programs()}
        self.stopping = asyncio.Event()
        self.answering = Answering(time.monotonic())

    # ---- what runs

    def _programs(self) -> list[Program]:
        config, path = self.config, self.config_path
        own = [programs.database_program(self.server)] if self.server else []
        presence = [programs.presence_program(config, lambda: self.database_ready)] if self.server else []
        return [
            *own,
            programs.edge_program(config, self._write_edge),
            *presence,
            programs.workers_program(path),
            programs.primary_program(path),
        ]

    def _started(self, program: Program) -> Any:
        return {"database": self._database_started, "edge": self._edge_started}.get(
            program.name, lambda: None
        )

    def _write_edge(self) -> None:
        serving = answers_calls(self.manager.status)
        edge.write(
            programs.edge_settings(self.config, self.files, self.membership.peer, serving),
            self.config.run_directory,
        )

    def _edge_started(self) -> None:
        self.edge_serves = None  # told anew at the next tick

    def _database_started(self) -> None:
        self.database_ready = False
        if self.preparing:
            self.preparing.cancel()
        self.preparing = self._spawn(self._prepare_database())

    async def _prepare_database(self) -> None:
        """Roles and tables, tried until they are there. What is no StoreError is told by its name only: its
        text may hold the connection string."""
        told = ""
        while not self.database_ready:
            try:
                await asyncio.to_thread(programs.prepare_database, self.config, self.server)
                self.database_ready = True
            except Exception as error:  # whatever it is, tomorrow it may work
                why = str(error) if isinstance(error, StoreError) else type(error).__name__
                if why != told:
                    log.error("The database cannot be prepared; tried again.", why=why)
                told = why
                await asyncio.sleep(PREPARE_AGAIN)

    # ---- the peer

    def _heard(self, said: KeepAlive, opened: float) -> bool:
        new = self.manager.hearing.last
        kept = self.manager.heard(said, opened, time.monotonic())
        if self.follower and (new is None or new.database != said.database):
            self.follower.wake()
        return kept

    def _lost(self) -> None:
        self.manager.lost(time.monotonic())
        if self.follower:
            self.follower.wake()

    def _peer(self) -> KeepAlive | None:
        return self.manager.hearing.recent(time.monotonic())

    def _admitted(self, membership: Membership) -> None:
        """A node has joined while we run."""
        self.membership = membership
        self._spawn(self._reload_edge())
        self._meet()

    def _meet(self) -> None:
        """Talk to the peer, if there is one, and link the databases."""
        for task in self.peer_tasks:
            task.cancel()
        self.peer_tasks.clear()
        peer = self.membership.peer
        if peer is None:
            return
        self.manager.alone = False
        self.peer_tasks.append(asyncio.create_task(speak(self.files, peer, self._say)))
        if self.server:
            link = self.server.link_conninfo(peer.address, peer.store_port, self.files.secrets().vmrepl)
            admin, number = self.server.conninfo("postgres"), self.membership.number
            self.follower = Follower(admin, number, peer, link, self._peer)
            self.peer_tasks.append(asyncio.create_task(self.follower.run()))

    async def _reload_edge(self) -> None:
        with suppress(SipError):
            await asyncio.to_thread(self._write_edge)
            await self.edge_control.reload()

    def _say(self) -> KeepAlive:
        workers, following, change = self._workers(), self.following, self.manager.last_change
        up = [worker for worker in workers if worker.state is State.READY]
        return KeepAlive(
            number=self.membership.number,
            status=self.manager.status,
            epoch=self.manager.epoch,
            duties_work=self._health().duties_work,
            subscribed=following.subscribed,
            database=self.database_ready,
            delivered=following.delivered,
            because=change.because,
            since=change.at,
            workers=len(up),
            busy=sum(worker.busy for worker in workers),
            ports=sum(worker.capacity for worker in up),
            lag=following.lag,
            single_copies=following.single_copies,
            wants_primary=self.manager.wants_primary(time.monotonic()),
            awake=self.manager.awake,
        )

    # ---- how we are

    @property
    def following(self) -> Following:
        return self.follower.state if self.follower else Following()

    def _workers(self) -> tuple[WorkerState, ...]:
        """From the board, which a new pool replaces by a new file; kept open, as we look often."""
        try:
            inode = os.stat(self.board_path).st_ino
            if self.board is None or self.board_inode != inode:
                self.board, self.board_inode = Board.open(self.board_path), inode
            return self.board.read()
        except (OSError, ValueError):
            return ()

    def _health(self) -> Health:
        now, peer = time.monotonic(), self._peer()
        calls = [self.keepers["edge"], self.keepers["workers"]]
        duties = [self.keepers["primary"], *([self.keepers["database"]] if self.server else [])]
        workers = any(worker.state is State.READY for worker in self._workers())
        ready = workers and self.keepers["edge"].running
        self.answering = self.answering.seen(ready, self.manager.status, now)
        return Health(
            ready=ready,
            calls_work=not any(keeper.failed(now) for keeper in calls) and self.answering.works(now),
            duties_work=not any(keeper.failed(now) for keeper in duties),
            merged=self.server is None
            or bool(self.following.receiving and self.following.delivered and peer and peer.delivered),
        )

    # ---- the beat

    async def _beat(self) -> None:
        """Decide ten times a second; tell the Primary's process what follows."""
        fed = 0.0
        while True:
            now = time.monotonic()
            change = self.manager.tick(self._health(), now, time.time())
            if change or now - fed >= EVERY:
                fed = now
                self._feed(now)
            if change and self.follower:
                self.follower.wake()
            await asyncio.sleep(TICK)

    def _feed(self, now: float) -> None:
        peer = self.membership.peer if self._peer() else None
        news = News(self.manager.duty(now), self.manager.epoch, now, peer.edge if peer else "")
        self.keepers["primary"].tell(control.line(asdict(news)))

    async def _tell_edge(self) -> None:
        """Apart from the beat: an edge that hangs is waited for, and the beat must not look frozen."""
        while True:
            serves = answers_calls(self.manager.status)
            if serves is not self.edge_serves and self.keepers["edge"].running:
                with suppress(SipError):
                    await self.edge_control.set_serving(serves)
                    self.edge_serves = serves
            await asyncio.sleep(TICK)

    # ---- the operator

    async def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        match asked["command"]:
            case "status":
                return self.status()
            case "history":
                return {"history": [asdict(change) for change in self.manager.history]}
            case other:
                raise VoicemailError(f"there is no command {other!r}")

    def status(self) -> dict[str, Any]:
        """What `cluster status` shows: both members as this node knows them."""
        peer, member = self._peer(), self.membership.peer
        nodes = [{"name": self.membership.me.name, "here": True, **asdict(self._say())}]
        if member:
            silent = {"number": member.number, "status": "Silent"}
            said = asdict(peer) if peer else silent
            nodes.append({"name": member.name, "here": False, **said})
        return {
            "nodes": sorted(nodes, key=lambda node: node["number"]),
            "synchronous": self.following.synchronous,
            "programs": {name: keeper.running for name, keeper in self.keepers.items()},
        }

    # ---- from start to stop

    async def run(self) -> None:
        """Start everything, and stop it in the end. Raises ClusterError when it runs already."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        async with AsyncExitStack() as stack:
            stack.callback(os.close, self._lock())
            end_leftovers(programs.leftover_marks(self.config))
            await self.listener.start(self.config.node.address, self.config.cluster.port)
            stack.push_async_callback(self.listener.stop)
            server = await control.serve(self.config, self._answer)
            stack.callback(server.close)
            for keeper in self.keepers.values():
                self._spawn(keeper.run())
            if not self.server:
                self._database_started()  # somebody else runs it
            self._meet()
            self._spawn(self._beat())
            self._spawn(self._tell_edge())
            await self.stopping.wait()
            await self._stop()

    def _lock(self) -> int:
        self.config.run_directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.config.run_directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ClusterError(f"a node runs in {self.config.directory} already") from None
        return handle

    async def _stop(self) -> None:
        """No new calls, then calls in progress, and the database last."""
        log.info("Stopping.")
        with suppress(SipError):
            await self.edge_control.set_serving(False)
        await end_tasks({*self.tasks, *self.peer_tasks})
        for name in ("primary", "workers", "edge", "presence", "database"):
            if keeper := self.keepers.get(name):
                await keeper.stop()
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


async def end_tasks(tasks: set[asyncio.Task[None]], again: float = 1.0) -> None:
    """Cancel every `again` seconds until all have ended: a library may swallow the first cancellation,
    and a node that is told to stop must stop."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=again)
        if tasks:
            log.warning(
                "Tasks ignore that they are cancelled.", tasks=[str(task.get_coro()) for task in tasks]
            )
