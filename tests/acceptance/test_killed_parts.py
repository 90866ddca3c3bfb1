"""While more than two hundred callers leave messages at both edges, each part of either node is killed
in turn with SIGKILL: workers, edges, databases, the Primary's services, and in the end whole nodes.

Whose call was confirmed (a tone, speech, and an answered BYE) has one message on both nodes; whose was
not has one at most.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from sip import wav
from tests.acceptance import scene
from tests.acceptance.callers import Callers, Outcome
from tests.acceptance.scene import Scene
from tests.fakes.sip_pool import noise
from voicemail.tour.tour import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALLS, PER_SECOND = 270, 7.5
MAILBOXES = tuple(str(number) for number in range(2001, 2011))


async def kill_each(two: Scene, events: list[str], killed: dict[int, float]) -> None:
    """One after the other, on the nodes in turn. `killed`: when each whole node was, monotonic."""
    first, second = two.first, two.second
    began = time.monotonic()

    def note(what: str) -> None:
        events.append(f"{time.monotonic() - began:.1f} s {what}")

    single: list[tuple[float, str, Callable[[], list[int]]]] = [
        (2.0, "a worker of vm1", lambda: scene.workers(first)[:1]),
        (1.5, "a worker of vm2", lambda: scene.workers(second)[3:4]),
        (1.5, "the database of vm1", lambda: scene.postmaster(first)),
        (3.0, "the edge of vm2", lambda: scene.edge(second)),
        (2.5, "the Primary's services of vm1", lambda: scene.duties(first)),
        (1.5, "the database of vm2", lambda: scene.postmaster(second)),
        (3.0, "the edge of vm1", lambda: scene.edge(first)),
    ]
    for pause, what, pids in single:
        await asyncio.sleep(pause)
        found = pids()
        assert found, f"{what} is not there"
        scene.send(found, signal.SIGKILL)
        note(f"killed {what}")
    for node in (second, first):
        await asyncio.sleep(2.5)
        killed[node.number] = time.monotonic()
        count = await node.kill()
        note(f"killed vm{node.number}, {count} processes")
        await asyncio.sleep(2.0)
        await node.start()
        await two.cluster.in_service(30)
        note(f"vm{node.number} is in service again")


async def test_every_confirmed_call_is_one_message_on_both_nodes_whatever_is_killed(two: Scene) -> None:
    greeting = noise(0.5, 99)
    assert wav.is_sound(greeting)
    people = [await two.person(extension, greeting=greeting) for extension in MAILBOXES]
    edges = tuple(("127.0.0.1", node.config.sip.port) for node in two.cluster.nodes)
    callers, events, killed = Callers((edges[0], edges[1]), MAILBOXES), list[str](), dict[int, float]()
    await asyncio.gather(callers.flood(CALLS, PER_SECOND), kill_each(two, events, killed))
    healed = await two.settled(30)

    await scene.seen("every confirmed message on both nodes", lambda: arrived(two, people, callers), 20)
    await scene.seen("both nodes hold the same", two.alike, 10)
    for index in (0, 1):
        had = await held(two, people, index)
        report(callers, events, had, healed)
        doubled = {caller: count for caller, count in had.items() if count > 1}
        assert not doubled, f"vm{index + 1} doubled {doubled}"
        cut = cut_off(two, callers, killed)
        assert cut <= had.keys(), f"vm{index + 1} lost what was said by {cut - had.keys()}"
        print(
            f"in the middle of their recording when a node was killed: {len(cut)} callers, all have a message"
        )
    assert callers.counts()["confirmed"] >= 200
    assert not [each for each in callers.outcomes if each.why.startswith("6")], "a 6xx forbids the next try"


def cut_off(two: Scene, callers: Callers, killed: dict[int, float]) -> set[str]:
    """Who had spoken for more than 2.2 s when the node was killed: 1 s at least is on its disk then."""
    plan = two.cluster.plan

    def in_time(outcome: Outcome) -> bool:
        node = 1 + (outcome.media[1] - plan.rtp) // 1200
        began, ended = outcome.spoke
        return began > 0 and began + 2.2 < killed[node] < ended

    return {outcome.number for outcome in callers.outcomes if in_time(outcome)}


async def held(two: Scene, people: list[Person], index: int) -> Counter[str]:
    """Messages per caller at one node."""
    return Counter([message.caller for person in people for message in (await two.messages(person))[index]])


async def arrived(two: Scene, people: list[Person], callers: Callers) -> bool:
    known = [await held(two, people, index) for index in (0, 1)]
    return all(callers.of("confirmed") <= had.keys() for had in known)


def report(callers: Callers, events: list[str], had: Counter[str], healed: float) -> None:
    kinds = Counter(f"{each.end}: {each.why}" for each in callers.outcomes)
    with_message = {end: len(callers.of(end) & had.keys()) for end in ("confirmed", "cut", "refused")}
    answered = sorted(each.answered for each in callers.outcomes if each.answered)
    tones = sorted(each.to_tone for each in callers.outcomes if each.to_tone)
    print("\n".join(["", *events]))
    print(f"calls: {dict(callers.counts())}; with a message: {with_message}; healed after {healed:.1f} s")
    print(f"ends: {dict(kinds)}")
    print(
        "ghosts:",
        [each.number for each in callers.outcomes if each.end != "confirmed" and each.number in had],
    )
    print(f"INVITE to 200: median {answered[len(answered) // 2]:.3f}, worst {answered[-1]:.2f} s")
    print(f"200 to tone: median {tones[len(tones) // 2]:.2f}, worst {tones[-1]:.2f} s")
