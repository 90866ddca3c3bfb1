"""The Primary dies, freezes, loses its supervisor, or is stopped during a call: the other goes on."""

import asyncio
import email
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from store.ids import uuid7
from store.model import Mark, NewMessage
from tests.acceptance import lamps, scene
from tests.acceptance.scene import Scene
from voicemail.sink import Sink
from voicemail.tour.tour import SPEECH, prompt

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_other_node_is_primary_soon_after_the_primary_was_killed_and_lamps_are_right(
    two: Scene,
) -> None:
    """A message comes, and another one is heard, in the moment when nobody is Primary."""
    hears, gets, has_none = [await two.person(extension) for extension in ("4003", "4004", "4005")]
    extensions = [person.extension for person in (hears, gets, has_none)]
    await two.settled()
    primary, other = await two.primary()
    store = two.tour.stores[other.number - 1]
    old, new = (
        NewMessage(uuid7(), person.id, "4930555", "", datetime.now(UTC), 3.0) for person in (hears, gets)
    )
    await store.messages.deposit(old, prompt(SPEECH).read_bytes())
    async with AsyncExitStack() as stack:
        dying, living = [
            await stack.enter_async_context(lamps.subscribed(node, extensions)) for node in (primary, other)
        ]
        before = {hears.extension: (1, 0), gets.extension: (0, 0), has_none.extension: (0, 0)}
        await lamps.all_right(two, [*dying, *living], before, 5)
        for lamp in (*living, *dying):
            lamp.forget()

        await primary.kill()
        began = time.monotonic()
        await store.messages.mark(old.id, Mark.READ)
        await store.messages.deposit(new, prompt(SPEECH).read_bytes())
        await two.cluster.until(other, lambda status: status.get("status") == "Primary", 3)
        took = time.monotonic() - began
        after = {hears.extension: (0, 1), gets.extension: (1, 0), has_none.extension: (0, 0)}
        await lamps.all_right(two, living, after, began + 5 - time.monotonic())
        lit = time.monotonic() - began
        moved = await stack.enter_async_context(lamps.subscribed(other, extensions))
        await lamps.all_right(two, moved, after, 0.1)

        await primary.start()
        await two.cluster.in_service()
        back = await lamps.all_right(two, dying, after, 5)
        again = await stack.enter_async_context(lamps.subscribed(primary, extensions))
        await lamps.all_right(two, [*again, *living], after, 0.1)
        healed = await two.settled()
        for lamp in (*living, *dying):
            assert lamp.told <= {before[lamp.extension], after[lamp.extension]}, "a state that never was"
    print(
        f"takeover after kill -9: {1000 * took:.0f} ms, lamps right after {lit:.2f} s; those of phones at "
        f"the killed node {back:.2f} s after it served again; equal after {healed:.1f} s"
    )


async def test_a_primary_that_was_frozen_finds_the_other_in_its_place(two: Scene) -> None:
    person = await two.person("4001", mail="ben@example.com")
    await two.settled()
    primary, other = await two.primary()
    store = two.tour.stores[other.number - 1]
    async with Sink(two.tour.folder / "frozen", port=two.mail_port) as sink:
        async with scene.frozen(scene.tree(primary)):
            began = time.monotonic()
            await two.cluster.until(other, lambda status: status.get("status") == "Primary", 6)
            took = time.monotonic() - began
            for _ in range(3):
                new = NewMessage(uuid7(), person.id, "4930555", "", datetime.now(UTC), 3.0)
                await store.messages.deposit(new, prompt(SPEECH).read_bytes())
            await asyncio.sleep(6 - (time.monotonic() - began))
        both = await both_primary(two, 3.0)
        healed = await two.settled()

        async def all_there() -> bool:
            return len(message_ids(sink)) >= 3

        await scene.seen("three mails", all_there, 20)
        sent = message_ids(sink)
    assert len(sent) == 3, sent
    assert max(sent.values()) <= 2, sent
    assert both < 2.0, f"both were Primary for {both:.1f} s"
    print(
        f"takeover from a frozen node: {took:.2f} s; both Primary for {both:.2f} s after it woke; "
        f"calm after {healed:.1f} s; mails {sorted(sent.values())}"
    )


async def both_primary(two: Scene, during: float) -> float:
    """For how long both nodes said so."""
    began, last = time.monotonic(), 0.0
    while (now := time.monotonic() - began) < during:
        if await two.roles() == ["Primary", "Primary"]:
            last = now
        await asyncio.sleep(0.02)
    return last


def message_ids(sink: Sink) -> Counter[str]:
    mails = [email.message_from_bytes(path.read_bytes()) for path in sink.mails()]
    return Counter(mail["Message-ID"] for mail in mails)


async def test_nothing_of_a_node_outlives_its_supervisor_and_it_starts_again(two: Scene) -> None:
    await two.settled()
    node = two.second
    assert node.process
    pids = scene.tree(node)
    scene.send([node.process.pid], signal.SIGKILL)
    await node.process.wait()
    began = time.monotonic()
    await scene.gone(pids, 8)
    took = time.monotonic() - began
    await node.start()
    healed = await two.settled()
    print(f"{len(pids)} processes gone {took:.2f} s after their supervisor; healed after {healed:.1f} s")


async def test_a_node_that_is_stopped_lets_the_call_in_progress_end(two: Scene) -> None:
    person = await two.person("4002")
    await two.settled()
    node = two.first
    assert node.process
    pids = scene.tree(node)
    heard = await two.tour.forwarded(node, person.extension)
    await heard.call.press("#")
    await heard.hear("tone")
    speaking = asyncio.create_task(heard.call.say(prompt(SPEECH)))
    await asyncio.sleep(1.0)
    node.process.terminate()
    await speaking
    assert not heard.call.code, "the call was ended while the caller spoke"
    await heard.call.hang_up()
    await asyncio.wait_for(node.process.wait(), 40)
    await scene.gone(pids)
    (message,) = await two.tour.stores[1].messages.listing(person.id)
    assert message.seconds > 2.5 and not message.cut_off
    await node.start()
    await two.settled()
    assert [len(listing) for listing in await two.messages(person)] == [1, 1]
