"""Message summaries for phones that SUBSCRIBE: edge, presence server and PostgreSQL, all real."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import psycopg
import pytest

from sip.edge import Address, Listen
from tests.fakes.edge import STRANGER, RunningEdge, Scene, free_port, until
from tests.fakes.postgres import RunningServer, running_server
from tests.fakes.sip import Dialog, Message, Party

EVENT = ("Event", "message-summary")
ACCEPT = ("Accept", "application/simple-message-summary")


@pytest.fixture(scope="module")
def database() -> Iterator[RunningServer]:
    with running_server() as server:
        server.load_edge_schema()
        yield server


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as opened:
        yield opened


def url(database: RunningServer) -> str:
    settings = database.settings
    return f"postgres://edge:{settings.passwords.edge}@127.0.0.1:{settings.port}/edge"


async def lamp_edge(scene: Scene, database: RunningServer, **changes: object) -> tuple[RunningEdge, Party]:
    """An edge with presence, and the request client that publishes through it."""
    client = await scene.party()
    members = (Address(*client.address),)
    workers = await scene.workers(4)
    edge = await scene.edge(workers, database=url(database), members=members, **changes)
    await until(lambda: publishes(client, edge))
    return edge, client


async def publishes(client: Party, edge: RunningEdge) -> bool:
    return (await publish(client, edge, "999", 0, 0)).code == 200


async def publish(client: Party, edge: RunningEdge, mailbox: str, new: int, old: int) -> Message:
    headers = [EVENT, ("Content-Type", "application/simple-message-summary"), ("Expires", "3600")]
    body = f"Messages-Waiting: {'yes' if new else 'no'}\r\nVoice-Message: {new}/{old}\r\n"
    return await client.request("PUBLISH", f"sip:{mailbox}@{edge.uri}", edge.where, headers, body)


async def subscribe(phone: Party, edge: RunningEdge, mailbox: str, domain: str = "") -> Message:
    headers = [EVENT, ACCEPT, ("Expires", "600")]
    return await phone.request("SUBSCRIBE", f"sip:{mailbox}@{domain or edge.uri}", edge.where, headers)


async def lamp(phone: Party) -> str:
    """The body of the next NOTIFY."""
    return (await phone.wait(lambda message: message.method == "NOTIFY" and not message.code)).body


async def test_a_subscribed_phone_hears_of_each_change_whatever_domain_it_used(
    scene: Scene, database: RunningServer
) -> None:
    edge, client = await lamp_edge(scene, database)
    phone, other, tcp = await scene.party(), await scene.party(), await scene.tcp_phone(edge)
    assert (await subscribe(phone, edge, "1001")).code == 200
    assert (await subscribe(other, edge, "1002")).code == 200
    assert (await subscribe(tcp, edge, "1001", "vm.example")).code == 200
    for party in (phone, other, tcp):
        assert await lamp(party) == ""
    begun = time.monotonic()
    for new in (1, 2, 0):
        assert (await publish(client, edge, "1001", new, 1)).code == 200
        for party in (phone, tcp):
            assert f"Voice-Message: {new}/1" in await lamp(party)
    assert time.monotonic() - begun < 1.0
    assert len(other.requests("NOTIFY")) == 1


async def test_a_new_subscriber_is_told_the_newest_of_many_quick_publications(
    scene: Scene, database: RunningServer
) -> None:
    edge, client = await lamp_edge(scene, database)
    for new in (3, 2, 1, 4, 0):
        await publish(client, edge, "1003", new, 0)
    phone = await scene.party()
    await subscribe(phone, edge, "1003")
    assert "Voice-Message: 0/0" in await lamp(phone)
    with psycopg.connect(database.conninfo("edge", "edge")) as connection:
        rows = connection.execute("select count(*) from presentity where username = '1003'").fetchone()
    assert rows == (1,)
    assert "ERROR" not in edge.log


async def test_subscriptions_are_refreshed_and_ended_in_their_dialog(
    scene: Scene, database: RunningServer
) -> None:
    edge, client = await lamp_edge(scene, database)
    phone = await scene.party()
    await publish(client, edge, "1004", 1, 0)
    dialog = Dialog.of_caller(phone, await subscribe(phone, edge, "1004"), edge.where)
    assert "1/0" in await lamp(phone)
    refreshed = await dialog.request("SUBSCRIBE", [EVENT, ACCEPT, ("Expires", "600")])
    assert refreshed.code == 200 and "1/0" in await lamp(phone)
    dialog.routes = []  # a phone that forgets Record-Route
    ended = await dialog.request("SUBSCRIBE", [EVENT, ACCEPT, ("Expires", "0")])
    assert ended.code == 200
    final = await phone.wait(lambda message: message.method == "NOTIFY" and not message.code)
    assert final.get("Subscription-State").startswith("terminated")


async def test_other_events_and_strangers_are_refused(scene: Scene, database: RunningServer) -> None:
    edge, _ = await lamp_edge(scene, database)
    phone, stranger = await scene.party(), await scene.party(STRANGER)
    wrong = await phone.request(
        "SUBSCRIBE", f"sip:1001@{edge.uri}", edge.where, [("Event", "presence"), ("Expires", "600")]
    )
    assert wrong.code == 489
    assert (await subscribe(stranger, edge, "1001")).code == 403


async def test_subscriptions_survive_a_restart_of_edge_and_presence(
    scene: Scene, database: RunningServer
) -> None:
    edge, client = await lamp_edge(scene, database)
    phone = await scene.party()
    await subscribe(phone, edge, "1005")
    await lamp(phone)
    for name in ("edge", "presence"):
        edge.stop(name)
        edge.start(name)
    await edge.ready()
    await until(lambda: publishes(client, edge))
    await publish(client, edge, "1005", 7, 0)
    assert "Voice-Message: 7/0" in await lamp(phone)


async def test_the_peers_client_publishes_through_both_edges(scene: Scene, database: RunningServer) -> None:
    places = [Listen(Address("127.0.0.1", free_port())) for _ in range(2)]
    remote = await scene.party()
    one = await scene.edge(
        [], listen=(places[0],), peer=places[1].address, members=(Address(*remote.address),)
    )
    two, client = await lamp_edge(scene, database, listen=(places[1],), peer=places[0].address)
    phone = await scene.party()
    await subscribe(phone, two, "1006")
    await lamp(phone)
    headers = [EVENT, ("Content-Type", "application/simple-message-summary"), ("Expires", "60")]
    body = "Messages-Waiting: yes\r\nVoice-Message: 5/0\r\n"
    for sender, first in ((remote, one), (client, two)):
        routed = [*headers, ("Route", f"<sip:{first.uri};lr>")]
        done = await sender.request("PUBLISH", f"sip:1006@{two.uri}", first.where, routed, body)
        assert done.code == 200 and done.get("SIP-ETag")
        assert "5/0" in await lamp(phone)


async def answered(phone: Party, edge: RunningEdge) -> float:
    """Seconds from INVITE to 200; hangs up."""
    begun = time.monotonic()
    answer, dialog = await phone.call(f"sip:1001@{edge.uri}", edge.where)
    assert answer.code == 200 and dialog
    waited = time.monotonic() - begun
    assert (await dialog.request("BYE")).code == 200
    return waited


async def test_a_database_that_hangs_blocks_no_call_and_subscribers_get_an_error(
    scene: Scene, database: RunningServer
) -> None:
    edge, client = await lamp_edge(scene, database)
    phone = await scene.party()
    await all_connected(database)
    stopped = postgres_processes(database)
    tell_all(stopped, signal.SIGSTOP)
    try:
        waiting = [phone.start("SUBSCRIBE", f"sip:1001@{edge.uri}", edge.where, [EVENT]) for _ in range(8)]
        waits = [await answered(phone, edge) for _ in range(10)]
        assert max(waits) < 0.3
        for sent in waiting:
            refused = await phone.answer_to(sent, edge.where, 4.0)
            assert (refused.code, refused.get("Retry-After")) == (503, "5")
    finally:
        tell_all(stopped, signal.SIGCONT)
    await until(lambda: publishes(client, edge), 30.0)


async def all_connected(database: RunningServer) -> None:
    """Every process of the presence server: it ends when one of them cannot connect at its start, and nobody
    starts it again here, as a node does. On a busy machine the last ones come after the first answer."""

    async def looked() -> int:
        with psycopg.connect(database.conninfo("edge", "edge")) as connection:
            count = "select count(*) from pg_stat_activity where usename = 'edge' and pid <> pg_backend_pid()"
            return int((connection.execute(count).fetchone() or (0,))[0])

    async with asyncio.timeout(20):
        seen = [0] * 10
        while not seen[-1] or len({*seen[-10:]}) > 1:
            await asyncio.sleep(0.05)
            seen.append(await looked())


def tell_all(pids: list[int], what: signal.Signals) -> None:
    """One that cleans up at times may have ended by now."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


