"""How the Primary's process asks a worker of its own node to call somebody: a socket beside the control
socket, which only the node's own user may open. One JSON line asks, one answers:

    {"user": "<id>", "number": "0171…", "item": "<id>"}        {"ended": "reached", "text": ""}

The worker answers as soon as it is known how the call went; a user who has signed in by then goes on talking
to it. Who asked and goes away before that has the call ended.
"""

import asyncio
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self
from uuid import UUID

from voicemail.config import Config
from voicemail.errors import VoicemailError

LONGEST_LINE = 4096


class Ended(StrEnum):
    """How a call went."""

    REACHED = "reached"
    """Answered, by somebody who knows the PIN."""
    BUSY = "busy"
    NO_ANSWER = "no answer"
    NO_PIN = "no PIN"
    """Answered, but nobody signed in: a machine, or somebody else."""
    REFUSED = "refused"
    """By whoever was to be called."""
    NOT_ALLOWED = "not allowed"
    """The user's table of restrictions does not let it be dialled."""
    NO_PORT = "no port"
    """Nobody here can call at the moment."""


@dataclass(frozen=True, slots=True)
class Order:
    """Whom to call, where, and for which piece of work."""

    user: UUID
    number: str
    item: UUID

    @property
    def line(self) -> bytes:
        return (
            json.dumps({"user": str(self.user), "number": self.number, "item": str(self.item)}).encode()
            + b"\n"
        )

    @classmethod
    def read(cls, line: bytes) -> Self:
        """Raises ValueError."""
        try:
            said = json.loads(line)
            return cls(UUID(said["user"]), str(said["number"]), UUID(said["item"]))
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"not an order: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Report:
    """The answer."""

    ended: Ended
    text: str = ""

    @property
    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Self:
        """Raises ValueError."""
        try:
            said = json.loads(line)
            return cls(Ended(said["ended"]), str(said.get("text", "")))
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a report: {error!r}") from None


class NoWorker(VoicemailError):
    """The worker is not there, or went away."""


def path_of(config: Config, slot: int) -> Path:
    """Where the worker of a slot takes orders."""
    return config.run_directory / "calls" / f"{slot}.sock"


async def ask(path: Path, order: Order, patience: float) -> Report:
    """Have a worker call, and wait for how it went. Raises NoWorker, also after `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
            try:
                writer.write(order.line)
                await writer.drain()
                return Report.read(await reader.readline())
            finally:
                writer.close()
    except (OSError, ValueError) as error:
        raise NoWorker(f"{path.name}: {str(error) or 'no answer in time'}") from None
