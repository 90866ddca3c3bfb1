"""The programs of a node, each kept running in the statuses that the table of services gives it.

A status only says what is wanted; `Crew.run` makes it so, whatever was before: it starts keepers and stops
them, and knows no other reason to do either. A program that is not wanted has not failed.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import structlog

from voicemail.cluster.keeper import Keeper
from voicemail.cluster.roles import Status, runs

log = structlog.get_logger()

LOOK = 1.0
"""Seconds between two looks when nobody wakes the crew."""


class Crew:
    """All programs of this node, by the names they have in the table of services. `run` follows `status`
    until cancelled; `stop` ends what is left."""

    def __init__(self, keepers: Mapping[str, Keeper], status: Callable[[], Status]) -> None:
        self.keepers, self.status = keepers, status
        self.kept: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    def __getitem__(self, name: str) -> Keeper:
        return self.keepers[name]

    def wake(self) -> None:
        """The status changed."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            await self.follow()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._wake.wait()

    async def follow(self) -> None:
        """Start what the status wants, stop at once what it does not want."""
        for name in self.keepers:
            if runs(name, self.status()) and name not in self.kept:
                self.kept[name] = asyncio.create_task(self.keepers[name].run())
        unwanted = [name for name in self.kept if not runs(name, self.status())]
        await asyncio.gather(*(self._release(name) for name in unwanted))

    async def _release(self, name: str) -> None:
        log.info("It is stopped: it does not run in this status.", program=name, status=self.status())
        await end_tasks({self.kept[name]})
        await self.keepers[name].stop(at_once=True)
        del self.kept[name]

    def failed(self, names: Iterable[str], now: float) -> bool:
        """Whether one of them is kept, and has been down for longer than a restart takes."""
        return any(name in self.kept and self.keepers[name].failed(now) for name in names)

    def running(self) -> dict[str, bool]:
        """Every program that is wanted, and whether it runs; also one that runs unwanted, being stopped."""
        return {
            name: keeper.running
            for name, keeper in self.keepers.items()
            if runs(name, self.status()) or keeper.running
        }

    async def stop(self) -> None:
        """No new calls and mails, then calls in progress, and the database last."""
        await end_tasks(set(self.kept.values()))
        for name in ("smtp", "primary", "workers", "edge", "presence", "database"):
            if keeper := self.keepers.get(name):
                await keeper.stop()


async def end_tasks(tasks: set[asyncio.Task[None]], again: float = 1.0) -> None:
    """Cancel every `again` seconds until all have ended: a library may swallow the first cancellation,
    and a node that is told to stop must stop."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=again)
        if tasks:
            log.warning(
                "Tasks ignore that they are cancelled.", tasks=[str(task.get_coro()) for task in tasks]
            )
