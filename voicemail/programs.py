"""What a node runs: its PostgreSQL, its edge and presence server, its workers, the Primary's process, and
the receiver of mails.

Each is described once here; `cluster/keeper.py` keeps them running.
"""

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sip import edge
from sip.pool import END_CALLS
from store import schema
from store.server import STOP_FAST, Passwords, PostgresServer, ServerSettings, Tls
from voicemail.cluster.keeper import NotYet, Program
from voicemail.config import Config
from voicemail.errors import ClusterError
from voicemail.primary.addresses import request_address
from voicemail.secrets import Member, NodeFiles, socket_folder

LOOPBACK = "127.0.0.1"
REPLACED = "to use it again, empty {} and join as a new server (`voicemail cluster join`)"


def database(config: Config, files: NodeFiles) -> PostgresServer:
    """This node's own PostgreSQL. Peers need a certificate of the cluster and the password, so they
    may come from any address."""
    secrets = files.secrets()
    return PostgresServer(
        ServerSettings(
            data=config.directory / "database",
            port=config.store.port,
            passwords=Passwords(secrets.postgres, secrets.vm, secrets.vmrepl, secrets.edge),
            listen=tuple(dict.fromkeys((LOOPBACK, config.node.address))),
            peers=("0.0.0.0/0", "::/0"),
            tls=Tls(files.certificate, files.key, files.ca),
            bindir=config.store.bindir,
            user=config.node.user,
            sockets=socket_folder(config),
            wal_keep=f"{config.store.keep_for_peer_megabytes}MB",
        )
    )


def of_node(
    config: Config,
    config_path: Path,
    server: PostgresServer | None,
    write_edge: Callable[[], None],
    database_ready: Callable[[], bool],
) -> list[Program]:
    """All programs of a node. On an external database (no `server`) there is none to run, and no presence,
    which keeps its subscriptions there."""
    own = [database_program(server), presence_program(config, database_ready)] if server else []
    return [
        *own,
        edge_program(config, write_edge),
        workers_program(config_path),
        primary_program(config_path),
        *([smtp_program(config_path)] if config.smtp.port else []),
    ]


def lock(config: Config) -> int:
    """A file descriptor that keeps any other supervisor away from this node's directory, until it is
    closed. Raises ClusterError when there is one, or when this node may run no more."""
    if NodeFiles(config).replaced.exists():
        raise ClusterError(f"this server was replaced: {REPLACED.format(config.directory)}")
    config.run_directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(config.run_directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise ClusterError(f"a node runs in {config.directory} already") from None
    return handle


def prepare_database(config: Config, server: PostgresServer | None) -> int:
    """Roles, databases and tables of the running server (None: the external one, where only the tables
    are ours); milliseconds when they are there. Gives the version of the schema. Blocks. Raises
    StoreError and what the driver raises."""
    if server is None:
        return int(schema.upgrade(config.store.dsn))
    server.wait_ready()
    server.bootstrap()
    version = int(schema.upgrade(server.conninfo()))
    server.load_edge_schema()
    server.number_notifies_anew()
    return version


def create_database(config: Config, server: PostgresServer) -> None:
    """Files, roles, databases and tables, with the server running meanwhile: so what is wrong with them
    shows when the node is made, not at its first start. Raises ServerFailed."""
    server.prepare()
    output = subprocess.DEVNULL
    process = subprocess.Popen(server.argv(), env=server.environment(), stdout=output, stderr=output)
    try:
        prepare_database(config, server)
    finally:
        process.send_signal(STOP_FAST)
        process.wait(30)


def database_program(server: PostgresServer) -> Program:
    # A stop waits for the peer to take the last rows; one that does not is not worth more than a moment,
    # since a database that is killed recovers and sends them when it is back.
    return Program("database", server.argv, server.prepare, server.environment, STOP_FAST, patience=5.0)


def edge_settings(config: Config, files: NodeFiles, peer: Member | None, serving: bool) -> edge.EdgeSettings:
    """The edge as the configuration wants it now."""
    sip = config.sip
    host, port = request_address(config)
    store = f"{LOOPBACK}:{config.store.port}"
    return edge.EdgeSettings(
        listen=(edge.Listen(edge.Address(config.node.address, sip.port)),),
        workers=tuple(edge.Address(LOOPBACK, sip.worker_port + n) for n in range(sip.workers)),
        presence=edge.Address(LOOPBACK, sip.presence_port),
        database="" if config.store.dsn else f"postgres://edge:{files.secrets().edge}@{store}/edge",
        peer=edge.Address(peer.address, peer.sip_port) if peer else None,
        trunks=tuple(edge.Trunk(trunk.name, trunk.addresses, trunk.trust_identity) for trunk in config.trunk),
        allowed_networks=sip.allowed_networks,
        balancers=tuple(edge.Address.parse(place) for place in sip.balancers),
        members=(edge.Address(host, port),),
        calls_per_worker_second=sip.calls_per_second_per_worker,
        requests_per_source_second=sip.requests_per_second_per_source,
        digest_secret=digest_secret(files),
        serving=serving,
    )


def digest_secret(files: NodeFiles) -> str:
    """Alike on both nodes, so that phones may answer a challenge of either edge at the other."""
    return hashlib.sha256(f"challenges {files.secrets().edge}".encode()).hexdigest()[:32]


def edge_program(config: Config, write: Callable[[], None]) -> Program:
    return Program("edge", lambda: _dies_with_us("TERM", edge.argv(config.run_directory)), write)


def presence_program(config: Config, database_ready: Callable[[], bool]) -> Program:
    """It ends at once without its database, so it waits for that."""

    def prepare() -> None:
        if not database_ready():
            raise NotYet("its database is not up yet")

    run = config.run_directory
    return Program("presence", lambda: _dies_with_us("TERM", edge.presence_argv(run)), prepare)


def workers_program(config_path: Path) -> Program:
    command = [sys.executable, "-m", "voicemail.worker", str(config_path)]
    return Program("workers", lambda: _dies_with_us("KILL", command), patience=35.0, at_once=END_CALLS)


def primary_program(config_path: Path) -> Program:
    command = [sys.executable, "-m", "voicemail.primary.service", str(config_path)]
    return Program("primary", lambda: _dies_with_us("KILL", command), stop=signal.SIGKILL)


def smtp_program(config_path: Path) -> Program:
    """A mail that is on its way in when it stops is sent again: only what is on disk was confirmed."""
    command = [sys.executable, "-m", "voicemail.access.smtp", str(config_path)]
    return Program("smtp", lambda: _dies_with_us("KILL", command), patience=5.0)


def _dies_with_us(how: str, command: list[str]) -> list[str]:
    """The kernel signals the program when this process dies."""
    return ["setpriv", "--pdeathsig", how, *command]


def leftover_marks(config: Config) -> tuple[str, ...]:
    """Arguments by which our programs are known, should a killed supervisor have left any. Python's are
    known by the configuration's path, which this process shares, so they end with their stdin instead."""
    run = config.run_directory
    return (f"{run}/kamailio.cfg", f"{run}/presence.cfg")
