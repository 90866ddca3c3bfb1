"""Beacons over real datagrams on loopback."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.fakes.cluster import LOOPBACK, until
from tests.fakes.postgres import free_port
from voicemail.cluster.beacon import AGAIN, EVERY, LONGEST, Beacon, Exchange, Voice, key_of
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status
from voicemail.secrets import Member

KEY = key_of("a secret")
USELESS = "A keep-alive by datagram is of no use."


class End:
    """One node: what it heard, and how old the proof of it was."""

    def __init__(self, me: Member, peer: Member, key: bytes = KEY) -> None:
        self.heard: list[KeepAlive] = []
        self.ages: list[float] = []
        voice = Voice(lambda: KeepAlive(me.number, Status.SECONDARY, 1))
        self.exchange = Exchange(me, peer, key, voice, self._hears)

    def _hears(self, said: KeepAlive, proof: float) -> None:
        self.heard.append(said)
        self.ages.append(time.monotonic() - proof)

    @asynccontextmanager
    async def talks(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.exchange.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)  # its socket closes


@pytest.fixture
def members() -> tuple[Member, Member]:
    one, two = (Member(number, f"vm{number}", LOOPBACK, free_port(), 0, 0) for number in (1, 2))
    return one, two


def throw(datagram: bytes, to: Member) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(datagram, (to.address, to.cluster_port))


async def test_two_nodes_hear_each_other_one_starting_before_the_other(
    members: tuple[Member, Member],
) -> None:
    one, two = End(*members), End(*reversed(members))
    async with one.talks():
        await asyncio.sleep(3 * EVERY)  # nobody is there, which the system tells by ICMP
        async with two.talks():
            await until(lambda: len(one.heard) >= 10 and len(two.heard) >= 10)
    assert {said.number for said in one.heard} == {2} and {said.number for said in two.heard} == {1}
    beats = [said.beat for said in one.heard]
    assert beats == sorted(set(beats))
    assert 0.0 < min(one.ages) < 0.5


async def test_a_node_that_starts_again_is_heard_again(members: tuple[Member, Member]) -> None:
    one = End(*members)
    async with one.talks():
        for life in range(2):
            two = End(*reversed(members))
            async with two.talks():
                run = two.exchange.voice.run
                await until(lambda run=run: any(said.run == run for said in one.heard))
            assert life or len({said.run for said in one.heard}) == 1


async def test_rubbish_strangers_and_recordings_change_nothing_and_are_told_of_once(
    members: tuple[Member, Member],
) -> None:
    one, two = End(*members), End(*reversed(members))
    said = KeepAlive(2, Status.PRIMARY, 9, run="x", beat=10**6)
    oneself = replace(said, number=1)
    with capture_logs() as logs:
        async with one.talks(), two.talks():
            await until(lambda: one.heard)
            for _ in range(20):
                throw(b"", members[0])
                throw(b"\0" * (LONGEST + 1), members[0])
                throw(Beacon(said).datagram(key_of("another")), members[0])
                throw(Beacon(oneself).datagram(KEY), members[0])
                throw(Beacon(said, ("of old", 3)).datagram(KEY), members[0])
            before = len(one.heard)
            await until(lambda: len(one.heard) >= before + 5)
    assert {(said.number, said.epoch) for said in one.heard} == {(2, 1)}
    whys = sorted(line["why"] for line in logs if line["event"] == USELESS)
    assert whys == [
        "refused: it is not of this cluster",
        "refused: it is of node 1",
        "refused: its length is wrong",
    ], logs


async def test_a_port_that_is_taken_is_told_of_once_and_used_when_it_is_free(
    members: tuple[Member, Member],
) -> None:
    one, two = End(*members), End(*reversed(members))
    async with AsyncExitStack() as all_:
        with capture_logs() as logs:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind((LOOPBACK, members[0].cluster_port))
                for end in (one, two):
                    await all_.enter_async_context(end.talks())
                await asyncio.sleep(2.5 * AGAIN)
            await until(lambda: one.heard and two.heard)
    assert [
        "in use" in line["why"] for line in logs if line["event"] == USELESS and "sent" in line["why"]
    ] == [True], logs
