"""A real PostgreSQL of the tests' own, and databases copied from a template.

with running_server() as server: ...                 # any test module or script
async def test_x(store_dsn): ...                     # tests/integration/conftest.py
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from store.schema import upgrade
from store.server import STOP_FAST, STOP_NOW, Passwords, PostgresServer, ServerSettings

PASSWORDS = Passwords(postgres="test-super", vm="test-vm", vmrepl="test-repl", edge="test-edge")
USER = "voicemail"
FAST = {"fsync": "off", "shared_buffers": "16MB", "max_connections": "100", "max_wal_size": "512MB"}
"""A test server outlives kill -9, not a power cut."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ensure_user() -> None:
    """Root needs a system user for PostgreSQL; create it once."""
    if os.geteuid() == 0:
        with suppress(KeyError):
            pwd.getpwnam(USER)
            return
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        subprocess.run([*command, USER], check=True)


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder that the database user may pass through (pytest's tmp_path is 0700), with a short name."""
    folder = Path(tempfile.mkdtemp(prefix="vmpg", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class RunningServer(PostgresServer):
    """A PostgresServer with its process, started and stopped by the test.

    Role vm may enter every database, since tests have databases of their own.
    """

    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Prepare, start and wait until it takes connections. Output goes to log.txt beside the data."""
        self.prepare()
        with open(self.settings.data / "pg_hba.conf", "a") as access:
            access.write("host all vm 127.0.0.0/8 scram-sha-256\n")
        with open(self.settings.data.parent / "log.txt", "ab") as out:
            self.process = subprocess.Popen(
                self.argv(), env=self.environment(), stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd="/"
            )
        self.wait_ready()

    def stop(self, how: int = STOP_FAST) -> None:
        """End it (SIGINT fast, SIGQUIT immediate, SIGKILL crash) and wait for it."""
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(STOP_NOW)
            self.process.wait(20)
        self.process = None


@contextmanager
def running_server(**changes: object) -> Iterator[RunningServer]:
    """A fresh server with roles and databases vm and edge, gone afterwards.

    `changes` replaces fields of ServerSettings.
    """
    ensure_user()
    with server_folder() as folder:
        settings = ServerSettings(folder / "data", free_port(), PASSWORDS, parameters=FAST)
        server = RunningServer(replace(settings, **changes))  # type: ignore[arg-type]
        try:
            server.start()
            server.bootstrap()
            yield server
        finally:
            server.stop()
            server.clear_leftovers()


def with_template(server: RunningServer) -> None:
    """Give the server's database `vm` the schema; it serves as a template from now on."""
    upgrade(server.conninfo())


@contextmanager
def copied_database(server: RunningServer, template: str = "vm") -> Iterator[str]:
    """The conninfo (role vm) of a fresh copy of the template, dropped afterwards."""
    name = f"vm_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.conninfo("postgres", "postgres"), autocommit=True) as admin:
        admin.execute(f"create database {name} template {template} owner vm")
        admin.execute(f"alter database {name} set synchronous_commit = local")
        try:
            yield make_conninfo(server.conninfo(), dbname=name)
        finally:
            admin.execute(f"drop database {name} with (force)")
