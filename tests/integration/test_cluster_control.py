"""The node's control socket."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from voicemail import control
from voicemail.config import Config, parse
from voicemail.errors import NodeUnreachable, VoicemailError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = parse(f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{tmp_path}"\n')
    made.run_directory.mkdir()
    return made


async def answer(asked: dict[str, Any]) -> dict[str, Any]:
    if asked["command"] == "fail":
        raise VoicemailError("it cannot be done")
    return {"asked": asked}


@pytest.fixture
async def serving(config: Config) -> AsyncIterator[Config]:
    server = await control.serve(config, answer)
    yield config
    server.close()


async def test_a_question_is_answered(serving: Config) -> None:
    got = await asyncio.to_thread(control.ask, serving, "status", why="so")
    assert got == {"asked": {"command": "status", "why": "so"}}


async def test_a_refusal_is_told_in_its_own_words(serving: Config) -> None:
    with pytest.raises(VoicemailError, match="^it cannot be done$"):
        await asyncio.to_thread(control.ask, serving, "fail")


async def test_only_the_owner_may_connect(serving: Config) -> None:
    assert control.path_of(serving).stat().st_mode & 0o777 == 0o600


async def test_a_socket_that_a_crash_left_behind_is_replaced(config: Config) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(control.path_of(config)))
    with pytest.raises(NodeUnreachable, match="vm1 does not answer"):
        await asyncio.to_thread(control.ask, config, "status")
    server = await control.serve(config, answer)
    assert await asyncio.to_thread(control.ask, config, "status")
    server.close()


async def test_nobody_there_is_told(config: Config) -> None:
    with pytest.raises(NodeUnreachable, match="vm1 does not answer"):
        control.ask(config, "status")


@pytest.mark.parametrize("junk", [b"\n", b"x\n", b"[]\n", b"{}\n", b"7\n", b"\xff\n", b"[" * 60000 + b"\n"])
async def test_nonsense_is_answered_with_an_error(junk: bytes, serving: Config) -> None:
    reader, writer = await asyncio.open_unix_connection(control.path_of(serving))
    writer.write(junk)
    assert "error" in json.loads(await asyncio.wait_for(reader.readline(), 5))
    writer.close()


@pytest.mark.parametrize("junk", [b"", b"x" * 70000 + b"\n"])
async def test_a_line_that_is_none_ends_the_connection(
    junk: bytes, serving: Config, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_unix_connection(control.path_of(serving))
    writer.write(junk)
    writer.write_eof()
    await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert not [record for record in caplog.records if record.name == "asyncio"]
