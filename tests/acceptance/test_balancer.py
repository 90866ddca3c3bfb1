"""While callers come by DNS and by a balancer, one node is killed with all its processes, comes back, and
the other one is drained: nobody waits long, everybody is answered, and what was confirmed is kept.
"""

import asyncio
import time
from collections import Counter

import pytest

from tests.acceptance import scene
from tests.acceptance.fronts import DOMAIN, Call, Crowd, Names, drained, row
from tests.acceptance.scene import Scene
from tests.fakes.balancer import running_balancer, running_dnsmasq
from tests.fakes.sip_pool import noise
from voicemail.deploy.balancer import balancer
from voicemail.secrets import NodeFiles
from voicemail.tour.tour import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAILBOXES = tuple(str(number) for number in range(2101, 2106))
PER_SECOND = 2.0
"""Of each way."""
KNOWN = 2.5
"""Seconds after which the balancer knows that an edge is dead: it asks once a second, and waits one."""


async def test_callers_by_dns_or_balancer_are_answered_whatever_becomes_of_one_node(two: Scene) -> None:
    await two.settled()
    people = [await two.person(mailbox, greeting=noise(0.5, 99)) for mailbox in MAILBOXES]
    members = NodeFiles(two.first.config).membership().members
    front = balancer(two.cluster.plan.balancers[0], members)
    printed = await two.first.command("deploy", "dns", "--format", "dnsmasq", "--domain", DOMAIN)
    port, stop, when = scene.free_port(), asyncio.Event(), dict[str, float]()
    async with running_dnsmasq(printed, port), running_balancer(front) as where:

        async def balanced() -> list[tuple[str, int]]:
            return [where]

        names = Names(("127.0.0.1", port))
        by_dns, by_balancer = Crowd("dns", names.targets, MAILBOXES), Crowd("balancer", balanced, MAILBOXES)
        await asyncio.gather(
            by_dns.until(stop, PER_SECOND), by_balancer.until(stop, PER_SECOND), faults(two, stop, when)
        )
    await two.settled()
    calls = [*by_dns.calls, *by_balancer.calls]
    await scene.seen("what was confirmed on both nodes", lambda: kept(two, people, calls), 10)
    had = await held(two, people, 0)
    for crowd in (by_dns, by_balancer):
        for name, chosen in phases(crowd.calls, when).items():
            print(f"{crowd.way:>8}, {name}: {row(chosen)}")
    assert not [caller for caller, count in had.items() if count > 1]
    assert not [call for call in calls if call.answered is None], "somebody was not answered"
    by = phases(by_balancer.calls, when)
    assert max(waits(by_dns.calls)) < 5, "the client's own 2 s, and a moment"
    assert max(waits([*by["killed"], *by["starting"]])) < 3, "1 s, and a moment"
    known = [call for call in by["killed"] if call.began > when["killed"] + KNOWN]
    assert max(waits(known)) < 1, "nobody waits for an edge that is known to be dead"
    assert max(waits([*by["drained"], *phases(by_dns.calls, when)["drained"]])) < 1, "503 is told at once"


async def faults(two: Scene, stop: asyncio.Event, when: dict[str, float]) -> None:
    """Kill vm1, bring it back, drain vm2; `when` each began, monotonic."""
    await asyncio.sleep(2)
    when["killed"] = time.monotonic()
    await two.first.kill()
    await asyncio.sleep(4)
    when["starting"] = time.monotonic()
    await two.first.start()
    await two.cluster.in_service(30)
    when["back"] = time.monotonic()
    await asyncio.sleep(1.5)  # one question of the balancer
    when["drained"] = time.monotonic()
    async with drained(two.second):
        await asyncio.sleep(3)
        stop.set()


def phases(calls: list[Call], when: dict[str, float]) -> dict[str, list[Call]]:
    """The calls by what was going on when they began."""
    found: dict[str, list[Call]] = {"calm": [], **{name: [] for name in when}}
    for call in calls:
        before = [name for name, at in when.items() if at <= call.began]
        found[before[-1] if before else "calm"].append(call)
    return found


def waits(calls: list[Call]) -> list[float]:
    return [call.answered for call in calls if call.answered is not None]


async def held(two: Scene, people: list[Person], index: int) -> Counter[str]:
    """Messages per caller at one node."""
    return Counter([message.caller for person in people for message in (await two.messages(person))[index]])


async def kept(two: Scene, people: list[Person], calls: list[Call]) -> bool:
    confirmed = {each.number for call in calls for each in call.tries if each.end == "confirmed"}
    both = [await held(two, people, index) for index in (0, 1)]
    return all(confirmed <= had.keys() for had in both)
