"""The gate and an edge's control socket: the edge is told what is wanted, however often it hangs or dies."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from sip.edge import CONTROL_SOCKET
from tests.fakes.cluster import until
from voicemail.config import parse
from voicemail.secrets import NodeFiles
from voicemail.supervise.crew import end_tasks
from voicemail.supervise.gate import Gate


class ControlSocket:
    """The part of an edge that the gate talks to. `hangs`: hears, and answers nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / CONTROL_SOCKET
        self.serving: list[bool] = []
        self.hangs = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
            ours.setblocking(False)
            ours.bind(str(self.path))
            while True:
                asked, client = await loop.sock_recvfrom(ours, 65535)
                request = json.loads(asked)
                if not self.hangs:
                    self.serving.append(bool(request["params"][2]))
                    answer = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": None})
                    with suppress(OSError):  # whoever asked gave up
                        await loop.sock_sendto(ours, answer.encode(), client)


class House:
    def __init__(self, folder: Path) -> None:
        made = parse(f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{folder}"\n')
        made.run_directory.mkdir()
        self.wanted, self.runs = True, True
        self.edge = ControlSocket(made.run_directory)
        self.gate = Gate(made, NodeFiles(made), lambda: None, lambda: self.wanted, lambda: self.runs)
        self.gate.control._timeout = 0.1
        self.gate.started()

    def want(self, wanted: bool) -> None:
        self.wanted = wanted
        self.gate.wake()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    tasks = {asyncio.create_task(made.edge.run()), asyncio.create_task(made.gate.run())}
    yield made
    await end_tasks(tasks)


async def test_the_edge_is_told_at_once_and_once(house: House) -> None:
    await until(lambda: house.gate.told is True)
    began = asyncio.get_running_loop().time()
    house.want(False)
    await until(lambda: house.gate.told is False)
    assert asyncio.get_running_loop().time() - began < 0.5
    house.gate.wake()
    await asyncio.sleep(0.05)
    assert house.edge.serving == [True, False]


async def test_an_edge_that_hangs_is_told_when_it_answers_again(house: House) -> None:
    await until(lambda: house.gate.told is True)
    house.edge.hangs = True
    house.want(False)
    await asyncio.sleep(0.15)
    assert house.gate.told is True, "it is not believed to have heard"
    house.edge.hangs = False
    await until(lambda: house.gate.told is False)


async def test_an_edge_that_was_started_again_is_told_anew(house: House) -> None:
    house.want(False)
    await until(lambda: house.gate.told is False)
    told = len(house.edge.serving)
    house.gate.started()
    await until(lambda: len(house.edge.serving) > told)
    assert house.edge.serving[-1] is False


async def test_an_edge_that_does_not_run_is_told_when_it_does(house: House) -> None:
    await until(lambda: house.gate.told is True)
    house.runs = False
    house.want(False)
    await asyncio.sleep(0.05)
    assert house.edge.serving == [True]
    house.runs = True
    await until(lambda: house.edge.serving == [True, False])
