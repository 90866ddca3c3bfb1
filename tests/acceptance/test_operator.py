"""What operators order of either server: the Primary moves, a server is drained, deactivated, activated."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.acceptance import scene
from tests.acceptance.callers import Callers
from tests.acceptance.scene import Scene
from tests.fakes.sip import Message, Party
from tests.fakes.sip_pool import noise
from voicemail import orders
from voicemail.errors import ClusterError, VoicemailError
from voicemail.orders import NotConfirmed
from voicemail.tour.local import LocalNode
from voicemail.tour.tour import SPEECH, Listening, prompt

pytestmark = pytest.mark.asyncio(loop_scope="session")
MAILBOX, GREETING = "4301", noise(0.5, 99)


@pytest_asyncio.fixture(loop_scope="session")
async def pbx() -> AsyncIterator[Party]:
    async with await Party.open() as party:
        yield party


def name(node: LocalNode) -> str:
    return node.config.node.name


async def answers(pbx: Party, node: LocalNode) -> tuple[Message, Message]:
    """What OPTIONS and a new call get; the call is ended at once."""
    where = (node.config.node.address, node.config.sip.port)
    ping = await pbx.request("OPTIONS", f"sip:{node.edge}", where)
    call, dialog = await pbx.call(f"sip:{MAILBOX}@{node.edge}", where)
    if dialog:
        await dialog.request("BYE")
    return ping, call


async def codes(pbx: Party, node: LocalNode) -> list[tuple[int, str]]:
    """The codes of both, with their Retry-After."""
    return [(answer.code, answer.get("Retry-After")) for answer in await answers(pbx, node)]


REFUSES, TAKES = [(503, "5"), (503, "5")], [(200, ""), (200, "")]


async def recording(two: Scene, node: LocalNode) -> Listening:
    """A call in which the caller may speak now."""
    await two.person(MAILBOX, greeting=GREETING)
    heard = await two.tour.forwarded(node, MAILBOX)
    await heard.call.press("#")
    await heard.hear("tone")
    return heard


async def made_primary(node: LocalNode, at: LocalNode) -> float:
    """Make `node` Primary by an order given at `at`; seconds until both show it."""
    began = time.monotonic()
    said = await orders.make_primary(at.config, name(node))
    took = time.monotonic() - began
    assert said.startswith(f"{name(node)} is Primary since ") and said.endswith("an operator made it Primary")
    return took


async def test_the_primary_moves_at_an_order_and_no_call_is_refused(two: Scene) -> None:
    person = await two.person(MAILBOX, greeting=GREETING)
    await two.settled()
    primary, other = await two.primary()
    before = len((await two.messages(person))[0])
    edges = tuple(("127.0.0.1", node.config.sip.port) for node in two.cluster.nodes)
    callers = Callers((edges[0], edges[1]), (MAILBOX,))
    flood = asyncio.create_task(callers.flood(24, 5.0))
    await asyncio.sleep(1.0)
    there = await made_primary(other, at=primary)
    assert await two.roles() == ["Primary", "Secondary"]
    await asyncio.sleep(1.0)
    back = await made_primary(primary, at=primary)
    with pytest.raises(VoicemailError, match=f"{name(primary)} is Primary already"):
        await orders.make_primary(other.config, name(primary))
    await flood
    assert callers.counts() == {"confirmed": 24}
    assert max(there, back) < 2.0

    async def all_there() -> bool:
        return [len(listing) for listing in await two.messages(person)] == 2 * [before + 24]

    await scene.seen("all messages on both nodes", all_there, 10)
    print(f"Primary moved in {there:.2f} s, and back in {back:.2f} s, under calls")


async def test_a_drained_server_refuses_new_calls_and_lets_the_others_finish(two: Scene, pbx: Party) -> None:
    await two.settled()
    node, other = two.first, two.second
    heard = await recording(two, node)
    said = await orders.stop_taking_calls(other.config, name(node))
    assert said == f"{name(node)} takes no more calls; 1 call in progress"
    assert await codes(pbx, node) == REFUSES
    assert await codes(pbx, other) == TAKES
    with pytest.raises(NotConfirmed, match=f"{name(other)} is the last server that takes calls"):
        await orders.stop_taking_calls(node.config, name(other))
    waiting = asyncio.create_task(node.command("cluster", "stop-taking-calls", "--wait"))
    await heard.call.say(prompt(SPEECH))
    assert not heard.call.code and not waiting.done()
    await heard.call.hang_up()
    lines = (await waiting).splitlines()
    assert lines[1:] == ["calls in progress: 1", "no call in progress"]
    shown = await other.command("cluster", "status")
    assert "no (operator)" in shown and f"0 of {4 * two.cluster.plan.workers} ports" in shown
    assert await orders.take_calls(other.config, name(node)) == f"{name(node)} takes calls"
    assert await codes(pbx, node) == TAKES


async def test_a_primary_is_not_deactivated_but_told_what_to_do_instead(two: Scene) -> None:
    await two.settled()
    primary, other = await two.primary()
    with pytest.raises(ClusterError, match=f"make {name(other)} Primary first"):
        await primary.command("cluster", "deactivate", "--yes")
    with pytest.raises(VoicemailError, match="there is no server 'vm7'; the cluster has vm1 and vm2"):
        await orders.make_primary(primary.config, "vm7")


async def test_a_server_is_deactivated_and_stays_so_over_a_restart(two: Scene, pbx: Party) -> None:
    await two.settled()
    primary, node = await two.primary()
    heard = await recording(two, node)
    person = two.people[MAILBOX]
    known = await two.tour.known(person)
    speaking = asyncio.create_task(heard.call.say(prompt(SPEECH)))
    await asyncio.sleep(2.0)
    with pytest.raises(NotConfirmed, match=f"1 call in progress on {name(node)} will be ended"):
        await orders.deactivate(primary.config, name(node))
    assert not heard.call.code
    said = await orders.deactivate(primary.config, name(node), yes=True)
    assert said.startswith(f"{name(node)} is Deactivated since ") and said.endswith("; 1 call ended")
    await speaking
    assert heard.call.code == 200
    new = [[m for m in listing if m.id not in known] for listing in await two.messages(person)]
    assert [(len(found), found[0].cut_off, found[0].seconds > 1) for found in new] == 2 * [(1, True, True)]

    assert await codes(pbx, node) == REFUSES
    assert await codes(pbx, primary) == TAKES
    assert scene.part(node, "voicemail.worker") == [] and len(scene.postmaster(node)) == 1
    await orders.stop_taking_calls(node.config)
    await node.stop()
    await node.start()

    async def deactivated() -> bool:
        status = await node.status()
        return status.get("status") == "Deactivated" and all(status["programs"].values())

    await scene.seen("still Deactivated", deactivated, 10)
    assert await codes(pbx, node) == REFUSES
    with pytest.raises(VoicemailError, match=f"activate it first .`voicemail cluster activate {name(node)}`"):
        await orders.make_primary(primary.config, name(node))

    began = time.monotonic()
    await orders.activate(primary.config, name(node))
    await two.settled()
    took = time.monotonic() - began
    assert await codes(pbx, node) == REFUSES, "the operator's drain is forgotten"
    await orders.take_calls(node.config)
    assert await codes(pbx, node) == TAKES
    because = [entry["because"] for entry in await orders.history(primary.config, name(node))]
    told = ["operator deactivated it", "stopped it from taking calls", "was started", "operator activated it"]
    since = iter(because)
    assert all(any(part in said for said in since) for part in told), because
    print(f"in service {took:.1f} s after it was activated")
