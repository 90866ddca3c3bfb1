"""What the edge keeps out: strangers, relaying, junk. Real Kamailio on loopback."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sip.edge import Address
from sip.edge_control import EdgeControl
from sip.errors import EdgeFailed
from tests.fakes.edge import STRANGER, TRUNK, RunningEdge, Scene
from tests.fakes.sip import Dialog, Party, Worker
from tests.fakes.torture import datagrams

QUIET = 0.25
"""Seconds to wait before saying that nothing arrived; on loopback it takes one or two ms."""


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as opened:
        yield opened


def there(party: Party, user: str = "victim") -> str:
    return f"sip:{user}@{party.address[0]}:{party.address[1]}"


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "REGISTER", "MESSAGE", "PUBLISH", "NOTIFY"])
async def test_a_stranger_gets_403_and_is_logged(scene: Scene, method: str) -> None:
    (worker,) = await scene.workers(1)
    edge = await scene.edge([worker])
    stranger = await scene.party(STRANGER)
    refused = await stranger.request(method, f"sip:1001@{edge.uri}", edge.where)
    assert refused.code == 403
    assert not worker.received
    assert f"refused {method} from udp:{STRANGER}:{stranger.address[1]}" in edge.log


async def test_a_flood_of_strangers_gets_few_answers_and_few_lines_of_log(scene: Scene) -> None:
    edge = await scene.edge(await scene.workers(1))
    stranger, phone = await scene.party(STRANGER), await scene.party()
    for _ in range(300):
        stranger.start("INVITE", f"sip:1001@{edge.uri}", edge.where)
    await asyncio.sleep(QUIET)
    assert 0 < len(stranger.received) <= 40
    assert edge.log.count("refused INVITE") <= 40
    assert (await phone.call(f"sip:1001@{edge.uri}", edge.where))[0].code == 200


@pytest.mark.parametrize("source", [STRANGER, TRUNK, "127.0.0.1"])
@pytest.mark.parametrize("method", ["MESSAGE", "NOTIFY", "INFO", "SUBSCRIBE", "PUBLISH", "REFER"])
async def test_nobody_outside_can_send_through_us(scene: Scene, source: str, method: str) -> None:
    edge = await scene.edge(await scene.workers(1))
    sender, victim = await scene.party(source), await scene.party("127.0.0.9")
    answers = [
        await sender.request(method, there(victim), edge.where, headers)
        for headers in ((), [("Route", f"<sip:{edge.uri};lr>")], [("Route", f"<{there(victim)};lr>")])
    ]
    assert all(answer.code >= 400 for answer in answers)
    assert not victim.received


@pytest.mark.parametrize("source", [STRANGER, TRUNK, "127.0.0.1"])
@pytest.mark.parametrize("method", ["MESSAGE", "BYE", "INVITE", "SUBSCRIBE", "ACK"])
async def test_a_made_up_dialog_does_not_open_a_way_through_us(
    scene: Scene, source: str, method: str
) -> None:
    edge = await scene.edge(await scene.workers(1))
    sender, victim = await scene.party(source), await scene.party("127.0.0.9")
    for routes in ([], [f"<sip:{edge.uri};lr>"], [f"<sip:{edge.uri};lr>", f"<{there(victim)};lr>"]):
        made_up = Dialog(sender, there(victim), routes, "<sip:a@b>;tag=1", "<sip:c@d>;tag=2", "x", edge.where)
        made_up.send(method)
    made_up = Dialog(
        sender, f"{there(victim)};alias=127.0.0.9~{victim.address[1]}~1", [f"<sip:{edge.uri};lr>"],
        "<sip:a@b>;tag=1", "<sip:c@d>;tag=2", "y", edge.where,
    )  # fmt: skip
    made_up.send(method)
    await asyncio.sleep(QUIET)
    assert not victim.received


async def test_an_invite_to_any_domain_goes_to_our_workers_and_nowhere_else(scene: Scene) -> None:
    (worker,) = await scene.workers(1)
    edge = await scene.edge([worker])
    trunk, victim = await scene.party(TRUNK), await scene.party("127.0.0.9")
    routed = [("Route", f"<sip:{edge.uri};lr>, <{there(victim)};lr>")]
    for headers in ((), routed):
        assert (await trunk.call(there(victim, "1001"), edge.where, headers))[0].code == 200
    assert len(worker.calls) == 2
    assert worker.requests("INVITE")[1].all("Route") == []
    assert not victim.received


async def test_a_member_sends_a_notify_to_a_trunk_from_the_edges_own_address(scene: Scene) -> None:
    (worker,) = await scene.workers(1)
    client, trunk = await scene.party("127.0.0.1"), await scene.party("127.0.0.9")
    edge = await scene.edge([worker], members=(Address(*client.address),))
    for sender in (client, worker):
        headers = [("Route", f"<sip:{edge.uri};lr>"), ("Event", "message-summary")]
        done = await sender.request("NOTIFY", there(trunk, "mwi-1001"), edge.where, headers, "x: y\r\n")
        assert done.code == 200
    for notify in trunk.requests("NOTIFY"):
        assert notify.uri == there(trunk, "mwi-1001")
        assert f"UDP {edge.uri}" in notify.all("Via")[0]
        assert not notify.all("Route") and notify.body == "x: y\r\n"
    assert len(trunk.requests("NOTIFY")) == 2


async def test_a_member_over_tcp_from_the_same_address_is_no_member(scene: Scene) -> None:
    edge = await scene.edge([], members=(Address("127.0.0.1", 0),), allowed_networks=(TRUNK,))
    pretender, victim = await scene.tcp_phone(edge), await scene.party("127.0.0.9")
    headers = [("Route", f"<sip:{edge.uri};lr>")]
    assert (await pretender.request("NOTIFY", there(victim), edge.where, headers)).code == 403
    assert not victim.received


async def test_only_members_may_publish(scene: Scene) -> None:
    edge = await scene.edge([])
    phone = await scene.party()
    headers = [("Event", "message-summary"), ("Expires", "60")]
    refused = await phone.request(
        "PUBLISH", f"sip:1001@{edge.uri}", edge.where, headers, "Messages-Waiting: yes"
    )
    assert refused.code == 403


async def test_junk_gets_an_answer_or_silence_and_calls_go_on(scene: Scene) -> None:
    (worker,) = await scene.workers(1, capacity=10_000)
    edge = await scene.edge([worker], requests_per_source_second=10_000, calls_per_worker_second=16)
    phone = await scene.party()
    junk = list(datagrams(*phone.address))
    assert len(junk) >= 40
    before = edge_processes(edge)
    for sender in (phone, await scene.party(STRANGER)):
        for number, datagram in enumerate(junk):
            sender.send(datagram, edge.where)
            if number % 20 == 19:
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.2)  # the worker's calls of this second may be used up
        assert (await phone.call(f"sip:1001@{edge.uri}", edge.where))[0].code == 200
    assert before and before <= edge_processes(edge)


async def test_junk_over_tcp_costs_no_more_than_its_connection(scene: Scene) -> None:
    (worker,) = await scene.workers(1, capacity=10_000)
    edge = await scene.edge([worker])
    before = edge_processes(edge)
    for datagram in datagrams("127.0.0.1", 5060):
        _, writer = await asyncio.open_connection(*edge.where, local_addr=("127.0.0.1", 0))
        writer.write(datagram)
        writer.close()
    phone = await scene.tcp_phone(edge)
    await asyncio.sleep(1.2)
    assert (await phone.call(f"sip:1001@{edge.uri}", edge.where))[0].code == 200
    assert before and before <= edge_processes(edge)


def edge_processes(edge: RunningEdge) -> set[str]:
    """Process ids of the edge: Kamailio ends as a whole when one of its processes dies. It may answer before
    the last of them has begun."""
    pid = edge.processes["edge"].pid
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return set(file.read().split())


async def test_the_control_socket_tells_when_nobody_answers(scene: Scene) -> None:
    edge = await scene.edge(await scene.workers(1))
    quick = EdgeControl(edge.folder, timeout=0.2)
    edge.stop("edge")
    with pytest.raises(EdgeFailed) as failure:
        await quick.set_serving(True)
    assert failure.value.retry


async def test_an_edge_killed_and_started_again_serves_at_once(scene: Scene) -> None:
    workers: list[Worker] = await scene.workers(2)
    edge = await scene.edge(workers)
    edge.stop("edge")
    edge.start("edge")
    await edge.ready()
    phone = await scene.party()
    assert (await phone.call(f"sip:1001@{edge.uri}", edge.where))[0].code == 200
    assert len(await edge.control.destinations()) == 2
