"""One question to the other node, over the cluster port: a connection of mutual TLS that carries one JSON
line each way instead of keep-alives.

It serves operators: `voicemail cluster deactivate vm2`, typed on vm1, is done by vm2. A question has a
"command", a keep-alive has none. Whoever shows the certificate of a node may give that node's orders to
the other; nobody else may ask anything.
"""

import asyncio
import json
import os
import ssl
from typing import Any

from voicemail.cluster.certificates import client_context, common_name, node_name
from voicemail.control import Answer, answered, line
from voicemail.errors import ClusterError
from voicemail.secrets import Member, NodeFiles

PATIENCE = 12.0
"""Seconds until the answer must be there: a command waits 5 s for what it ordered to be seen, and an
order that ends calls waits a little longer."""
CONNECT = 2.0
LONGEST = 2**20
"""Bytes of an answer."""


class PeerUnreachable(ClusterError):
    """The other node does not answer on its cluster port."""

    retry = True


def question_of(first: bytes) -> dict[str, Any] | None:
    """The question in a connection's first line; None when it is a keep-alive, or nothing."""
    try:
        asked = json.loads(first)
    except (ValueError, RecursionError):
        return None
    return asked if isinstance(asked, dict) and "command" in asked else None


async def reply(writer: asyncio.StreamWriter, asked: dict[str, Any], answer: Answer) -> None:
    """Answer the question; the connection ends after it."""
    writer.write(line(await answered(asked, answer)))
    await writer.drain()


async def ask(
    files: NodeFiles, peer: Member, asked: dict[str, Any], patience: float = PATIENCE
) -> dict[str, Any]:
    """The peer's answer. Raises PeerUnreachable, and ClusterError with the peer's own words when it
    refuses. `patience` in seconds, from the connection to the answer."""
    try:
        async with asyncio.timeout(patience):
            said = await _exchange(client_context(files), peer, line(asked))
    except TimeoutError:
        raise _silent(peer, patience) from None
    except (OSError, ssl.SSLError, ValueError) as error:
        raise PeerUnreachable(f"{peer.name} does not answer at {_at(peer)}: {_why(error)}") from None
    if "error" in said:
        raise ClusterError(str(said["error"]))
    return said


async def _exchange(context: ssl.SSLContext, peer: Member, question: bytes) -> dict[str, Any]:
    try:
        async with asyncio.timeout(CONNECT):
            reader, writer = await asyncio.open_connection(
                peer.address, peer.cluster_port, ssl=context, limit=LONGEST
            )
    except TimeoutError:
        raise _silent(peer, CONNECT) from None
    try:
        if (name := common_name(writer.get_extra_info("peercert"))) != node_name(peer.number):
            raise ValueError(f"it is {name!r}")
        writer.write(question)
        await writer.drain()
        said = await reader.readline()
    finally:
        writer.close()
    if not said:
        raise ValueError("it closed the connection without an answer (is it an older version?)")
    answer = json.loads(said)
    if not isinstance(answer, dict):
        raise ValueError("its answer makes no sense")
    return answer


def _silent(peer: Member, seconds: float) -> PeerUnreachable:
    return PeerUnreachable(f"{peer.name} does not answer at {_at(peer)} within {seconds:g} s")


def _why(error: Exception) -> str:
    """asyncio's own words for a refused connection tell nobody anything."""
    number = error.errno if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    return os.strerror(number) if number and number > 0 else str(error)


def _at(peer: Member) -> str:
    return f"{peer.address}:{peer.cluster_port}"
