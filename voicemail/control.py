"""The node's control socket: one JSON line asked, one answered. Only the node's owner may connect."""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from voicemail.config import Config
from voicemail.errors import NodeUnreachable, VoicemailError

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
LONGEST = 2**20
"""Bytes of an answer that are read."""
PATIENCE = 5.0
"""Seconds within which a question must come, and within which a client wants its answer by default."""


def line(content: dict[str, Any]) -> bytes:
    """One JSON object as a line."""
    return json.dumps(content).encode() + b"\n"


def path_of(config: Config) -> Path:
    return config.run_directory / "control.sock"


async def serve(config: Config, answer: Answer) -> asyncio.Server:
    """Answer requests until closed. A VoicemailError becomes {"error": text}."""
    return await serve_at(path_of(config), answer)


async def serve_at(path: Path, answer: Answer) -> asyncio.Server:
    """The same on any socket. Raises OSError."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                asked = await reader.readline()
            writer.write(line(await _answered(asked, answer)))
            await writer.drain()
        except (OSError, ValueError):
            pass  # gone, silent, or no line
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(client, path)
    finally:
        os.umask(before)


async def _answered(asked: bytes, answer: Answer) -> dict[str, Any]:
    try:
        request = json.loads(asked)
    except (ValueError, RecursionError) as error:
        return {"error": str(error)}
    return await answered(request, answer)


async def answered(asked: Any, answer: Answer) -> dict[str, Any]:
    """What `answer` gives; what it raises about the question becomes {"error": text}."""
    try:
        if not isinstance(asked, dict):
            raise ValueError("not a request")
        return await answer(asked)
    except KeyError as error:
        return {"error": f"the request lacks {error}"}
    except (VoicemailError, ValueError, RecursionError) as error:
        return {"error": str(error)}


async def ask_at(path: Path, who: str, asked: dict[str, Any], patience: float = PATIENCE) -> dict[str, Any]:
    """Ask the process behind a socket, without blocking. `who` it is goes into what is raised:
    NodeUnreachable, and VoicemailError with its own words."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST)
            try:
                writer.write(line(asked))
                answer = json.loads(await reader.readline())
            finally:
                writer.close()
    except TimeoutError:
        raise NodeUnreachable(f"{who} does not answer within {patience:g} s") from None
    except (OSError, ValueError) as error:
        raise NodeUnreachable(f"{who} does not answer at {path}: {error}") from None
    if not isinstance(answer, dict):
        raise NodeUnreachable(f"the answer of {who} makes no sense")
    if "error" in answer:
        raise VoicemailError(str(answer["error"]))
    return answer


def ask(config: Config, command: str, *, patience: float = PATIENCE, **arguments: Any) -> dict[str, Any]:
    """Ask the node of this configuration, waiting for `patience` seconds. Raises NodeUnreachable,
    VoicemailError with the node's own words."""
    path = path_of(config)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(patience)
            connection.connect(str(path))
            connection.sendall(line({"command": command, **arguments}))
            said = connection.makefile("rb").readline()
        if not said:
            raise ValueError("it closed the connection")
        answer: dict[str, Any] = json.loads(said)
    except (OSError, ValueError) as error:
        raise NodeUnreachable(f"the node {config.node.name} does not answer at {path}: {error}") from None
    if "error" in answer:
        raise VoicemailError(answer["error"])
    return answer
