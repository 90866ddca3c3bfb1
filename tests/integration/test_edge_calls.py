"""How the edge finds a worker for a call: real Kamailio, workers and phones in plain text."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from sip.edge import Address, Listen, write
from tests.fakes.edge import TRUNK, RunningEdge, Scene, free_port, peer_answers, until
from tests.fakes.sip import Message, Party

RELEASED_WITHIN = 3.5
"""Seconds in which a dead worker that is back is found: one interval of OPTIONS and a bit."""


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as opened:
        yield opened


def pilot(edge: RunningEdge) -> tuple[str, tuple[str, int]]:
    return f"sip:1001@{edge.uri}", edge.where


async def active(edge: RunningEdge) -> list[bool]:
    return [destination.active for destination in await edge.control.destinations()]


async def test_calls_are_spread_evenly_over_the_workers(scene: Scene) -> None:
    workers = await scene.workers(4)
    edge = await scene.edge(workers)
    phone = await scene.party()
    for _ in range(12):
        answer, _ = await phone.call(*pilot(edge))
        assert answer.code == 200
    assert [len(worker.calls) for worker in workers] == [3, 3, 3, 3]


async def test_a_full_worker_is_skipped(scene: Scene) -> None:
    workers = [*await scene.workers(1, capacity=0), *await scene.workers(1, capacity=9)]
    edge = await scene.edge(workers)
    phone = await scene.party()
    answers = [(await phone.call(*pilot(edge)))[0].code for _ in range(6)]
    assert answers == [200] * 6
    assert len(workers[1].calls) == 6
    assert (await edge.control.statistics())["script.next_worker"] > 0


async def test_a_dead_worker_costs_one_call_half_a_second_and_is_then_left_out_until_it_answers(
    scene: Scene,
) -> None:
    dead, alive = await scene.workers(2, capacity=50)
    edge = await scene.edge([dead, alive])
    dead.silent = True
    phone = await scene.party()
    waits = []
    for _ in range(6):
        begun = time.monotonic()
        assert (await phone.call(*pilot(edge)))[0].code == 200
        waits.append(time.monotonic() - begun)
    assert max(waits) < 1.0
    assert sum(wait > 0.3 for wait in waits) == 1
    assert await active(edge) == [False, True]
    dead.silent = False
    await until(lambda: all_active(edge), RELEASED_WITHIN)


async def all_active(edge: RunningEdge) -> bool:
    return all(await active(edge))


async def test_a_worker_that_rings_for_ever_loses_the_call_to_the_next(scene: Scene) -> None:
    ringing, other = await scene.workers(2)
    ringing.rings = other.rings = True
    edge = await scene.edge([ringing, other])
    phone = await scene.party()
    sent = phone.start("INVITE", *pilot(edge))
    await asyncio.sleep(0.1)
    ringing.rings = other.rings = False
    answer = await phone.answer_to(sent, edge.where, 7.0)
    assert answer.code == 200
    first, second = sorted((ringing, other), key=lambda worker: worker.arrivals[0])
    assert first.requests("CANCEL") and second.arrivals


async def test_when_every_port_is_busy_the_answer_is_503_with_retry_after(scene: Scene) -> None:
    workers = await scene.workers(3, capacity=1)
    edge = await scene.edge(workers, retry_after=7)
    phone = await scene.party()
    for _ in range(3):
        assert (await phone.call(*pilot(edge)))[0].code == 200
    refused, _ = await phone.call(*pilot(edge))
    assert (refused.code, refused.get("Retry-After")) == (503, "7")


async def test_without_a_worker_the_answer_is_503_at_once(scene: Scene) -> None:
    edge = await scene.edge([])
    phone = await scene.party()
    refused, _ = await phone.call(*pilot(edge))
    assert (refused.code, refused.get("Retry-After")) == (503, "5")


async def test_28_full_workers_do_not_hide_the_peer(scene: Scene) -> None:
    full, others = await scene.workers(30, capacity=0), await scene.workers(1)
    one, _ = await scene.pair(full, others)
    phone = await scene.party()
    assert (await phone.call(*pilot(one)))[0].code == 200


async def test_a_cancelled_call_ends_at_its_worker_and_goes_nowhere_else(scene: Scene) -> None:
    workers = await scene.workers(2)
    for worker in workers:
        worker.rings = True
    edge = await scene.edge(workers)
    phone = await scene.party()
    sent = phone.start("INVITE", *pilot(edge))
    await phone.wait(lambda message: message.code == 100)
    await asyncio.sleep(0.05)
    again = [(name, value) for name, value in sent.headers if name not in ("CSeq", "Contact")]
    cancelled = await phone.request("CANCEL", sent.uri, edge.where, [*again, ("CSeq", "1 CANCEL")])
    assert cancelled.code == 200
    assert (await phone.answer_to(sent, edge.where)).code == 487
    assert sum(len(worker.arrivals) for worker in workers) == 1
    assert sum(len(worker.requests("CANCEL")) for worker in workers) == 1


async def test_requests_in_a_dialog_reach_the_other_side_both_ways(scene: Scene) -> None:
    (worker,) = await scene.workers(1)
    edge = await scene.edge([worker])
    phone = await scene.party()
    answer, dialog = await phone.call(*pilot(edge))
    assert (await dialog.request("INVITE")).code == 200
    dialog.send("ACK")
    await worker.wait(lambda message: message.method == "ACK")
    from_worker = await worker.dialog(answer.get("Call-ID")).request("BYE")
    assert from_worker.code == 200
    assert len(phone.requests("BYE")) == 1


async def test_the_worker_learns_source_and_trunk_and_no_forged_header_passes(scene: Scene) -> None:
    (worker,) = await scene.workers(1)
    edge = await scene.edge([worker])
    trunk = await scene.party(TRUNK)
    forged = [("X-VM-Source", "udp:9.9.9.9:1"), ("x-vm-TRUNK", "bank"), ("X-VM-Hop", "1")]
    forged += [("Diversion", "<sip:1002@pbx>;reason=no-answer")]
    answer, _ = await trunk.call("sip:1001@no.such.domain.example", edge.where, forged)
    assert answer.code == 200
    (invite,) = worker.requests("INVITE")
    assert invite.all("X-VM-Source") == [f"udp:{TRUNK}:{trunk.address[1]}"]
    assert invite.all("X-VM-Trunk") == ["pbx"]
    assert [name for name, _ in invite.headers if name.lower().startswith("x-vm-")] == [
        "X-VM-Source",
        "X-VM-Trunk",
    ]
    assert invite.get("Diversion") == "<sip:1002@pbx>;reason=no-answer"


async def test_a_call_over_tcp_is_hung_up_over_the_same_connection(scene: Scene) -> None:
    (worker,) = await scene.workers(1)
    edge = await scene.edge([worker])
    phone = await scene.tcp_phone(edge)
    answer, _ = await phone.call(*pilot(edge))
    assert answer.code == 200
    assert worker.requests("INVITE")[0].get("X-VM-Source").startswith("tcp:127.0.0.1:")
    assert (await worker.dialog(answer.get("Call-ID")).request("BYE")).code == 200
    assert len(phone.requests("BYE")) == 1


BEHIND_NAT = "10.255.255.1:5060"


async def test_a_phone_behind_a_nat_is_hung_up_the_way_it_came(scene: Scene) -> None:
    (worker,) = await scene.workers(1)
    edge = await scene.edge([worker])
    for phone in (await scene.party(), await scene.tcp_phone(edge)):
        kind = "" if phone.proto == "udp" else ";transport=tcp"
        inner = [
            ("Via", f"SIP/2.0/{phone.proto.upper()} {BEHIND_NAT};branch=z9hG4bKnat{phone.proto};rport"),
            ("Contact", f"<sip:tester@{BEHIND_NAT}{kind}>"),
        ]
        answer, _ = await phone.call(*pilot(edge), inner)
        assert answer.code == 200
        assert (await worker.dialog(answer.get("Call-ID")).request("BYE")).code == 200
        assert phone.requests("BYE")[0].uri == f"sip:tester@{BEHIND_NAT}{kind}"


async def test_a_gateway_that_sends_from_another_port_is_hung_up_where_it_listens(scene: Scene) -> None:
    (worker,) = await scene.workers(1)
    edge = await scene.edge([worker])
    sends, listens = await scene.party(TRUNK), await scene.party(TRUNK)
    here = "{}:{}".format(*listens.address)
    inner = [("Via", f"SIP/2.0/UDP {here};branch=z9hG4bKgw"), ("Contact", listens.contact)]
    sent = sends.start("INVITE", *pilot(edge), inner)
    answer = await listens.answer_to(sent, edge.where)
    assert answer.code == 200
    assert (await worker.dialog(answer.get("Call-ID")).request("BYE")).code == 200
    assert len(listens.requests("BYE")) == 1


async def test_a_full_node_passes_calls_to_its_peer_with_the_first_source_and_trunk(scene: Scene) -> None:
    full, others = await scene.workers(2, capacity=0), await scene.workers(2)
    one, _ = await scene.pair(full, others)
    trunk = await scene.party(TRUNK)
    answer, dialog = await trunk.call(*pilot(one))
    assert answer.code == 200
    (taker,) = [worker for worker in others if worker.calls]
    (invite,) = taker.requests("INVITE")
    assert invite.all("X-VM-Source") == [f"udp:{TRUNK}:{trunk.address[1]}"]
    assert invite.all("X-VM-Trunk") == ["pbx"]
    assert (await dialog.request("INFO")).code == 200
    assert (await taker.dialog(answer.get("Call-ID")).request("BYE")).code == 200
    assert len(trunk.requests("BYE")) == 1


async def test_a_key_in_the_plain_form_reaches_the_worker_in_the_form_that_it_takes(scene: Scene) -> None:
    (worker,) = await scene.workers(1)
    edge = await scene.edge([worker])
    phone = await scene.party()
    _, dialog = await phone.call(*pilot(edge))
    plain, relay = "application/dtmf", "application/dtmf-relay"
    given = [(plain, "5"), (plain, " #\r\n"), (plain, "10"), (plain, "nonsense"), (relay, "Signal=7\r\n")]
    for kind, body in given:
        assert (await dialog.request("INFO", (("Content-Type", kind),), body=body)).code == 200
    got = [(each.get("Content-Type"), each.body) for each in worker.requests("INFO")]
    keys = [(relay, f"Signal={key}\r\nDuration=160\r\n") for key in "5#*"]
    assert got == [*keys, (plain, "nonsense"), (relay, "Signal=7\r\n")]


async def test_a_call_to_a_second_address_reaches_the_peer_from_the_first(scene: Scene) -> None:
    places = [Listen(Address("127.0.0.1", free_port())) for _ in range(3)]
    one = await scene.edge(
        await scene.workers(1, capacity=0), listen=(places[0], places[1]), peer=places[2].address
    )
    (worker,) = await scene.workers(1)
    # phones are not known there: only the peer's mark lets the call in
    await scene.edge([worker], listen=(places[2],), peer=places[0].address, allowed_networks=())
    await until(lambda: peer_answers(one), 8.0)
    phone = await scene.party()
    second = tuple(places[1].address)
    answer, dialog = await phone.call(f"sip:1001@{one.uri}", second)
    assert answer.code == 200
    assert (await worker.dialog(answer.get("Call-ID")).request("INFO")).code == 200
    assert (await dialog.request("BYE")).code == 200


async def test_two_full_nodes_do_not_play_ping_pong(scene: Scene) -> None:
    own, others = await scene.workers(2, capacity=0), await scene.workers(2, capacity=0)
    one, _ = await scene.pair(own, others)
    phone = await scene.party()
    refused, _ = await phone.call(*pilot(one))
    assert (refused.code, refused.get("Retry-After")) == (503, "5")
    assert sum(len(worker.arrivals) for worker in own) == 2
    assert sum(len(worker.arrivals) for worker in others) == 2


async def test_a_phone_that_forges_the_mark_still_gets_to_the_peer(scene: Scene) -> None:
    full, others = await scene.workers(1, capacity=0), await scene.workers(1)
    one, _ = await scene.pair(full, others)
    phone = await scene.party()
    answer, _ = await phone.call(*pilot(one), [("X-VM-Hop", "1")])
    assert answer.code == 200


async def test_a_peer_that_does_not_serve_gets_no_calls(scene: Scene) -> None:
    full, others = await scene.workers(1, capacity=0), await scene.workers(1)
    one, two = await scene.pair(full, others)
    await two.control.set_serving(False)
    phone = await scene.party()
    assert (await phone.call(*pilot(one)))[0].code == 503
    assert not others[0].arrivals


async def test_when_all_workers_die_at_once_the_peer_answers_within_two_seconds(scene: Scene) -> None:
    own, others = await scene.workers(8), await scene.workers(1)
    one, _ = await scene.pair(own, others)
    for worker in own:
        worker.silent = True
    phone = await scene.party()
    begun = time.monotonic()
    assert (await phone.call(*pilot(one)))[0].code == 200
    assert time.monotonic() - begun < 2.0


async def test_draining_refuses_new_calls_and_lets_the_others_end(scene: Scene) -> None:
    (worker,) = await scene.workers(1)
    edge = await scene.edge([worker])
    phone = await scene.party()
    assert (await phone.request("OPTIONS", f"sip:{edge.uri}", edge.where)).code == 200
    _, dialog = await phone.call(*pilot(edge))
    await edge.control.set_serving(False)
    ping = await phone.request("OPTIONS", f"sip:{edge.uri}", edge.where)
    refused, _ = await phone.call(*pilot(edge))
    assert [(m.code, m.get("Retry-After")) for m in (ping, refused)] == [(503, "5"), (503, "5")]
    assert (await dialog.request("INVITE")).code == 200
    assert (await dialog.request("BYE")).code == 200
    await edge.control.set_serving(True)
    assert (await phone.call(*pilot(edge)))[0].code == 200


async def test_an_edge_that_starts_out_of_service_says_so_until_told(scene: Scene) -> None:
    edge = await scene.edge(await scene.workers(1), serving=False)
    phone = await scene.party()
    assert not await edge.control.serving()
    assert (await phone.request("OPTIONS", f"sip:{edge.uri}", edge.where)).code == 503


async def test_a_burst_of_100_calls_never_brings_a_worker_near_its_limit(scene: Scene) -> None:
    workers = await scene.workers(4, capacity=1000)
    edge = await scene.edge(workers, calls_per_worker_second=5, requests_per_source_second=1000)
    phone = await scene.party()
    codes = await burst(phone, edge, 100)
    assert set(codes) == {200, 503}
    assert codes.count(200) == sum(len(worker.arrivals) for worker in workers)
    for worker in workers:
        assert most_within(0.5, worker.arrivals) <= 10
    assert 20 <= codes.count(200) <= 40


async def burst(phone: Party, edge: RunningEdge, count: int) -> list[int]:
    """INVITEs sent as fast as the loop goes; their final answers' codes."""
    sent: list[Message] = []
    for number in range(count):
        sent.append(phone.start("INVITE", *pilot(edge)))
        if number % 10 == 9:
            await asyncio.sleep(0)
    return [(await phone.answer_to(message, edge.where)).code for message in sent]


