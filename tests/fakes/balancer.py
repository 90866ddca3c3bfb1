"""A real balancer (Kamailio) and a real name server (dnsmasq) of the tests' own, in front of edges."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.fakes.sip import Party, Where
from voicemail.deploy import balancer


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process group of its own, killed in the end."""
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


@contextmanager
def folder_of(files: Mapping[str, str]) -> Iterator[Path]:
    """A directory with these files, gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="vmfront", dir="/tmp"))
    try:
        for name, text in files.items():
            (folder / name).write_text(text)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def running_balancer(made: balancer.Balancer) -> AsyncIterator[Where]:
    """Where it listens, once an edge answers it. Logs are shown when it does not come up."""
    with folder_of({}) as folder:
        for name, text in balancer.render(made, folder).items():
            (folder / name).write_text(text)
        where = str(folder)
        command = ["kamailio", "-DD", "-E", "-m", "64", "-f", f"{where}/kamailio.cfg"]
        command += ["-P", f"{where}/pid", "-Y", where, "-w", where]
        with running(command, folder / "log"):
            try:
                await ready(tuple(made.listen))
            except TimeoutError:
                raise AssertionError((folder / "log").read_text()) from None
            yield tuple(made.listen)


async def ready(where: Where) -> None:
    """Until whoever listens there says that it serves. Raises TimeoutError."""
    async with asyncio.timeout(8), await Party.open() as phone:
        while True:
            with suppress(TimeoutError):
                answer = await phone.request("OPTIONS", f"sip:{where[0]}:{where[1]}", where, seconds=0.1)
                if answer.code == 200:
                    return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running_dnsmasq(text: str, port: int) -> AsyncIterator[None]:
    """A name server on 127.0.0.1 that knows the lines of `text` and nothing else."""
    with folder_of({"conf": text}) as folder:
        command = ["dnsmasq", f"--conf-file={folder}/conf", "--no-daemon", "--no-resolv", "--no-hosts"]
        command += ["--bind-interfaces", "--listen-address=127.0.0.1", f"--port={port}"]
        command += ["--user=root"] if os.geteuid() == 0 else []
        command += [f"--pid-file={folder}/pid"]
        with running(command, folder / "log") as process:
            for _ in range(100):
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                assert process.poll() is None, (folder / "log").read_text()
                await asyncio.sleep(0.02)
            yield