def postgres_processes(database: RunningServer) -> list[int]:
    assert database.process
    pid = database.process.pid
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [pid, *map(int, file.read().split())]


async def test_a_database_that_died_blocks_no_call_and_lamps_come_back_with_it(
    scene: Scene, database: RunningServer
) -> None:
    edge, client = await lamp_edge(scene, database)
    phone = await scene.party()
    await subscribe(phone, edge, "1007")
    await lamp(phone)
    await asyncio.sleep(0.2)  # database edge commits asynchronously: PostgreSQL writes within 60 ms
    for new in range(1, 20):
        assert (await publish(client, edge, "1007", new, 0)).code == 200
        assert f"{new}/0" in await lamp(phone)
    database.stop(signal.SIGKILL)
    told = max(map(number, phone.requests("NOTIFY")))
    assert max([await answered(phone, edge) for _ in range(10)]) < 0.3
    assert (await publish(client, edge, "1007", 1, 0)).code >= 500
    assert (await subscribe(phone, edge, "1008")).code >= 500
    assert max([await answered(phone, edge) for _ in range(10)]) < 0.3
    database.clear_leftovers()
    database.start()
    database.number_notifies_anew()
    await until(lambda: publishes(client, edge), 10.0)
    assert (await publish(client, edge, "1007", 2, 0)).code == 200
    assert "2/0" in await lamp(phone)
    assert number(phone.requests("NOTIFY")[-1]) > told, "a phone takes it for an old one, and its lamp stays"


def number(request: Message) -> int:
    return int(request.get("CSeq").split()[0])


async def test_an_edge_without_a_database_takes_calls_and_says_that_it_has_no_lamps(scene: Scene) -> None:
    edge = await scene.edge(await scene.workers(1))
    phone = await scene.party()
    assert (await subscribe(phone, edge, "1001")).code == 489
    await answered(phone, edge)


async def test_presence_without_its_database_ends_at_once_so_that_it_is_started_again(scene: Scene) -> None:
    nowhere = f"postgres://edge:x@127.0.0.1:{free_port()}/edge"
    edge = await scene.edge(await scene.workers(1), database=nowhere)
    assert edge.processes["presence"].wait(5) != 0
    phone = await scene.party()
    assert (await subscribe(phone, edge, "1001")).code == 503
    await answered(phone, edge)
