"""The balancer that `voicemail deploy kamailio-balancer` writes, in front of two real edges whose workers
are plain text; callers go by their own addresses."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from sip.edge import Address
from tests.fakes.balancer import running_balancer
from tests.fakes.edge import PHONE, STRANGER, TRUNK, RunningEdge, Scene, free_port, until
from tests.fakes.sip import Party, TcpPhone, Where, Worker
from voicemail.deploy import balancer

BALANCER = "127.0.0.20"


@dataclass
class Front:
    """A balancer, two edges, and the workers of the first and of the second."""

    scene: Scene
    where: Where
    edges: tuple[RunningEdge, RunningEdge]
    workers: tuple[Worker, ...]

    @property
    def pilot(self) -> tuple[str, Where]:
        return f"sip:1001@{self.where[0]}:{self.where[1]}", self.where


@asynccontextmanager
async def opened(each: int = 1, rate: int = 100) -> AsyncIterator[Front]:
    """With so many workers each, and so many requests a second from one source."""
    async with Scene() as scene:
        listen = Address(BALANCER, free_port(BALANCER))
        workers = await scene.workers(each, capacity=200), await scene.workers(each, capacity=200)
        chosen = {"balancers": (listen,), "retry_after": 7, "requests_per_source_second": rate}
        edges = [await scene.edge(own, **chosen) for own in workers]
        one, two = (edge.settings.listen[0].address for edge in edges)
        async with running_balancer(balancer.Balancer(listen, ((one, 70), (two, 30)))) as where:
            yield Front(scene, where, (edges[0], edges[1]), (*workers[0], *workers[1]))


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with opened() as made:
        yield made


async def timed_calls(phone: Party, front: Front, count: int) -> tuple[list[int], list[float]]:
    codes, waits = [], []
    for _ in range(count):
        began = time.monotonic()
        codes.append((await phone.call(*front.pilot))[0].code)
        waits.append(time.monotonic() - began)
    return codes, waits


async def test_calls_go_both_ways_through_it(front: Front) -> None:
    phone = await front.scene.party()
    for _ in range(3):
        answer, dialog = await phone.call(*front.pilot)
        assert answer.code == 200
        assert len(dialog.routes) == 2, "the balancer and the edge stay in the way"
        assert (await dialog.request("INVITE")).code == 200
        dialog.send("ACK")
    worker = next(worker for worker in front.workers if answer.get("Call-ID") in worker.calls)
    assert (await worker.dialog(answer.get("Call-ID")).request("BYE")).code == 200
    assert len(phone.requests("BYE")) == 1
    assert (await dialog.request("BYE")).code == 200


async def test_calls_are_shared_by_weight() -> None:
    async with opened(each=8) as front:
        codes, _ = await timed_calls(await front.scene.party(), front, 100)
        assert codes == [200] * 100
        taken = [len(worker.calls) for worker in front.workers]
        assert [sum(taken[:8]), sum(taken[8:])] == [70, 30]


async def test_a_phone_on_tcp_is_reached_through_it(front: Front) -> None:
    phone = await TcpPhone.connect(front.where)
    try:
        uri, where = front.pilot
        answer, dialog = await phone.call(f"{uri};transport=tcp", where)
        assert answer.code == 200 and dialog
        worker = next(worker for worker in front.workers if worker.calls)
        assert (await worker.dialog(answer.get("Call-ID")).request("INFO")).code == 200
        assert phone.requests("INFO")
        assert (await dialog.request("BYE")).code == 200
    finally:
        phone.close()


async def test_allow_lists_and_trunks_go_by_the_callers_own_address(front: Front) -> None:
    stranger, trunk = await front.scene.party(STRANGER), await front.scene.party(TRUNK)
    forged = [("X-VM-Source", f"udp:{PHONE}:5060"), ("X-VM-Trunk", "pbx"), ("X-VM-Hop", "1")]
    for headers in ((), forged):
        assert (await stranger.call(*front.pilot, headers))[0].code == 403
    assert not any(worker.calls for worker in front.workers)
    assert (await trunk.call(*front.pilot, forged))[0].code == 200
    (invite,) = (invite for worker in front.workers for invite in worker.calls.values())
    assert invite.all("X-VM-Trunk") == ["pbx"]
    assert invite.all("X-VM-Source") == [f"udp:{TRUNK}:{trunk.address[1]}"]
    assert not invite.all("X-VM-Hop")


async def test_who_calls_too_often_through_it_takes_nothing_from_others() -> None:
    async with opened(rate=3) as front:
        codes, _ = await timed_calls(await front.scene.party(), front, 12)
        assert 503 in codes
        assert (await (await front.scene.party(TRUNK)).call(*front.pilot))[0].code == 200


async def test_nobody_else_is_believed_about_where_a_call_came_from(front: Front) -> None:
    edge = front.edges[0]
    uri = f"sip:1001@{edge.uri}"
    for host in (BALANCER, STRANGER):
        liar = await front.scene.party(host)
        refused, _ = await liar.call(uri, edge.where, [("X-VM-Source", f"udp:{PHONE}:5060")])
        assert refused.code == 403, f"{host} was believed from another port than the balancer's"


async def test_it_relays_to_nobody_but_the_edges(front: Front) -> None:
    phone, victim = await front.scene.party(), await front.scene.party("127.0.0.9")
    there = f"sip:victim@{victim.address[0]}:{victim.address[1]}"
    for method in ("MESSAGE", "NOTIFY", "OPTIONS", "REFER", "PUBLISH"):
        await phone.request(method, there, front.where, [("Route", f"<{there};lr>")])
    _, dialog = await phone.call(*front.pilot)
    dialog.routes = [dialog.routes[0], f"<{there};lr>"]
    assert (await dialog.request("BYE")).code == 403
    assert not victim.received


async def test_a_dead_edge_costs_calls_a_second_until_it_is_known_and_nothing_then(front: Front) -> None:
    phone = await front.scene.party()
    front.edges[0].stop("edge")
    codes, waits = await timed_calls(phone, front, 12)
    assert codes == [200] * 12
    assert max(waits) < 2.0
    assert sum(wait > 0.5 for wait in waits) <= 1
    front.edges[0].start("edge")
    await front.edges[0].ready()
    before = len(front.workers[0].arrivals)

    async def back() -> bool:
        await timed_calls(phone, front, 5)
        return len(front.workers[0].arrivals) > before

    await until(back, 4.0)


async def test_a_drained_edge_costs_no_call_anything(front: Front) -> None:
    phone = await front.scene.party()
    await front.edges[1].control.set_serving(False)
    codes, waits = await timed_calls(phone, front, 10)
    assert codes == [200] * 10
    assert max(waits) < 0.5
    assert len(front.workers[0].calls) == 10


async def test_when_both_refuse_the_503_keeps_its_retry_after(front: Front) -> None:
    phone = await front.scene.party()
    for worker in front.workers:
        worker.answer_code = 486
    refused, _ = await phone.call(*front.pilot)
    assert (refused.code, refused.get("Retry-After")) == (503, "7")
    for edge in front.edges:
        await edge.control.set_serving(False)

    async def known() -> bool:
        asked = await phone.request("OPTIONS", front.pilot[0], front.where)
        return (asked.code, asked.get("Retry-After")) == (503, "5")

    await until(known)
    refused, _ = await phone.call(*front.pilot)
    assert (refused.code, refused.get("Retry-After")) == (503, "5")


async def test_a_cancelled_call_is_cancelled_behind_it(front: Front) -> None:
    for worker in front.workers:
        worker.rings = True
    phone = await front.scene.party()
    sent = phone.start("INVITE", *front.pilot)
    await phone.wait(lambda message: message.code == 100)
    await asyncio.sleep(0.1)
    again = [(name, value) for name, value in sent.headers if name not in ("CSeq", "Contact")]
    cancel = await phone.request("CANCEL", sent.uri, front.where, [*again, ("CSeq", "1 CANCEL")])
    assert cancel.code == 200
    assert (await phone.answer_to(sent, front.where)).code == 487
    assert sum(len(worker.requests("CANCEL")) for worker in front.workers) == 1
