"""What the outside sees of a Primary that dies: lamps; and how users are called who are told by telephone.

    .venv/bin/python tests/bench/outside.py lamps --rounds 9 --phones 200
    .venv/bin/python tests/bench/outside.py calls --rounds 3

Two real nodes by the administrator's commands, all on loopback and gone afterwards. `lamps`: every mailbox
has a lamp at the PBX and a phone SUBSCRIBEd at each edge; in each round something of the Primary's node is
killed, messages come and are heard at that very moment, and phones whose edge is dead turn to the other one.
`calls`: the first telephone rings until it is given up, the second is answered. It prints figures, and ends
with an error when a lamp is wrong after 5 s or was ever told what never was, a SUBSCRIBE is not answered
within a second, or the next telephone does not ring.
"""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import structlog

from sip import wav
from sip.mwi import parse
from sip.parse import parse_uri
from sip.settings import EngineSettings
from sip.softphone import Softphone
from store.ids import uuid7
from store.model import Counts, Folder, Mark, NewMessage, User
from tests.acceptance import scene
from tests.acceptance.lamps import AT_ONCE, Lamp, Shown
from tests.acceptance.scene import Scene
from tests.acceptance.telling import may_be_called, telephones
from voicemail.tour.local import LocalCluster, LocalNode
from voicemail.tour.tour import Tour

