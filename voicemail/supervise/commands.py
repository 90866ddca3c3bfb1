"""The commands a node answers: a table of names and coroutines, to which each part adds its own.

A command of the table that is `addressed` is done by the server it names: by this node, or by the other one,
which is asked over the cluster port. A question of the other node is never passed on.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from voicemail.errors import ClusterError, VoicemailError
from voicemail.secrets import Membership

Asked = dict[str, Any]
Run = Callable[[Asked], Awaitable[dict[str, Any]]]


class Command(NamedTuple):
    run: Run
    """Takes the question (its "command" and whatever came with it), gives the answer; raises
    VoicemailError for a refusal, in words for a person."""
    addressed: bool
    """It may name a "server"; only such a command may come from the other node."""


class Commands:
    """The table. `answer` serves the control socket, `answer_peer` the cluster port."""

    def __init__(self, membership: Callable[[], Membership], ask_peer: Run) -> None:
        self._membership, self._ask_peer = membership, ask_peer
        self._table: dict[str, Command] = {}

    def add(self, name: str, run: Run, *, addressed: bool = False) -> None:
        """Register a command."""
        assert name not in self._table, name
        self._table[name] = Command(run, addressed)

    async def answer(self, asked: Asked) -> dict[str, Any]:
        """Raises VoicemailError, KeyError."""
        command = self._find(asked["command"])
        if command.addressed and self._is_of_the_other(str(asked.get("server") or "")):
            return await self._ask_peer(asked)
        return await command.run(asked)

    async def answer_peer(self, asked: Asked) -> dict[str, Any]:
        """Raises VoicemailError, KeyError."""
        command = self._find(asked["command"])
        if not command.addressed:
            raise ClusterError(f"{asked['command']} can be ordered only on the server itself")
        return await command.run(asked)

    def _find(self, name: Any) -> Command:
        if command := self._table.get(str(name)):
            return command
        raise VoicemailError(f"there is no command {name!r}")

    def _is_of_the_other(self, server: str) -> bool:
        """Whether `server` is the other node's name. Raises ClusterError for a name that none has."""
        membership = self._membership()
        names = [member.name for member in membership.members]
        if server and server not in names:
            raise ClusterError(f"there is no server {server!r}; the cluster has {' and '.join(names)}")
        return server not in ("", membership.me.name)
