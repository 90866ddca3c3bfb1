"""What an operator can order of this node: the node's side of `voicemail cluster make-primary`, `activate`,
`deactivate`, `stop-taking-calls`, `take-calls` and `history`.

An answer is {"said": sentence} when it was done and seen, or {"asks": question} when it would cost calls:
then nothing was done, and the same order with "yes" does it. A refusal is raised, with what to do instead.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.manager import Manager
from voicemail.cluster.roles import SERVING, Status, answers_calls
from voicemail.errors import ClusterError
from voicemail.secrets import NodeFiles, Orders
from voicemail.supervise.commands import Asked, Commands
from voicemail.supervise.crew import Crew
from voicemail.supervise.gate import Gate
from voicemail.supervise.history import History

log = structlog.get_logger()

PATIENCE = 5.0
"""Seconds until what was ordered must be seen."""
LOOK = 0.05


@dataclass(frozen=True, slots=True)
class Situation:
    """Both servers, as this one knows them."""

    me: str
    mine: KeepAlive
    peer: str = ""
    theirs: KeepAlive | None = None
    """None when the peer is silent, or when there is none."""


def takes_calls(said: KeepAlive | None) -> bool:
    """Whether a call that reaches this server is answered."""
    return said is not None and said.taking_calls and said.status in SERVING


def calls(count: int) -> str:
    return {0: "no call", 1: "1 call"}.get(count, f"{count} calls")


def cost_of_deactivating(now: Situation) -> str:
    """What an operator should know before this node ends all calls; "" for nothing."""
    costs = []
    if now.mine.busy:
        costs.append(f"{calls(now.mine.busy)} in progress on {now.me} will be ended")
    if not takes_calls(now.theirs):
        costs.append("no other server takes calls: callers will be refused")
    return "; ".join(costs)


def cost_of_draining(now: Situation) -> str:
    """The same before this node takes no more calls."""
    if not takes_calls(now.mine) or takes_calls(now.theirs):
        return ""
    return f"{now.me} is the last server that takes calls: all callers will be refused"


def standing(name: str, said: KeepAlive) -> str:
    """One sentence about what a server is."""
    since = time.strftime("%H:%M:%S", time.localtime(said.since))
    return f"{name} is {said.status} since {since}: {said.because}"


class Operator:
    """Does the orders. `look` gives the present situation, `ask` also asks the peer for it: keep-alives are
    up to 0.2 s old, and an operator who drains one server after the other may be faster."""

    def __init__(
        self,
        files: NodeFiles,
        manager: Manager,
        history: History,
        look: Callable[[], Situation],
        ask: Callable[[], Awaitable[Situation]],
    ) -> None:
        self.files, self.manager, self.history, self.look, self.ask = files, manager, history, look, ask
        self.orders = files.orders()
        self.crew: Crew
        self.gate: Gate

    def register(self, commands: Commands, crew: Crew, gate: Gate) -> None:
        """Add the orders to the table of commands; `crew` and `gate` follow them."""
        self.crew, self.gate = crew, gate
        for name, run in {
            "make-primary": self.make_primary,
            "activate": self.activate,
            "deactivate": self.deactivate,
            "stop-taking-calls": self.stop_taking_calls,
            "take-calls": self.take_calls,
            "history": self.show_history,
        }.items():
            commands.add(name, run, addressed=True)

    def keep_deactivated(self, deactivated: bool) -> None:
        """For the manager. Raises OSError."""
        self._keep(replace(self.orders, deactivated=deactivated))

    async def make_primary(self, _: Asked) -> dict[str, Any]:
        self.manager.order_primary(time.monotonic())
        await self._until(lambda: self.manager.status is Status.PRIMARY, "Primary")
        return self._stands()

    async def activate(self, _: Asked) -> dict[str, Any]:
        """A node that needs longer than we wait is Starting, which is no failure."""
        self.manager.activate(time.time())
        self._follow()
        await self._seen(lambda: self.manager.status in SERVING)
        return self._stands()

    async def deactivate(self, asked: Asked) -> dict[str, Any]:
        """Of a node that may be deactivated at all, the cost is asked first."""
        now = await self.ask()
        cost = cost_of_deactivating(now) if self.manager.status is Status.SECONDARY else ""
        if cost and not asked.get("yes"):
            return {"asks": f"{cost}. Deactivate {now.me} all the same?"}
        self.manager.deactivate(time.time())
        self._follow()
        ended = await self._seen(lambda: not self.crew["workers"].running and self.gate.told is False)
        return self._stands(f"{calls(now.mine.busy)} ended" if ended else "its calls are still being ended")

    async def stop_taking_calls(self, asked: Asked) -> dict[str, Any]:
        now = await self.ask()
        cost = cost_of_draining(now)
        if cost and not asked.get("yes"):
            return {"asks": f"{cost}. Stop {now.me} from taking calls all the same?"}
        self._take(False)
        if not await self._seen(lambda: self.gate.told is False):
            return {"said": f"{now.me} is to take no more calls; its edge has not confirmed it yet"}
        return {"said": f"{now.me} takes no more calls; {calls(self.look().mine.busy)} in progress"}

    async def take_calls(self, _: Asked) -> dict[str, Any]:
        self._take(True)
        me, status = self.look().me, self.manager.status
        if not answers_calls(status):
            return {"said": f"{me} takes calls again as soon as it is in service; it is {status}"}
        if not await self._seen(lambda: self.gate.told is True):
            return {"said": f"{me} is to take calls; its edge has not confirmed it yet"}
        return {"said": f"{me} takes calls"}

    async def show_history(self, _: Asked) -> dict[str, Any]:
        return {"history": self.history.entries}

    # ---- within

    def _take(self, taking: bool) -> None:
        if self.orders.taking_calls is not taking:
            try:
                self._keep(replace(self.orders, taking_calls=taking))
            except OSError as error:
                raise ClusterError(f"it cannot be noted on disk: {error.strerror}") from None
            because = f"an operator {'lets it take' if taking else 'stopped it from taking'} calls"
            log.info("An operator's order.", taking_calls=taking)
            status = self.manager.status
            self.history.note(
                at=time.time(), was=status, now=status, because=because, epoch=self.manager.epoch
            )
        self._follow()

    def _keep(self, orders: Orders) -> None:
        self.files.write_orders(orders)
        self.orders = orders

    def _follow(self) -> None:
        self.gate.wake()
        self.crew.wake()

    def _stands(self, more: str = "") -> dict[str, Any]:
        now = self.look()
        return {"said": standing(now.me, now.mine) + (f"; {more}" if more else "")}

    async def _until(self, holds: Callable[[], bool], wanted: str) -> None:
        """Raises ClusterError when it does not come."""
        if not await self._seen(holds):
            now = self.look()
            raise ClusterError(
                f"{now.me} did not become {wanted} within {PATIENCE:g} s; {standing(now.me, now.mine)}"
            )

    async def _seen(self, holds: Callable[[], bool]) -> bool:
        ends = time.monotonic() + PATIENCE
        while not holds() and time.monotonic() < ends:  # noqa: ASYNC110  the beat moves it, ten times a second
            await asyncio.sleep(LOOK)
        return holds()
