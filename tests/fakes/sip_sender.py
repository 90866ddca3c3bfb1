"""A process with a request client: reads requests as lines of JSON, answers with code and headers."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Self

from sip.requests import RequestClient, run_with_engine
from sip.settings import EngineSettings


def record(line: list[Any]) -> None:
    with Path(sys.argv[1]).open("a") as out:
        out.write(json.dumps(line) + "\n")


async def serve(client: RequestClient) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    client.timeout = float(sys.argv[2])
    running = set()

    async def answer(serial: int, arguments: dict[str, Any]) -> None:
        try:
            got = await client.send(**arguments)
            line = [serial, got.code, got.headers]
        except Exception as error:
            line = [serial, 0, [["error", repr(error)]]]
        record(line)

    async for line in reader:
        running.add(asyncio.create_task(answer(*json.loads(line))))


class Sender:
    """Drives such a process."""

    def __init__(self, folder: Path, timeout: float = 8.0) -> None:
        self.out, self.timeout, self.serial, self.read = folder / "answers", timeout, 0, 0
        self.answers: dict[int, tuple[int, dict[str, str]]] = {}

    async def __aenter__(self) -> Self:
        self.out.touch()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fakes.sip_sender", str(self.out), str(self.timeout),
            stdin=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def send(self, method: str, target: str, **more: Any) -> tuple[int, dict[str, str]]:
        """Code and headers (names in lower case) of the answer."""
        self.serial += 1
        serial = self.serial
        assert self.process.stdin is not None
        request = {"method": method, "target": target, **more}
        self.process.stdin.write(json.dumps([serial, request]).encode() + b"\n")
        async with asyncio.timeout(15):
            while not (found := self._answer(serial)):  # noqa: ASYNC110  the other side is a process
                await asyncio.sleep(0.005)
        return found

    def _answer(self, serial: int) -> tuple[int, dict[str, str]] | None:
        with self.out.open() as lines:
            lines.seek(self.read)
            for line in iter(lines.readline, ""):
                if line.endswith("\n"):
                    number, code, headers = json.loads(line)
                    self.answers[number] = code, {name.lower(): value for name, value in headers}
                    self.read = lines.tell()
        return self.answers.get(serial)


if __name__ == "__main__":
    run_with_engine(EngineSettings(identity="sip:vm@vm.example"), serve)
