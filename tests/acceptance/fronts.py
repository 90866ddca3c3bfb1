"""Callers that know only one name or address of the cluster: by DNS (RFC 3263), by the balancer, or as a
PBX that has both nodes as trunks. A `Call` is everything one caller tries until somebody answers.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from dns.asyncresolver import Resolver

from sip import wav
from tests.acceptance.callers import SPEECH, Attempt, Outcome, Phone
from tests.fakes.sip import Party, Where
from tests.fakes.sip_pool import noise
from voicemail.tour.local import LocalNode

DOMAIN = "vm.example"
Targets = Callable[[], Awaitable[list[Where]]]
numbers = itertools.count(494000000)


@dataclass
class Call:
    """One caller's way to an answer."""

    way: str
    began: float
    """Monotonic."""
    tries: list[Outcome] = field(default_factory=list)

    @property
    def answered(self) -> float | None:
        """Seconds from the first INVITE to the 200, over all tries; None: nobody answered."""
        last = self.tries[-1]
        return last.began - self.began + last.answered if last.answered else None

    @property
    def end(self) -> str:
        return self.tries[-1].end

    @property
    def numbers(self) -> set[str]:
        return {each.number for each in self.tries}


class Names:
    """A SIP client's look-ups at one name server: NAPTR, then SRV by priority and weight, then addresses."""

    def __init__(self, server: Where, domain: str = DOMAIN) -> None:
        self.domain = domain
        self.resolver = Resolver(configure=False)
        self.resolver.nameservers, self.resolver.port = [server[0]], server[1]

    async def targets(self) -> list[Where]:
        """Where to send an INVITE by UDP, in the order of RFC 2782."""
        naptrs = await self.resolver.resolve(self.domain, "NAPTR")
        udp = min(
            (n for n in naptrs if n.service == b"SIP+D2U" and n.flags == b"s"),
            key=lambda n: (n.order, n.preference),
        )
        found = []
        for srv in (await self.resolver.resolve(udp.replacement, "SRV")).rrset.processing_order():
            for address in await self.resolver.resolve(srv.target, "A"):
                found.append((address.address, srv.port))
        return found


class Remembering:
    """Targets with those last that were silent less than `seconds` ago, as many phones have it."""

    def __init__(self, targets: Targets, seconds: float) -> None:
        self.ask, self.seconds = targets, seconds
        self.silent: dict[Where, float] = {}

    async def targets(self) -> list[Where]:
        now = time.monotonic()
        return sorted(await self.ask(), key=lambda where: now - self.silent.get(where, -1e9) < self.seconds)


class Trunks:
    """A PBX's list of trunks: always in this order, without those that did not answer the last OPTIONS."""

    def __init__(self, places: list[Where], every: float = 2.0) -> None:
        self.places, self.every = places, every
        self.up = dict.fromkeys(places, True)

    async def targets(self) -> list[Where]:
        return [place for place in self.places if self.up[place]] or self.places

    async def qualify(self) -> None:
        """Ask all of them, again and again."""
        await asyncio.gather(*(self._qualify(place) for place in self.places))

    async def _qualify(self, place: Where) -> None:
        async with await Party.open() as asker:
            while True:
                self.up[place] = await self._answers(asker, place)
                await asyncio.sleep(self.every)

    async def _answers(self, asker: Party, place: Where) -> bool:
        with suppress(TimeoutError):
            uri = f"sip:{place[0]}:{place[1]}"
            return (await asker.request("OPTIONS", uri, place, seconds=1.0)).code == 200
        return False


class Crowd:
    """Makes calls by one way, evenly over time, until told to stop."""

    def __init__(
        self, way: str, targets: Targets, mailboxes: tuple[str, ...], memory: Remembering | None = None
    ) -> None:
        self.way, self.targets, self.mailboxes, self.memory = way, targets, mailboxes, memory
        self.speech = wav.samples_ulaw(wav.parse(noise(SPEECH, 7)))
        self.calls: list[Call] = []

    async def until(self, stop: asyncio.Event, per_second: float) -> None:
        """Returns when the last call has ended."""
        tasks = []
        while not stop.is_set():
            tasks.append(asyncio.create_task(self.one()))
            await asyncio.sleep(1 / per_second)
        await asyncio.gather(*tasks)

    async def one(self) -> Call:
        call = Call(self.way, time.monotonic())
        mailbox = self.mailboxes[len(self.calls) % len(self.mailboxes)]
        self.calls.append(call)
        for target in await self.targets():
            outcome = Outcome(str(next(numbers)), "refused", began=time.monotonic())
            call.tries.append(outcome)
            async with await Phone.open(user=outcome.number) as phone:
                await Attempt(phone, target, mailbox, outcome).run(self.speech)
            if outcome.answered:
                break
            if self.memory and outcome.why == "no answer":
                self.memory.silent[target] = time.monotonic()
        return call


@asynccontextmanager
async def drained(node: LocalNode) -> AsyncIterator[None]:
    """An operator has it take no new calls meanwhile."""
    await node.command("cluster", "stop-taking-calls")
    try:
        yield
    finally:
        await node.command("cluster", "take-calls")


def row(calls: Iterable[Call], lost: int = 0) -> dict[str, str | int]:
    """Figures of these calls; times are in seconds from the first INVITE to the 200."""
    chosen = list(calls)
    waits = sorted(call.answered for call in chosen if call.answered is not None)
    return {
        "calls": len(chosen),
        "p50": f"{statistics.median(waits):.3f}" if waits else "-",
        "p99": f"{waits[int(0.99 * (len(waits) - 1) + 0.5)]:.2f}" if waits else "-",
        "max": f"{waits[-1]:.2f}" if waits else "-",
        "> 0.5 s": sum(wait > 0.5 for wait in waits),
        "unanswered": len(chosen) - len(waits),
        "cut": sum(call.end == "cut" for call in chosen),
        "confirmed": sum(call.end == "confirmed" for call in chosen),
        "lost": lost,
    }
