"""Lamps as they are seen from outside: of phones that SUBSCRIBE at either edge, and of the PBX."""

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from sip.mwi import parse
from sip.parse import Message, parse_uri
from sip.watcher import Watcher
from tests.acceptance import scene
from tests.acceptance.scene import Scene
from voicemail.tour.local import LocalNode

AT_ONCE = 1.0
"""Seconds from a SUBSCRIBE to its first NOTIFY, at most."""
Shown = tuple[int, int]
"""New and old."""


def shown(body: str) -> Shown:
    summary = parse(body)
    return summary.new, summary.old


class Lamp:
    """A phone's, subscribed at one node. `first`: seconds from the SUBSCRIBE to the first NOTIFY."""

    def __init__(self, extension: str, node: LocalNode) -> None:
        self.extension, self.node, self.first = extension, node, 0.0
        self._bodies: list[str] = []
        self._began = 0.0
        self._watcher: Watcher | None = None

    def _notified(self, message: Message) -> None:
        self.first = self.first or time.monotonic() - self._began
        self._bodies.append(message.body)

    async def subscribe(self) -> "Lamp":
        """Answered at once, and told something at once. Raises RequestFailed, AssertionError."""
        self._watcher, self._began = Watcher(self._notified), time.monotonic()
        await self._watcher.subscribe(f"sip:{self.extension}@{self.node.edge}")

        async def told() -> bool:
            return bool(self._bodies)

        await scene.seen(f"the first NOTIFY for {self.extension}", told, AT_ONCE)
        return self

    @property
    def shows(self) -> Shown | None:
        """None as long as it was told nothing."""
        return next((shown(body) for body in reversed(self._bodies) if body), None)

    @property
    def told(self) -> set[Shown]:
        """All that it was told since it was made, or since `forget`."""
        return {shown(body) for body in self._bodies if body}

    def forget(self) -> None:
        """All but what it shows now."""
        del self._bodies[:-1]

    def close(self) -> None:
        if self._watcher:
            self._watcher.close()


def at_pbx(two: Scene, extension: str) -> Shown | None:
    """What the trunk's PBX was told last."""
    wanted = f"mwi-{extension}"
    said = (n.body for n in reversed(two.tour.pbx.notifies) if parse_uri(n.message.uri).user == wanted)
    return next(map(shown, said), None)


async def all_right(two: Scene, lamps: Iterable[Lamp], counts: Mapping[str, Shown], within: float) -> float:
    """Seconds until the PBX and these phones show what they must, by extension."""

    async def look() -> bool:
        pbx = all(at_pbx(two, extension) == wanted for extension, wanted in counts.items())
        return pbx and all(lamp.shows == counts[lamp.extension] for lamp in lamps)

    return await scene.seen("every lamp as its mailbox is", look, within)


@asynccontextmanager
async def subscribed(node: LocalNode, extensions: Iterable[str]) -> AsyncIterator[list[Lamp]]:
    """Phones at one node, each answered at once."""
    lamps = [Lamp(extension, node) for extension in extensions]
    try:
        yield [await lamp.subscribe() for lamp in lamps]
    finally:
        for lamp in lamps:
            lamp.close()
