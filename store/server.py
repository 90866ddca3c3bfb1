"""Runs the PostgreSQL of one node: creates its files, knows its command line, clears up after kill -9.

A supervisor elsewhere starts `argv()` and stops it with STOP_FAST; everything here blocks for up to
some seconds, so an asyncio program calls it by `asyncio.to_thread`. Before every start `prepare()`
must run: it is idempotent, takes milliseconds once the database exists, and removes what a crash left
(a stale postmaster.pid, orphans that hold the shared memory).
"""

import os
import pwd
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import make_conninfo

from store.binaries import OLDEST, as_user, find_bindir, major, reachable, require_way, run, run_user
from store.errors import ServerFailed

log = structlog.get_logger()

STOP_FAST = signal.SIGINT
"""Ends sessions, writes a checkpoint."""
STOP_NOW = signal.SIGQUIT
"""Recovers at the next start."""
EDGE_TABLES = ("standard-create.sql", "presence-create.sql")
SKIPPED = 1000
"""NOTIFYs of one subscription that a crash may have made forget; far fewer are sent in so short a time."""
SOCKET_LENGTH = 107
"""Bytes of a Unix socket's path on Linux (sockaddr_un)."""

PARAMETERS = {
    "wal_level": "logical",
    "track_commit_timestamp": "on",
    "max_wal_senders": "12",
    "max_replication_slots": "12",
    "max_logical_replication_workers": "8",
    "max_worker_processes": "16",
    "wal_sender_timeout": "10s",
    "wal_receiver_timeout": "10s",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "500ms",
    "max_wal_size": "2GB",
    # Database edge does not wait for its commits: a crash loses the subscriptions of three such delays.
    "wal_writer_delay": "20ms",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    # Else a link that was cut for some seconds stays silent for as many more, as TCP waits ever longer
    # before it repeats, and the old walsender keeps the slot from the new one.
    "tcp_user_timeout": "3s",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "log_line_prefix": "%m [%p] %u@%d ",
}


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of this node: certificate, its key, and the cluster's own CA."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class Passwords:
    """Of the roles: superuser, application, replication link, Kamailio's presence."""

    postgres: str = field(repr=False)
    vm: str = field(repr=False)
    vmrepl: str = field(repr=False)
    edge: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where and how one node's server runs."""

    data: Path
    """PGDATA; created. Its parents must let the system user pass."""
    port: int
    passwords: Passwords
    listen: tuple[str, ...] = ("127.0.0.1",)
    """Addresses; the first is the one this node itself connects to."""
    peers: tuple[str, ...] = ()
    """Networks (CIDR) from which the peer's replication link may come."""
    tls: Tls | None = None
    bindir: str = ""
    user: str = "voicemail"
    """System user when started by root; ignored otherwise."""
    sockets: Path | None = None
    """Folder of the Unix socket; by default beside `data`."""
    wal_keep: str = "20GB"
    """How much log is kept for a peer that is away (max_slot_wal_keep_size); one that missed more copies what
    it lacks."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """More lines of postgresql.conf."""


class PostgresServer:
    """One node's PostgreSQL. Raises ServerFailed throughout."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.user = run_user(settings.user)
        self.bindir = find_bindir(settings.bindir or None)
        self.sockets = settings.sockets or settings.data.parent / "sockets"

    def prepare(self) -> None:
        """Make everything ready for a start: binaries in reach, data folder, configuration, no leftovers."""
        data = self.settings.data.absolute()
        if len(f"{self.sockets}/.s.PGSQL.{self.settings.port}") > SOCKET_LENGTH:
            raise ServerFailed(f"the path of the socket folder {self.sockets} is too long")
        self._folder(data, 0o700)
        self._folder(self.sockets, 0o750)
        self.bindir = reachable(self.bindir, self.user, data.parent)
        self.clear_leftovers()
        if not (data / "PG_VERSION").exists():
            self._initdb(data)
        self._write_configuration(data)

    def argv(self) -> list[str]:
        """The command that runs the server in the foreground. It dies with the thread that starts it."""
        return [
            *as_user(self.user, dies_with_parent="INT"),
            str(self.bindir / "postgres"),
            "-D",
            str(self.settings.data.absolute()),
        ]

    def environment(self) -> dict[str, str]:
        """The whole environment of `argv()`."""
        home = pwd.getpwuid(os.geteuid()).pw_dir
        return {"PATH": "/usr/bin:/bin", "HOME": home, "LC_ALL": "C.UTF-8"}

    def conninfo(self, role: str = "vm", database: str = "vm") -> str:
        """How this node connects to its own server, with the role's password in it."""
        password = getattr(self.settings.passwords, role)
        return make_conninfo(
            host=self.settings.listen[0],
            port=self.settings.port,
            dbname=database,
            user=role,
            password=password,
            connect_timeout=3,
        )

    def link_conninfo(self, host: str, port: int, password: str) -> str:
        """How this node's subscription connects to the peer's server: TLS verify-full, our certificate."""
        data = self.settings.data.absolute()
        return make_conninfo(
            host=host,
            port=port,
            dbname="vm",
            user="vmrepl",
            password=password,
            connect_timeout=3,
            tcp_user_timeout=3000,
            sslmode="verify-full",
            sslrootcert=str(data / "ca.pem"),
            sslcert=str(data / "server.pem"),
            sslkey=str(data / "server.key"),
        )

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Return when the server takes connections; raises ServerFailed after `timeout` seconds."""
        ends = time.monotonic() + timeout
        while True:
            try:
                psycopg.connect(self.conninfo("postgres", "postgres")).close()
                return
            except psycopg.OperationalError as refused:
                if time.monotonic() >= ends:
                    raise ServerFailed(f"not ready after {timeout:g} s: {refused}") from refused
            time.sleep(0.05)

    def bootstrap(self) -> None:
        """Roles and databases of a running server: vm (the store), edge (Kamailio's presence). Idempotent."""
        with self._admin() as connection:
            self._role(connection, "vm", "login")
            self._role(connection, "vmrepl", "login replication")
            self._role(connection, "edge", "login")
            for name in ("vm", "edge"):
                self._database(connection, name)
            # Only the deposit waits for the peer; everything else commits locally.
            connection.execute("alter database vm set synchronous_commit = local")
            connection.execute("alter database edge set synchronous_commit = off")

    def load_edge_schema(self, scripts: Path = Path("/usr/share/kamailio/postgres")) -> None:
        """Kamailio's presence tables, when they are absent. They come with Debian's package."""
        with psycopg.connect(self.conninfo("edge", "edge")) as connection:
            found = connection.execute("select to_regclass('public.presentity') is not null").fetchone()
            if found and found[0]:
                return
            for name in EDGE_TABLES:
                if not (scripts / name).is_file():
                    raise ServerFailed(f"{scripts / name} is missing: install kamailio-postgres-modules")
                connection.execute((scripts / name).read_bytes())

    def number_notifies_anew(self) -> None:
        """After a start. The last NOTIFYs before a crash were not counted for good, and a phone takes another
        one with the same CSeq for old. Gaps are allowed (RFC 3261 section 12.2.2)."""
        with psycopg.connect(self.conninfo("edge", "edge")) as connection:
            connection.execute("update active_watchers set local_cseq = local_cseq + %s", [SKIPPED])

    def renew_certificates(self) -> None:
        """Of a running server: the files of `Tls` are others now. Links that are open stay open."""
        self._write_configuration(self.settings.data.absolute())
        with self._admin() as connection:
            connection.execute("select pg_reload_conf()")

    def clear_leftovers(self) -> None:
        """End processes that still use our data folder and drop a stale postmaster.pid and socket lock.

        PostgreSQL would refuse to start beside them ("pre-existing shared memory block"), or, when the
        number in one of the files now belongs to another process, until an operator removes it.
        """
        data = self.settings.data.absolute()
        for ending in (signal.SIGQUIT, signal.SIGKILL):
            left = processes_in(data)
            if left:
                log.warning("Ending leftover PostgreSQL processes.", data=str(data), pids=left)
            for pid in left:
                _kill(pid, ending)
            _wait_gone(data, 3.0)
        (data / "postmaster.pid").unlink(missing_ok=True)
        (self.sockets / f".s.PGSQL.{self.settings.port}.lock").unlink(missing_ok=True)

    def _folder(self, folder: Path, mode: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
        if self.user:
            shutil.chown(folder, self.user, pwd.getpwnam(self.user).pw_gid)
            require_way(self.user, folder)

    def _initdb(self, data: Path) -> None:
        # The built-in locale needs no system locale and sorts alike on both nodes (from 17).
        builtin = ["--locale-provider=builtin"] if major(self.bindir) > OLDEST else []
        command: list[str | Path] = [
            *as_user(self.user),
            self.bindir / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-E",
            "UTF8",
        ]
        secret = self.sockets / "initdb.password"
        self._write(secret, self.settings.passwords.postgres.encode() + b"\n")
        try:
            run(
                [
                    *command,
                    *builtin,
                    "--locale=C.UTF-8",
                    "--data-checksums",
                    "--auth=scram-sha-256",
                    f"--pwfile={secret}",
                ]
            )
        finally:
            secret.unlink()
        log.info("Created the database files.", data=str(data))

    def _write_configuration(self, data: Path) -> None:
        tls = self.settings.tls
        if tls:
            for source, name in (
                (tls.certificate, "server.pem"),
                (tls.key, "server.key"),
                (tls.ca, "ca.pem"),
            ):
                self._write(data / name, source.read_bytes())
        self._write(data / "postgresql.conf", configuration(self.settings, self.sockets).encode())
        self._write(data / "pg_hba.conf", host_access(self.settings).encode())

    def _write(self, path: Path, content: bytes) -> None:
        """Replace a file of the database user, readable by it alone."""
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
        if self.user:
            shutil.chown(part, self.user, pwd.getpwnam(self.user).pw_gid)
        part.replace(path)

    def _admin(self) -> psycopg.Connection:
        try:
            return psycopg.connect(self.conninfo("postgres", "postgres"), autocommit=True)
        except psycopg.OperationalError as refused:
            raise ServerFailed(str(refused)) from refused

    def _role(self, connection: psycopg.Connection, role: str, options: str) -> None:
        password = getattr(self.settings.passwords, role)
        # Hashed here, so that no log of statements can show it.
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        found = connection.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
        verb = "alter" if found else "create"
        connection.execute(
            sql.SQL(f"{verb} role {{}} {options} password {{}}").format(
                sql.Identifier(role), sql.Literal(verifier.decode())
            )
        )

    def _database(self, connection: psycopg.Connection, name: str) -> None:
        if not connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
            connection.execute(sql.SQL("create database {0} owner {0}").format(sql.Identifier(name)))


def configuration(settings: ServerSettings, sockets: Path) -> str:
    """The text of postgresql.conf."""
    lines = {
        **PARAMETERS,
        "listen_addresses": ",".join(settings.listen),
        "port": str(settings.port),
        "unix_socket_directories": str(sockets.absolute()),
        "max_slot_wal_keep_size": settings.wal_keep,
    }
    if settings.tls:
        lines |= {"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
        lines |= {"ssl_ca_file": "ca.pem", "ssl_min_protocol_version": "TLSv1.3"}
    lines |= settings.parameters
    return "".join(f"{name} = '{_quoted(value)}'\n" for name, value in lines.items())


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def host_access(settings: ServerSettings) -> str:
    """The text of pg_hba.conf: own roles from this machine, the peer's link by TLS; nothing else."""
    databases = (("vm", "vm"), ("edge", "edge"), ("all", "postgres"))
    ways = ("local {} {}", "host {} {} 127.0.0.0/8", "host {} {} ::1/128", "host {} {} samehost")
    rules = [way.format(*pair) + " scram-sha-256" for pair in databases for way in ways]
    if settings.tls:
        rules += [f"hostssl vm vmrepl {net} scram-sha-256 clientcert=verify-ca" for net in settings.peers]
    return "\n".join(rules) + "\n"


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is `folder`: PostgreSQL's all work in their data folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:  # it ended, or belongs to somebody else
            continue
    return found


def _kill(pid: int, ending: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, ending)


def _wait_gone(folder: Path, timeout: float) -> None:
    ends = time.monotonic() + timeout
    while processes_in(folder) and time.monotonic() < ends:
        time.sleep(0.05)
