"""Talks to a running edge: JSON-RPC 2.0 in datagrams over the Unix socket in its run directory."""

import asyncio
import contextlib
import itertools
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sip.edge import CONTROL_SOCKET
from sip.errors import EdgeFailed

LONGEST_ANSWER = 65535
RELOAD = 10.0
"""Seconds that reading accounts may take; 20,000 took 0.2 to 0.7 s."""
STATISTICS = ("script:", "tmx:", "shmem:")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Destination:
    """A worker or the peer's edge, as the dispatcher sees it."""

    uri: str
    peer: bool
    active: bool
    """Takes calls: it answered the last OPTIONS, and no call found it silent since."""


class EdgeControl:
    """A client of one edge. Every method raises EdgeFailed, with `retry`, when nobody answers within
    `timeout` seconds. Nothing is kept open, so the edge may be started again at any time."""

    def __init__(self, run_directory: Path, timeout: float = 1.0) -> None:
        self._path = run_directory / CONTROL_SOCKET
        self._timeout = timeout
        self._numbers = itertools.count(1)

    async def set_serving(self, serving: bool) -> None:
        """Take calls, or answer OPTIONS, new calls and new subscriptions with 503. Calls in progress
        go on either way. An edge that is started again begins with `EdgeSettings.serving`."""
        await self._ask("cfg.set_now_int", "edge", "serving", int(serving))
        log.info("the edge takes calls" if serving else "the edge takes no more calls", path=str(self._path))

    async def serving(self) -> bool:
        """Whether calls are taken."""
        answer = await self._ask("cfg.get", "edge", "serving")
        return int(answer["value"] if isinstance(answer, dict) else answer) == 1

    async def statistics(self) -> dict[str, int]:
        """Counters since the start by name: script.calls, script.next_worker, script.to_peer,
        script.all_busy, script.not_serving, script.refused, script.too_fast, and Kamailio's own."""
        answer = await self._ask("stats.fetch", *STATISTICS)
        return {name: int(value) for name, value in answer.items()}

    async def destinations(self) -> tuple[Destination, ...]:
        """Own workers in their order, then the peer's edge."""
        answer = await self._ask("dispatcher.list")
        sets = [record["SET"] for record in answer["RECORDS"]]
        found = [_destination(one["ID"], target["DEST"]) for one in sets for target in one["TARGETS"]]
        return tuple(sorted(reversed(found), key=lambda destination: destination.peer))

    async def reload(self) -> None:
        """Read dispatcher.list and address.list again, after `sip.edge.write`. Other settings need a
        start of the edge."""
        await self._ask("dispatcher.reload")
        await self._ask("permissions.addressReload")

    async def reload_accounts(self) -> None:
        """Read the accounts of phones again, after `sip.accounts.write`."""
        await self._ask("htable.reload", "accounts", timeout=RELOAD)

    async def _ask(self, method: str, *parameters: str | int, timeout: float = 0.0) -> Any:
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        try:
            async with asyncio.timeout(timeout or self._timeout):
                answer = json.loads(await self._exchange(json.dumps(request).encode()))
        except (OSError, TimeoutError, ValueError) as failure:
            raise EdgeFailed(f"the edge does not answer {method}: {failure!r}", retry=True) from None
        if "error" in answer:
            raise EdgeFailed(f"the edge refuses {method}: {answer['error'].get('message')}")
        return answer["result"]

    async def _exchange(self, request: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ours:
            ours.setblocking(False)
            ours.bind("")  # an address of the kernel's choice, without a file to clean up
            ours.connect(str(self._path))
            await loop.sock_sendall(ours, request)
            return await loop.sock_recv(ours, LONGEST_ANSWER)


def _destination(group: int, target: dict[str, Any]) -> Destination:
    return Destination(uri=target["URI"], peer=group == 2, active=target["FLAGS"][0] in "AT")
