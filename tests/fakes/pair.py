"""Two real PostgreSQL servers that replicate to each other by TLS, over a link that can be cut."""

import asyncio
import selectors
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from store.postgres import PostgresStore
from store.replica import REPLICATED, Replica
from store.schema import upgrade
from tests.fakes.certificates import TestAuthority
from tests.fakes.postgres import FAST, RunningServer, free_port, running_server


class Link:
    """A TCP forwarder on loopback. `cut()` closes what is open and refuses what comes; `join()` undoes it."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.whole = True
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.whole = False
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        self.whole = True

    def close(self) -> None:
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.whole:
                    threading.Thread(target=self._forward, args=(near,), daemon=True).start()
                else:
                    near.close()

    def _forward(self, near: socket.socket) -> None:
        with suppress(OSError), near, socket.create_connection(("127.0.0.1", self.target)) as far:
            self._open |= {near, far}
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with selectors.DefaultSelector() as ready:
                ready.register(near, selectors.EVENT_READ, far)
                ready.register(far, selectors.EVENT_READ, near)
                while True:
                    for key, _ in ready.select():
                        block = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not block:
                            return
                        key.data.sendall(block)


@dataclass
class Node:
    """One side: its server, and the link by which the peer reaches it."""

    number: int
    server: RunningServer
    link: Link


@dataclass
class Servers:
    nodes: tuple[Node, Node]

    def cut(self) -> None:
        for node in self.nodes:
            node.link.cut()

    def join(self) -> None:
        for node in self.nodes:
            node.link.join()

    def clean(self) -> None:
        """Both whole, running and empty, as after the pairing."""
        self.join()
        for node in self.nodes:
            if node.server.process is None:
                node.server.start()
        for node in self.nodes:
            local = "conflict_log, node_identity, message_state, outbox_open, single_copy"
            with psycopg.connect(node.server.conninfo("postgres", "vm"), autocommit=True) as admin:
                admin.execute(f"truncate {', '.join(REPLICATED)}, {local}")
                admin.execute("update fence set epoch = 0")


@contextmanager
def running_servers(schemas: tuple[str, str] = ("head", "head"), **parameters: str) -> Iterator[Servers]:
    """Two servers with schema (`schemas`: which revision each has), not yet subscribed to each other."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = TestAuthority(folder)
        nodes = []
        for number in (1, 2):
            server = stack.enter_context(
                running_server(
                    port=free_port(),
                    tls=authority.issue(f"node{number}"),
                    peers=("127.0.0.1/32",),
                    parameters=FAST | parameters,
                )
            )
            upgrade(server.conninfo(), schemas[number - 1])
            link = Link(server.settings.port)
            stack.callback(link.close)
            nodes.append(Node(number, server, link))
        yield Servers((nodes[0], nodes[1]))


class Pair:
    """Both nodes' stores and replicas, paired and with the switch on."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.stores: list[PostgresStore] = []
        self.replicas: list[Replica] = []

    async def paired(self) -> None:
        one, two = self.servers.nodes
        for node, peer, replica in ((one, two, self.replicas[0]), (two, one, self.replicas[1])):
            password = peer.server.settings.passwords.vmrepl
            link = node.server.link_conninfo("127.0.0.1", peer.link.port, password)
            await replica.ensure_subscription(link)
        await self.caught_up()
        for replica in self.replicas:
            await replica.switch_synchronous(True)

    async def caught_up(self, timeout: float = 60.0) -> None:
        """Both have applied and flushed everything the other wrote until now."""
        async with asyncio.timeout(timeout):
            for replica, node in zip(self.replicas, self.servers.nodes, strict=True):
                target = await self._written(node)
                while not await self._flushed(node, replica.outgoing, target):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    async def same(self) -> bool:
        one, two = [await replica.digests() for replica in self.replicas]
        return one == two

    async def _written(self, node: Node) -> str:
        [row] = await self._ask(node, "select pg_current_wal_flush_lsn()::text")
        return str(row[0])

    async def _flushed(self, node: Node, name: str, target: str) -> bool:
        statement = (
            f"select 1 from pg_stat_replication where application_name = '{name}' and flush_lsn >= '{target}'"
        )
        return bool(await self._ask(node, statement))

    async def _ask(self, node: Node, statement: str) -> list[tuple[object, ...]]:
        conninfo = node.server.conninfo("postgres", "vm")
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            return await (await connection.execute(statement)).fetchall()


@asynccontextmanager
async def open_pair(servers: Servers) -> AsyncIterator[Pair]:
    """Stores and replicas of running servers, paired."""
    pair = Pair(servers)
    async with AsyncExitStack() as stack:
        for node in servers.nodes:
            store = PostgresStore.open(node.server.conninfo(), node.number)
            pair.stores.append(await stack.enter_async_context(store))
            admin = node.server.conninfo("postgres", "vm")
            replica = Replica.open(admin, node.number, 3 - node.number)
            pair.replicas.append(await stack.enter_async_context(replica))
        await pair.paired()
        yield pair
