"""The node's side of `voicemail cluster compare`: each node works out the digests of its own tables, the one
that was asked puts them side by side. Reads whole tables, in the databases: for operators, not for a timer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from store import compare
from store.compare import COMPARED, Digest
from store.errors import StoreError
from voicemail.errors import ClusterError
from voicemail.supervise.commands import Asked, Commands
from voicemail.supervise.link import Link

PATIENCE = 280.0
"""Seconds for one node's digests; reading every recording takes some."""
LOOKS = 5
PAUSE = 0.5
"""Seconds. A row that is on its way to the other node at one look is there at the next."""


class Comparing:
    """Of the nodes at both ends of `link`."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def register(self, commands: Commands) -> None:
        commands.add("compare", self.compare)
        commands.add("digests", self.digests, addressed=True)

    async def digests(self, asked: Asked) -> dict[str, Any]:
        """{"digests": {table: {"rows", "md5"}}} of this node, of "tables" or all; the recordings themselves
        are read with "audio" only. Raises ClusterError."""
        if not self.link.server:
            raise ClusterError("both servers use one database: there is nothing to compare")
        tables = [table for table in COMPARED if table in (asked.get("tables") or COMPARED)]
        try:
            found = await compare.digests(
                self.link.server.conninfo("postgres"), tables, bool(asked.get("audio"))
            )
        except StoreError as error:
            raise ClusterError(f"the database cannot be read: {error}") from None
        return {"digests": {table: asdict(digest) for table, digest in found.items()}}

    async def compare(self, asked: Asked) -> dict[str, Any]:
        """{"here", "there": names, "tables": [{"table", "here", "there": rows, "equal"}]}. Raises
        ClusterError."""
        membership, audio = self.link.membership, bool(asked.get("audio"))
        if not membership.peer:
            raise ClusterError("no other node has joined the cluster")
        ours: dict[str, Digest] = {}
        theirs: dict[str, Digest] = {}
        for look in range(LOOKS):
            if look:
                await asyncio.sleep(PAUSE)
            tables = [name for name in COMPARED if not look or ours[name] != theirs[name]]
            if tables:
                one, two = await self._both(tables, audio)
                ours |= one
                theirs |= two
        return {
            "here": membership.me.name,
            "there": membership.peer.name,
            "tables": rows(ours, theirs),
        }

    async def _both(self, tables: Sequence[str], audio: bool) -> tuple[dict[str, Digest], dict[str, Digest]]:
        question = {"command": "digests", "tables": list(tables), "audio": audio}
        answers = await asyncio.gather(self.digests(question), self.link.ask(question, PATIENCE))
        return _read(answers[0]), _read(answers[1])


def rows(ours: Mapping[str, Digest], theirs: Mapping[str, Digest]) -> list[dict[str, Any]]:
    """What is shown of each table."""
    return [
        {
            "table": name,
            "here": ours[name].rows,
            "there": theirs[name].rows,
            "equal": ours[name] == theirs[name],
        }
        for name in COMPARED
    ]


def _read(answer: dict[str, Any]) -> dict[str, Digest]:
    return {name: Digest(int(said["rows"]), str(said["md5"])) for name, said in answer["digests"].items()}
