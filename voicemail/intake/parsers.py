"""The readers of mails as the rest of the program sees them: a path in, an outcome out (parser.py)."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from voicemail.errors import VoicemailError
from voicemail.intake.parser import Bounds
from voicemail.intake.wire import Outcome, unpacked
from voicemail.vpim.model import Unreadable

SPARE = 10.0
"""Seconds beyond a reader's own limit after which the process is given up."""
LINE = 65536
BOUNDS = Bounds()


class ParserDown(VoicemailError):
    """The zygote could not be asked: the mail is not to blame, and is read later."""

    retry = True


class Reader(Protocol):
    """Reads mails. The real one is Parsers."""

    async def parse(self, mail: Path) -> Outcome:
        """What the mail in this file is. A reader that died of it is Unreadable. Raises ParserDown."""


class Parsers:
    """`async with Parsers(folder, 2) as parsers`: so many processes; outcomes pass through `folder`."""

    def __init__(
        self,
        folder: Path,
        processes: int = 1,
        bounds: Bounds = BOUNDS,
        command: Sequence[str] = (sys.executable, "-m", "voicemail.intake.parser"),
    ) -> None:
        self._folder = folder
        self._free: asyncio.Queue[_Zygote] = asyncio.Queue()
        self._all = [_Zygote(folder / f"outcome-{number}", bounds, command) for number in range(processes)]

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(shutil.rmtree, self._folder, True)  # what a crash left
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for zygote in self._all:
            self._free.put_nowait(zygote)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for zygote in self._all:
            await zygote.stop()
        await asyncio.to_thread(shutil.rmtree, self._folder, True)

    async def parse(self, mail: Path) -> Outcome:
        zygote = await self._free.get()
        try:
            return await zygote.parse(mail)
        finally:
            self._free.put_nowait(zygote)


class _Zygote:
    """One process, started at first use and again when it has died."""

    def __init__(self, out: Path, bounds: Bounds, command: Sequence[str]) -> None:
        self._out, self._bounds, self._command = out, bounds, command
        self._process: asyncio.subprocess.Process | None = None

    async def parse(self, mail: Path) -> Outcome:
        try:
            answer = json.loads(await self._asked(mail))
        except (OSError, ValueError) as error:  # TimeoutError among them
            await self.stop()
            raise ParserDown(f"the parser does not answer: {error or 'no answer'}") from None
        except BaseException:
            await self.stop()  # its answer would be taken for that of the next mail
            raise
        if not answer["done"]:
            return Unreadable(answer["why"], "5.3.4")
        return await asyncio.to_thread(self._outcome)

    def _outcome(self) -> Outcome:
        data = self._out.read_bytes()
        self._out.unlink()
        return unpacked(data)

    async def _asked(self, mail: Path) -> bytes:
        process = await self._running()
        assert process.stdin and process.stdout
        asked = {"mail": str(mail), "out": str(self._out), "limits": asdict(self._bounds)}
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        async with asyncio.timeout(self._bounds.wall + SPARE):
            await process.stdin.drain()
            line = await process.stdout.readline()
        if not line:
            raise OSError("it has ended")
        return line

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                limit=LINE,
            )
        return self._process

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