SOUND = wav.file_ulaw(bytes(range(256)) * 32)
LATEST = 5.0
"""Seconds after which every lamp must be as its mailbox is."""
CHANGED = 10
"""Mailboxes that get a message, and that hear one, in each round."""
VICTIMS = ("node", "services", "database")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("lamps", "calls"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--phones", type=int, default=200, help="mailboxes with a phone at each edge")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


@asynccontextmanager
async def two_nodes(home: Path) -> AsyncIterator[Scene]:
    trunk_port, call_port = scene.free_port(), scene.free_port()
    more = (
        '[[trunk]]\nname = "pbx"\naddresses = ["127.0.0.1"]\n'
        f'lamp_uri = "sip:{{extension}}@127.0.0.1:{trunk_port}"\n'
        f'[notify]\ncall_uri = "sip:{{number}}@127.0.0.1:{call_port}"\n'
    )
    plan = scene.plan(home, workers=2, more=more)
    async with AsyncExitStack() as stack:
        cluster = LocalCluster(plan, note)
        stack.push_async_callback(cluster.stop)
        await cluster.start()
        tour = Tour(cluster, home, home / "mails")
        await tour.open(stack, trunk_port)
        yield Scene(cluster, tour, 0, call_port)


# ---- lamps


class Board:
    """The lamps of the PBX."""

    def __init__(self, pbx: Softphone) -> None:
        self._pbx, self._read = pbx, 0
        self._shows: dict[str, Shown] = {}

    def shows(self) -> dict[str, Shown]:
        """By extension: what each was told last."""
        for notify in self._pbx.notifies[self._read :]:
            said = parse(notify.body)
            self._shows[parse_uri(notify.message.uri).user] = said.new, said.old
        self._read = len(self._pbx.notifies)
        return self._shows


class Round:
    """One kill. `truth`: by extension, what its lamp showed before and must show afterwards."""

    def __init__(self, two: Scene, board: Board, people: Sequence[User], chance: random.Random) -> None:
        self.two, self.board, self.people, self.chance = two, board, people, chance
        self.victim = ""

    async def truth(self, node: LocalNode) -> dict[str, Shown]:
        messages = self.two.tour.stores[node.number - 1].messages
        some = asyncio.Semaphore(4)

        async def counted(user: User) -> Counts:
            async with some:
                return await messages.counts(user.id)

        counts = await asyncio.gather(*map(counted, self.people))
        return {user.extension: (c.new, c.old) for user, c in zip(self.people, counts, strict=True)}

    async def right(self, node: LocalNode, lamps: Iterable[Lamp], began: float, within: float) -> float:
        """Seconds since `began` (monotonic) until all of these, and the PBX's, are as this node's store has
        them."""
        wanted = await self.truth(node)
        while wrong := self.wrong(wanted, lamps):
            if time.monotonic() - began > within:
                what = f"{wrong[:5]} of {len(wrong)}"
                raise AssertionError(f"{self.victim} killed: wrong after {within:.1f} s: {what}")
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    def wrong(self, wanted: dict[str, Shown], lamps: Iterable[Lamp]) -> list[str]:
        pbx, away = self.board.shows(), [each for each in lamps if each.shows != wanted[each.extension]]
        told = [f"{each.extension} at vm{each.node.number} shows {each.shows}" for each in away]
        return told + [f"{each} at the PBX" for each, shown in wanted.items() if pbx.get(each) != shown]

    async def kill(self, node: LocalNode) -> None:
        if self.victim == "node":
            await node.kill()
            return
        pids = scene.duties(node) if self.victim == "services" else scene.postmaster(node)
        scene.send(pids, signal.SIGKILL)

    async def change(self, node: LocalNode) -> None:
        """Messages come, and others are heard."""
        messages = self.two.tour.stores[node.number - 1].messages
        chosen = self.chance.sample(list(self.people), 2 * CHANGED)
        for user in chosen[:CHANGED]:
            await messages.deposit(NewMessage(uuid7(), user.id, "4930555", "", datetime.now(UTC), 1.0), SOUND)
        for user in chosen[CHANGED:]:
            for each in (await messages.listing(user.id, Folder.NEW))[:1]:
                await messages.mark(each.id, Mark.READ)

    async def run(self, victim: str, phones: dict[int, list[Lamp]]) -> dict[str, float]:
        """`phones` by the node at which they are; figures in seconds."""
        self.victim = victim
        primary, other = await self.two.primary()
        had = await self.truth(other)
        began = time.monotonic()
        await self.kill(primary)
        await self.change(other)
        living = phones[other.number] + (phones[primary.number] if victim != "node" else [])
        if victim == "database":  # what it holds can be told when it is there again
            await self.two.cluster.in_service(60)
            began = time.monotonic()
        figures = {"right": await self.right(other, living, began, LATEST)}
        now = await self.truth(other)
        told = {extension: {had[extension], now[extension]} for extension in now}
        if victim == "node":
            moved = await subscribed(other, self.people)
            await self.right(other, moved, time.monotonic(), 0.2)
            figures["answered"] = max(lamp.first for lamp in moved)
            for lamp in moved:
                lamp.close()
            await primary.start()
        await self.two.cluster.in_service(60)
        figures["healed"] = await self.right(other, phones[primary.number], time.monotonic(), LATEST)
        for lamp in (*phones[1], *phones[2]):
            assert lamp.told <= told[lamp.extension], f"{lamp.extension} was told {lamp.told}"
            lamp.forget()
        await self.two.settled()
        return figures


async def subscribed(node: LocalNode, people: Iterable[User]) -> list[Lamp]:
    """All at one node, twenty at a time; each must be answered within a second."""
    some = asyncio.Semaphore(20)

    async def one(user: User) -> Lamp:
        async with some:
            return await Lamp(user.extension, node).subscribe()

    return await asyncio.gather(*map(one, people))


async def lamps(two: Scene, chosen: argparse.Namespace) -> None:
    people = [User(uuid7(), str(70000 + number), f"User {number}") for number in range(chosen.phones)]
    for user in people:
        await two.tour.stores[0].users.add(user)
    await two.settled()
    chance, board = random.Random(chosen.seed), Board(two.tour.pbx)
    await asyncio.sleep(5.0)  # new users have lamps after 2 s
    phones = {node.number: await subscribed(node, people) for node in two.cluster.nodes}
    first = max(lamp.first for each in phones.values() for lamp in each)
    print(f"{2 * len(people)} SUBSCRIBEs, no messages: each answered within {1000 * first:.0f} ms")
    assert first < AT_ONCE
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(chosen.rounds):
        victim = VICTIMS[number % len(VICTIMS)]
        note(f"round {number + 1}: the Primary's {victim}")
        found.setdefault(victim, []).append(await Round(two, board, people, chance).run(victim, phones))
    for victim, figures in found.items():
        said = {name: sorted(each[name] for each in figures) for name in figures[0]}
        print(
            f"killed: the Primary's {victim}, {len(figures)} times; seconds, shortest and longest: "
            + "; ".join(f"{name} {times[0]:.2f}-{times[-1]:.2f}" for name, times in said.items())
        )


# ---- calls to users


async def calls(two: Scene, chosen: argparse.Namespace) -> None:
    settings = EngineSettings(
        sip_address="127.0.0.1", sip_port=two.call_port, rtp_address="127.0.0.1",
        rtp_port=two.cluster.plan.rtp - 300,
    )  # fmt: skip
    async with Softphone(settings, answers=False) as pbx:
        for number in range(chosen.rounds):
            person = await two.person(str(71000 + number))
            await may_be_called(two, person)
            await telephones(two, person, "01711", "01712")
            await asyncio.sleep(3.0)
            message = NewMessage(uuid7(), person.id, "4930555", "", datetime.now(UTC), 1.0)
            await two.tour.stores[0].messages.deposit(message, SOUND)
            began = time.monotonic()
            unanswered = await pbx.ring(20)
            rang = time.monotonic()
            code = await unanswered.ended(90)
            over = time.monotonic()
            call = await pbx.ring(10)
            then = time.monotonic()
            await call.reply(200)
            await call.answered()
            await call.hang_up()
            print(
                f"rings {rang - began:.2f} s after the deposit; given up after {over - rang:.1f} s ({code}); "
                f"the next telephone rings {then - over:.2f} s later"
            )


def note(what: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {what}", file=sys.stderr)


async def main() -> None:
    chosen = options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    home = Path(tempfile.mkdtemp(prefix="outside-", dir="/tmp"))
    try:
        async with two_nodes(home) as two:
            await {"lamps": lamps, "calls": calls}[chosen.what](two, chosen)
    except BaseException:
        note(f"kept for a look: {home}")
        raise
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
