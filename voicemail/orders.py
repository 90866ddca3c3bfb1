"""What an operator can order of the cluster, as coroutines: the command line and the web pages call them.

Each asks the node of `config`, which does it or hands it to the other one; `server` is the name of a member,
"" for the node of `config`. They return the sentence that says what came of it, once it was seen, and raise
NotConfirmed (nothing was done), NodeUnreachable, or VoicemailError with the node's reason.
"""

import asyncio
from typing import Any

from voicemail import control
from voicemail.config import Config
from voicemail.errors import ClusterError

PATIENCE = 20.0
"""Seconds: longer than a node waits for its peer, which waits to see what it was ordered."""

LONG = 24 * 3600.0
"""Seconds for what copies a database."""

COMPARING = 300.0
"""Seconds for reading all tables."""


class NotConfirmed(ClusterError):
    """It would cost calls. The text asks; order it with `yes` to have it done."""


async def status(config: Config) -> dict[str, Any]:
    """Both servers: {"nodes": [one row for each], "synchronous", "programs"}; see `Node.status`."""
    return await asyncio.to_thread(control.ask, config, "status", patience=PATIENCE, details=True)


async def history(config: Config, server: str = "") -> list[dict[str, Any]]:
    """Changes of a server's status and orders it was given, oldest first."""
    answer = await asyncio.to_thread(control.ask, config, "history", patience=PATIENCE, server=server)
    entries: list[dict[str, Any]] = answer["history"]
    return entries


async def compare(config: Config, audio: bool = False) -> dict[str, Any]:
    """Whether both servers hold the same: {"here", "there": names, "tables": [{"table", "here", "there":
    rows, "equal"}]}. With `audio` every recording is read, which may take minutes."""
    return await asyncio.to_thread(control.ask, config, "compare", patience=COMPARING, audio=audio)


async def make_primary(config: Config, server: str = "") -> str:
    """The Primary becomes Secondary; no call is refused."""
    return await order(config, "make-primary", server)


async def activate(config: Config, server: str = "") -> str:
    """Put a Deactivated server in service again."""
    return await order(config, "activate", server)


async def deactivate(config: Config, server: str = "", yes: bool = False) -> str:
    """Take a Secondary out of service until it is activated; ends its calls."""
    return await order(config, "deactivate", server, yes)


async def stop_taking_calls(config: Config, server: str = "", yes: bool = False) -> str:
    """Refuse new calls until `take_calls`, also after a restart; calls in progress go on."""
    return await order(config, "stop-taking-calls", server, yes)


async def take_calls(config: Config, server: str = "") -> str:
    return await order(config, "take-calls", server)


async def replace_node(config: Config, yes: bool = False) -> dict[str, Any]:
    """Give the other, dead server up for good: {"said", "secret", "address", "port"}; a new server joins
    there with the secret."""
    answer = await asyncio.to_thread(control.ask, config, "replace-node", patience=LONG, yes=yes)
    if "asks" in answer:
        raise NotConfirmed(answer["asks"])
    return answer


async def overwrite_from_peer(config: Config, yes: bool = False) -> str:
    """Make the tables of the node of `config` equal the other one's; takes as long as copying."""
    answer = await asyncio.to_thread(control.ask, config, "overwrite-from-peer", patience=LONG, yes=yes)
    if "asks" in answer:
        raise NotConfirmed(answer["asks"])
    return str(answer["said"])


async def conflicts(config: Config, server: str = "") -> dict[str, Any]:
    """What the database of a server knows: see `supervise/repair.py`."""
    return await asyncio.to_thread(control.ask, config, "conflicts", patience=PATIENCE, server=server)


async def order(config: Config, command: str, server: str = "", yes: bool = False) -> str:
    """Any command that answers with a sentence or a question."""
    answer = await asyncio.to_thread(control.ask, config, command, patience=PATIENCE, server=server, yes=yes)
    if "asks" in answer:
        raise NotConfirmed(answer["asks"])
    return str(answer["said"])


async def calls_in_progress(config: Config, server: str = "") -> int | None:
    """Of a server; None while it is silent."""
    rows = (await asyncio.to_thread(control.ask, config, "status"))["nodes"]
    row = next(row for row in rows if row["name"] == server or (not server and row["here"]))
    busy: int | None = row.get("busy")
    return busy