def most_within(seconds: float, moments: list[float]) -> int:
    return max(sum(0 <= other - moment < seconds for other in moments) for moment in moments)


async def test_a_worker_that_had_its_calls_of_this_second_is_skipped_not_the_call(scene: Scene) -> None:
    slow, fast = await scene.workers(2, capacity=1000)
    edge = await scene.edge([slow, fast], calls_per_worker_second=3)
    phone = await scene.party()
    codes = await burst(phone, edge, 6)
    assert codes == [200] * 6
    assert abs(len(slow.calls) - len(fast.calls)) <= 1


async def test_a_source_that_calls_too_fast_gets_503_then_silence(scene: Scene) -> None:
    edge = await scene.edge(await scene.workers(1, capacity=1000), requests_per_source_second=5)
    phone, other = await scene.party(), await scene.party(TRUNK)
    sent = [phone.start("INVITE", *pilot(edge)) for _ in range(60)]
    await asyncio.sleep(0.3)
    finals = [message for _, message in phone.received if message.code >= 200]
    assert 0 < len(finals) < len(sent)
    assert {message.code for message in finals} == {200, 503}
    assert (await other.call(*pilot(edge)))[0].code == 200


async def test_workers_and_trunks_can_be_changed_without_a_restart(scene: Scene) -> None:
    old, new = await scene.workers(2)
    edge = await scene.edge([old])
    write(replace(edge.settings, workers=(Address(*new.address),), allowed_networks=()), edge.folder)
    await edge.control.reload()
    phone, trunk = await scene.party(), await scene.party(TRUNK)
    assert (await phone.call(*pilot(edge)))[0].code == 403
    assert (await trunk.call(*pilot(edge)))[0].code == 200
    assert len(new.calls) == 1 and not old.calls
