"""One cluster under callers, and the faults that befall it one after the other."""

import asyncio
import email
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from uuid import UUID

from sip import wav
from store.api import Store
from store.errors import StoreError
from store.ids import uuid7
from store.model import User
from tests.acceptance import scene
from tests.acceptance.callers import Outcome
from tests.bench.lamps import Lamps
from tests.chaos import changes, figures, net, nodes
from tests.chaos.crowd import Crowd, longest_gap, longest_wait, unanswered, whys
from tests.chaos.faults import Fault, Stage
from tests.chaos.figures import FIVE, Row, Window
from tests.chaos.sipp import Sipp
from tests.fakes.sip_pool import noise
from voicemail.errors import ClusterError
from voicemail.sink import Sink

BUSY = tuple(str(number) for number in range(2001, 2011))
"""Mailboxes that are called; each message is announced by mail."""
HEARD = 1.3
"""Seconds of speech that make a message: with some loss at its ends."""
IN_PROGRESS = 5.0
"""Seconds that a call lasts, about."""
HEALED = 60.0
"""Seconds after which a cluster that is not well again is called broken."""


class Trial:
    """`async with Trial(...) as trial`, then `befall` for each fault, then `close`."""

    def __init__(
        self, seed: int, folder: Path, network: net.Network, workers: int, rate: float, sipp: float,
        tell: Callable[[str], None], clocks: bool = False,
    ) -> None:  # fmt: skip
        self.seed, self.folder, self.network, self.workers, self.rate = seed, folder, network, workers, rate
        self.sipp_rate, self.sipps, self.sipp_calls = sipp, list[Sipp](), list[Outcome]()
        self.clocks, self.tell, self.random = clocks, tell, random.Random(seed)
        self.rows: list[Row] = []
        self.windows: list[Window] = []
        self.faults: list[Fault] = []
        self.lamps, self.users, self.quiet = Lamps(), dict[str, UUID](), list[UUID]()
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self.read: set[Path] = set()
        self.given_twice: set[str] = set()
        """Extensions that both sides gave to somebody."""
        self.clock = time.time() - time.monotonic()

    async def __aenter__(self) -> "Trial":
        async with AsyncExitStack() as stack:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: self.lamps, (net.CALLERS, 0))
            stack.callback(transport.close)
            self.sink = await stack.enter_async_context(Sink(self.folder / "mails", net.CALLERS))
            self.cluster = nodes.make(
                self.folder,
                self.network,
                self.workers,
                self.lamps.port,
                self.sink.port,
                self.tell,
                self.clocks,
            )
            stack.callback(self.cluster.unmount)
            stack.push_async_callback(self.kill)
            await self.cluster.start()
            self.stores: tuple[Store, ...] = tuple(
                [await stack.enter_async_context(node.store()) for node in self.cluster.nodes]
            )
            await self._add_users()
            first, second = self.cluster.nodes
            self.crowd = Crowd((first.where, second.where), BUSY, net.CALLERS)
            self.load = asyncio.create_task(self.crowd.stream(self.rate))
            stack.callback(self.load.cancel)
            for node in self.cluster.nodes if self.sipp_rate else ():
                sipp = Sipp(
                    self.folder / f"sipp-{node.number}", node, self.cluster.plan.pilot, self.sipp_rate
                )
                await stack.enter_async_context(sipp.calling(BUSY, self.crowd.speech))
                self.sipps.append(sipp)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def kill(self) -> None:
        """No order is needed: what counts has been counted."""
        for node in self.cluster.nodes:
            if node.process and node.process.returncode is None:
                await node.kill()

    async def _add_users(self) -> None:
        greeting = noise(0.5, 99)
        assert wav.is_sound(greeting)
        for extension in BUSY:
            address = f"{extension}@example.com"
            user = User(uuid7(), extension, f"User {extension}", address, attach=False)
            await self.stores[0].users.add(user)
            await self.stores[0].users.set_greeting(user.id, greeting)
            self.users[extension] = user.id
        self.quiet = await changes.make(self.stores[0], noise(1.0, 5))
        for extension, user_id in zip(changes.QUIET, self.quiet, strict=True):
            self.users[extension] = user_id
        await scene.seen("the users on both nodes", self.alike, 10)

    # ---- a fault

    async def befall(self, fault: Fault, primary: bool) -> Row:
        """To the Primary, or to the other. Gives the row without what only the end can tell."""
        target, other = await self.calm(HEALED)
        if not primary:
            target, other = other, target
        stage = Stage(self.cluster, self.network, target, other)
        await asyncio.sleep(self.random.uniform(0.5, 2.5))
        who = (
            "both" if fault.both_down or fault.splits and fault.name != "deaf node" else f"vm{target.number}"
        )
        row = Row(
            self.seed, fault.name, f"{who} {'Primary' if primary else 'Second.'}" if who != "both" else who
        )
        sides = [
            changes.Changes(store, n, self.random.randrange(1 << 30), self.quiet, noise(1.0, 5))
            for n, store in enumerate(self.stores, 1)
        ]
        self.tell(f"{fault.name}: {row.target}")
        start = time.monotonic()
        writing = [asyncio.create_task(side.run()) for side in sides]
        try:
            await fault.start(stage)
            await asyncio.sleep(fault.hold)
        finally:
            await fault.heal(stage)
            for task in writing:
                task.cancel()
        healed = time.monotonic()
        await asyncio.gather(*writing, return_exceptions=True)
        self.given_twice |= sides[0].gave & sides[1].gave
        await self._after(row, fault, target.number, start, healed)
        self.rows.append(row)
        self.faults.append(fault)
        return row

    async def _after(self, row: Row, fault: Fault, target: int, start: float, healed: float) -> None:
        lamps = asyncio.create_task(self._lamps_after(healed))
        try:
            primary, _ = await self.calm(HEALED)
            if fault.splits and fault.moves and primary.number != 1:
                row.wrong.append("the publisher is not Primary")
            await scene.seen("both nodes hold the same", self.alike, HEALED)
        except (ClusterError, AssertionError) as error:
            row.wrong.append(str(error))
        row.equal = time.monotonic() - healed
        dark = await lamps
        row.lamps_wrong = len(dark)
        row.wrong += dark
        end = time.monotonic()
        deaf = net.address(target) if fault.deaf else ""
        self.windows.append(Window(start, healed, end, deaf))
        row.new_primary = figures.new_primary(self.changes(), start + self.clock, end + self.clock)
        row.changes = sum(start <= c.at - self.clock <= end for c in self.changes())
        if fault.unnoticed and row.changes:
            row.wrong.append(f"{row.changes} changes of status, for nothing")
        each = Counter(c.node for c in self.changes() if start <= c.at - self.clock <= end)
        if fault.most is not None and max(each.values(), default=0) > fault.most:
            row.wrong.append(f"the nodes changed their status {dict(each)} times")
        trusting = fault.name == "kill node" or not any(earlier.alarms for earlier in self.faults)
        if fault.moves and trusting and row.target.endswith("Primary") and row.new_primary is None:
            row.wrong.append("the other node did not become Primary")

    async def _lamps_after(self, healed: float) -> list[str]:
        """Which lamps are wrong so long after the heal. Called mailboxes may be a call behind."""
        await asyncio.sleep(max(0.0, healed + FIVE - 2.0 - time.monotonic()))
        before = await self._new()
        await asyncio.sleep(max(0.0, healed + FIVE - time.monotonic()))
        shown = {e: seen[-1][1] for e, seen in self.lamps.lit.items() if seen}
        after = await self._new()
        wrong = []
        for extension in self.users:
            low, high = sorted((before.get(extension, 0), after.get(extension, 0)))
            if not low <= shown.get(extension, 0) <= high:
                wrong.append(f"lamp of {extension} shows {shown.get(extension, 0)}, not {low} to {high}")
        return wrong

    async def _new(self) -> dict[str, int]:
        """New messages of each mailbox; the most that either node knows of."""
        found: dict[str, int] = {}
        for store in self.stores:
            with suppress(StoreError):
                for extension, user in self.users.items():
                    new = (await store.messages.counts(user)).new
                    found[extension] = max(found.get(extension, 0), new)
        return found

    # ---- how the cluster is

    async def calm(self, within: float) -> tuple[nodes.NetNode, nodes.NetNode]:
        """Primary and Secondary, once there is one of each and everything runs."""
        ends = time.monotonic() + within
        while True:
            first, second = self.cluster.nodes
            await self.cluster.in_service(max(0.1, ends - time.monotonic()))
            said = [(await node.status()).get("status") for node in self.cluster.nodes]
            if sorted(map(str, said)) == ["Primary", "Secondary"]:
                return (first, second) if said[0] == "Primary" else (second, first)
            if time.monotonic() > ends:
                raise ClusterError(f"after {within:g} s the nodes are {said}")
            await asyncio.sleep(0.05)

    async def alike(self) -> bool:
        """Asked of both at once; with calls coming in, they are equal between two of them."""
        try:
            one, two = await asyncio.gather(*(node.digests() for node in self.cluster.nodes))
        except StoreError:
            return False
        return one == two

    def changes(self) -> list[figures.Change]:
        return [c for node in self.cluster.nodes for c in figures.changes(node.log, node.number)]

    # ---- the end

    async def close(self) -> list[Row]:
        """No more calls; count what is there, and complete the rows."""
        self.crowd.closing.set()
        wrong = await self._last_calls()
        for what, look, within in (
            ("every confirmed message on both nodes", self._arrived, 20.0),
            ("both nodes hold the same", self.alike, 20.0),
            ("the same derived state on both", self._same_listings, 5.0),
            ("extensions given twice listed as conflicts", self._conflicts_told, 5.0),
            ("a mail of each message", self._mailed, 30.0),
            ("each lamp right", self._lamps_right, 5.0),
        ):
            try:
                await scene.seen(what, look, within)
            except (AssertionError, StoreError) as error:
                wrong.append(str(error))
        held = [await self.held(store) for store in self.stores]
        await self._mailed()
        following = [*(window.start for window in self.windows[1:]), float("inf")]
        for row, window, fault, until in zip(self.rows, self.windows, self.faults, following, strict=True):
            self._complete(row, window, until, held)
            row.wrong += self._judge(row, fault)
        self.tell(f"extensions given twice: {len(self.given_twice)}")
        self.tell(f"how calls ended: {dict(Counter(f'{o.end}: {o.why}' for o in self.crowd.outcomes))}")
        if self.rows:
            self.rows[-1].wrong += wrong
        return self.rows

    async def _last_calls(self) -> list[str]:
        """Until all have ended. Gives what is wrong with SIPp."""
        ended = await asyncio.gather(*(sipp.stop() for sipp in self.sipps), self.load)
        self.sipp_calls = [call for sipp in self.sipps for call in sipp.outcomes(self.clock)]
        self.tell(f"how SIPp's calls ended: {dict(Counter(f'{o.end}: {o.why}' for o in self.sipp_calls))}")
        wrong = [why for why in ended if why]
        if self.sipps and not any(call.end == "confirmed" for call in self.sipp_calls):
            wrong.append("no call of SIPp was confirmed")
        return wrong

    def _complete(self, row: Row, window: Window, until: float, held: list[Counter[str]]) -> None:
        """`until`: when the next fault began, which calls in progress then count for."""
        crowd, start, end = self.crowd, window.start, window.end
        inside = crowd.between(start, end)
        sipps = [o for o in self.sipp_calls if start <= o.began < end]
        row.gaps = (
            longest_gap(crowd.attempts(1, start, end), end),
            longest_gap(crowd.attempts(2, start, end), end),
        )
        row.wait, row.callers = longest_wait(inside), len(inside)
        row.unanswered = len(unanswered(inside))
        row.refused = sum(whys(inside).values())
        row.sipp_refused = sum(o.end == "refused" for o in sipps)
        first, last = start - IN_PROGRESS, until - IN_PROGRESS
        outcomes = [o for c in crowd.between(first, last) for _, o in c.attempts]
        outcomes += [o for o in self.sipp_calls if first <= o.began < last]
        confirmed = [
            o.number
            for o in outcomes
            if o.end == "confirmed" and figures.heard(self.windows, o.spoke, o.media[0]) > HEARD
        ]
        row.confirmed = len([o for c in inside for _, o in c.attempts if o.end == "confirmed"])
        row.sipp = sum(o.end == "confirmed" for o in sipps)
        row.lost = figures.lost(confirmed, held)
        row.doubled = figures.doubled((o.number for o in outcomes), held)
        row.twice, row.more = figures.repeats(self.arrivals, start + self.clock, end + self.clock)

    def _judge(self, row: Row, fault: Fault) -> list[str]:
        outcomes = {o.number: o for o in self._all_calls()}
        wrong = [f"lost: {outcomes[number]}" for number in row.lost]
        wrong += [f"doubled: {outcomes[number]}" for number in row.doubled]
        if fault.splits and row.refused:
            wrong.append(f"{row.refused} calls were not answered although both edges were within reach")
        if fault.splits and row.sipp_refused:
            wrong.append(
                f"{row.sipp_refused} calls of SIPp were not answered though its edge was within reach"
            )
        if row.unanswered and not fault.both_down and not fault.lossy:
            wrong.append(f"{row.unanswered} callers were answered by neither edge")
        if row.more:
            wrong.append(f"{row.more} mails came three times")
        return wrong

    def _all_calls(self) -> list[Outcome]:
        return self.crowd.outcomes + self.sipp_calls

    async def held(self, store: Store) -> Counter[str]:
        """Messages by caller."""
        return Counter(
            [m.caller for extension in BUSY for m in await store.messages.listing(self.users[extension])]
        )

    async def _arrived(self) -> bool:
        """What was confirmed last, too; what a fault swallowed is told with the fault."""
        held = [await self.held(store) for store in self.stores]
        ended = max((window.end for window in self.windows), default=0.0)
        late = {o.number for o in self._all_calls() if o.end == "confirmed" and o.began > ended}
        return not figures.lost(late, held)

    async def _same_listings(self) -> bool:
        listings = [
            [sorted(map(repr, await store.messages.listing(user))) for user in self.users.values()]
            for store in self.stores
        ]
        people = [[repr(user) for user in await store.users.all()] for store in self.stores]
        return listings[0] == listings[1] and people[0] == people[1]

    async def _conflicts_told(self) -> bool:
        """By the administrator's command, on both nodes; no more and no fewer."""
        for node in self.cluster.nodes:
            (said,) = json.loads(await node.command("cluster", "conflicts", "--json"))
            if {one["extension"] for one in said["shared"]} != self.given_twice:
                return False
        return True

    async def _mailed(self) -> bool:
        """Also notes when each mail came."""
        for path in self.sink.mails():
            if path not in self.read:
                self.read.add(path)
                mail = email.message_from_bytes(path.read_bytes())
                self.arrivals[str(mail["Message-ID"])].append(path.stat().st_mtime)
        return len(self.arrivals) >= sum((await self.held(self.stores[0])).values())

    async def _lamps_right(self) -> bool:
        shown = {e: seen[-1][1] for e, seen in self.lamps.lit.items() if seen}
        return all(shown.get(e, 0) == new for e, new in (await self._new()).items())
