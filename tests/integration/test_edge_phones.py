"""Phones that register at an edge: digest, who is identified, who can be called, and what wrong passwords and
floods do. Real Kamailio, parties in plain text."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest

from sip import accounts
from sip.digest import ha1
from sip.edge import Address, Listen, Trunk
from tests.fakes.edge import TRUNK, RunningEdge, Scene, free_port, peer_answers, until
from tests.fakes.registering import RegisteringPhone, proof
from tests.fakes.sip import SDP, Dialog, Message, Worker, uri_of

SECRET = "0123456789abcdef"
PASSWORD = "Sesame-1001"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene() as opened:
        yield opened


async def known(edge: RunningEdge) -> None:
    """The edge learns of two accounts."""
    accounts.write(edge.folder, {user: ha1(user, f"Sesame-{user}") for user in ("1001", "1002")})
    await edge.control.reload_accounts()


async def house(scene: Scene, **changes: object) -> tuple[RunningEdge, Worker]:
    (worker,) = await scene.workers(1, capacity=50)
    edge = await scene.edge([worker], digest_secret=SECRET, **changes)
    await known(edge)
    return edge, worker


async def phone_of(scene: Scene, password: str = PASSWORD) -> RegisteringPhone:
    return RegisteringPhone(await scene.party(), "1001", password)


def ringing(edge: RunningEdge, number: str, host: str = "") -> str:
    return f"sip:{number}@{host or edge.uri}"


def calling(edge: RunningEdge, worker: Worker, uri: str, how: str = "1") -> Message:
    """A worker calls a number for a caller: the INVITE."""
    headers = (("X-VM-Ring", how), ("Route", f"<sip:{edge.uri};lr>"), ("Content-Type", "application/sdp"))
    return worker.start("INVITE", uri, edge.where, headers, SDP)


async def rung(edge: RunningEdge, worker: Worker, uri: str, how: str = "1") -> int:
    """The final status of such a call."""
    sent = calling(edge, worker, uri, how)
    return (await worker.answer_to(sent, edge.where, 10.0)).code


async def test_a_phone_registers_with_its_password_and_is_identified_when_it_calls(scene: Scene) -> None:
    edge, worker = await house(scene)
    phone = await phone_of(scene)
    assert (await phone.register(edge.where)).code == 200
    answer, challenge = await phone.call("5000", edge.where, (("X-VM-Identified", "1002"),))
    assert challenge and answer.code == 200
    (invite,) = worker.calls.values()
    assert invite.all("X-VM-Identified") == ["1001"]
    assert not invite.get("Proxy-Authorization")


@pytest.mark.parametrize("extension", ["1001", "9999"])
async def test_without_the_password_nobody_registers_or_calls_as_an_extension_that_has_one(
    scene: Scene, extension: str
) -> None:
    edge, worker = await house(scene)
    phone = RegisteringPhone(await scene.party(), extension, "wrong")
    assert (await phone.register(edge.where)).code in (401, 403)
    answer, challenge = await phone.call("5000", edge.where)
    if extension == "1001":
        assert challenge and answer.code == 407
        assert not worker.calls
    else:
        (invite,) = worker.calls.values()  # has no account: lets itself be called what it likes
        assert invite.get("X-VM-Source") and not invite.get("X-VM-Identified")
    assert "wrong" not in edge.log


async def test_the_password_of_one_extension_is_none_for_another(scene: Scene) -> None:
    edge, worker = await house(scene)
    phone = await phone_of(scene)
    phone.extension, other = "1002", phone
    assert (await other.register(edge.where)).code == 401
    uri = f"sip:5000@{edge.uri}"
    sent = await phone.party.request("INVITE", uri, edge.where, (("From", "<sip:1002@x>;tag=a"),), SDP)
    assert sent.code == 407
    assert not worker.calls


async def test_after_ten_wrong_passwords_an_address_waits_and_others_do_not(scene: Scene) -> None:
    edge, _ = await house(scene, allowed_networks=("127.0.0.1", "127.0.0.3"))
    guesser = await phone_of(scene, "guess")
    codes = [(await guesser.register(edge.where)).code for _ in range(12)]
    assert codes == [401] * 10 + [403] * 2
    assert edge.log.count("wrong passwords for extension 1001 from 127.0.0.1") == 1
    guesser.password = PASSWORD
    assert (await guesser.register(edge.where)).code == 403
    own = RegisteringPhone(await scene.party("127.0.0.3"), "1001", PASSWORD)
    assert (await own.register(edge.where)).code == 200


async def test_an_answer_to_a_challenge_is_worth_nothing_at_another_address(scene: Scene) -> None:
    edge, worker = await house(scene, allowed_networks=("127.0.0.1", "127.0.0.3"))
    own, thief = await scene.party(), await scene.party("127.0.0.3")
    uri, claimed = f"sip:5000@{edge.uri}", ("From", "<sip:1001@x>;tag=a")
    challenge = (await own.request("INVITE", uri, edge.where, (claimed,))).get("Proxy-Authenticate")
    shown = ("Proxy-Authorization", proof(challenge, "INVITE", uri, "1001", PASSWORD))
    assert (await thief.request("INVITE", uri, edge.where, (claimed, shown))).code == 407
    assert not worker.calls
    assert (await own.request("INVITE", uri, edge.where, (claimed, shown))).code == 200


async def test_only_a_trunk_whose_word_is_believed_identifies_its_callers(scene: Scene) -> None:
    trunks = (Trunk("pbx", (TRUNK,), trusted=True), Trunk("other", ("127.0.0.4",)))
    edge, worker = await house(scene, trunks=trunks)
    asserted = (("P-Asserted-Identity", '"Ada" <sip:1001@pbx>'), ("X-VM-Identified", "1002"))
    for host in (TRUNK, "127.0.0.4"):
        answer, _ = await (await scene.party(host)).call(f"sip:5000@{edge.uri}", edge.where, asserted)
        assert answer.code == 200
    believed, not_believed = worker.calls.values()
    assert believed.all("X-VM-Identified") == ["1001"]
    assert not not_believed.get("X-VM-Identified")


async def test_a_worker_reaches_a_registered_phone_until_it_unregisters(scene: Scene) -> None:
    edge, worker = await house(scene)
    phone = await phone_of(scene)
    assert await rung(edge, worker, ringing(edge, "1001")) == 404
    assert (await phone.register(edge.where)).code == 200
    call = asyncio.ensure_future(rung(edge, worker, ringing(edge, "1001")))
    invite = await phone.party.wait(lambda message: message.method == "INVITE" and not message.code)
    assert invite.uri == uri_of(phone.party.contact)
    assert not invite.get("X-VM-Ring")
    phone.party.send(invite.reply(486, "busy"), edge.where)
    assert await call == 486
    assert (await phone.register(edge.where, expires=0)).code == 200
    assert await rung(edge, worker, ringing(edge, "1001")) == 404


async def test_a_number_of_no_phone_is_the_trunks_if_the_call_may_go_there(scene: Scene) -> None:
    edge, worker = await house(scene)
    pbx: Worker = await scene.party(TRUNK, kind=Worker)  # type: ignore[assignment]
    uri = ringing(edge, "1003", "{}:{}".format(*pbx.address))
    assert await rung(edge, worker, uri, "trunk") == 200
    assert await rung(edge, worker, uri) == 404
    assert len(pbx.calls) == 1


async def test_nobody_outside_can_ring_anybody_through_us(scene: Scene) -> None:
    edge, worker = await house(scene)
    phone = await phone_of(scene)
    assert (await phone.register(edge.where)).code == 200
    victim = await scene.party("127.0.0.9")
    forged = (("X-VM-Ring", "trunk"), ("Content-Type", "application/sdp"))
    for host in ("127.0.0.1", TRUNK):
        sender = await scene.party(host)
        answer, _ = await sender.call("sip:1001@{}:{}".format(*victim.address), edge.where, forged)
        assert answer.code == 200  # a call like any other: to a worker
    assert len(worker.calls) == 2
    assert not victim.received and not phone.party.requests("INVITE")


async def pair(scene: Scene) -> tuple[tuple[RunningEdge, Worker], tuple[RunningEdge, Worker]]:
    """Two edges that know each other and the accounts."""
    places = [Listen(Address("127.0.0.1", free_port())) for _ in range(2)]
    made = []
    for own, other in (places, places[::-1]):
        made.append(await house(scene, listen=(own,), peer=other.address))
    for edge, _ in made:
        await until(lambda edge=edge: peer_answers(edge), 8.0)  # type: ignore[misc]
    return made[0], made[1]


async def answered(
    scene: Scene, edge: RunningEdge, worker: Worker, phone: RegisteringPhone, through: RunningEdge
) -> None:
    """The worker of `edge` calls the phone, which answers by way of `through`."""
    before = len(phone.party.requests("INVITE"))
    call = asyncio.ensure_future(rung(edge, worker, ringing(edge, "1001")))
    invite = await phone.party.wait(lambda message: message.method == "INVITE" and not message.code)
    phone.party.send(invite.reply(486, "busy"), through.where)
    assert await call == 486
    assert len(phone.party.requests("INVITE")) == before + 1


async def test_phones_of_one_edge_are_reached_from_both_and_by_the_other_alone_when_theirs_dies(
    scene: Scene,
) -> None:
    (one, worker), (two, other) = await pair(scene)
    on_tcp = RegisteringPhone(await scene.tcp_phone(one), "1002", "Sesame-1002")
    assert (await on_tcp.register(one.where)).code == 200
    await called_on_its_connection(on_tcp, one, worker, one)
    await called_on_its_connection(on_tcp, two, other, one)

    phone = await phone_of(scene)
    assert (await phone.register(one.where, at=two.where)).code == 200  # a challenge of one, answered at two
    await answered(scene, two, other, phone, two)
    await answered(scene, one, worker, phone, two)
    pbx: Worker = await scene.party(TRUNK, kind=Worker)  # type: ignore[assignment]
    uri = ringing(one, "1003", "{}:{}".format(*pbx.address))
    assert await rung(one, worker, uri) == 404
    assert await rung(one, worker, uri, "trunk") == 200  # neither edge has such a phone: it is the trunk's
    (invite,) = pbx.requests("INVITE")
    assert invite.uri == uri and not invite.get("X-VM-Ring")

    two.stop("edge")  # by a crash: nothing is written
    await answered(scene, one, worker, phone, one)
    two.start("edge")
    await two.ready()
    await until(lambda: peer_answers(two), 8.0)
    await answered(scene, two, other, phone, one)
    assert (await phone.register(two.where)).code == 200  # its account is known


async def called_on_its_connection(
    phone: RegisteringPhone, edge: RunningEdge, worker: Worker, own: RunningEdge
) -> None:
    """A whole call from a worker of `edge`; every request comes on the phone's connection to `own`."""
    sent = calling(edge, worker, ringing(edge, phone.extension))
    invite = await phone.party.wait(lambda message: message.method == "INVITE" and not message.code)
    kept = [("Contact", phone.party.contact), ("Content-Type", "application/sdp")]
    phone.party.send(invite.reply(200, "phone", kept, SDP), own.where)
    dialog = Dialog.of_caller(worker, await worker.answer_to(sent, edge.where), edge.where)
    dialog.send("ACK")
    assert await phone.party.wait(lambda message: message.method == "ACK")
    ended = dialog.send("BYE")
    bye = await phone.party.wait(lambda message: message.method == "BYE" and not message.code)
    phone.party.send(bye.reply(200), own.where)
    assert (await worker.answer_to(ended, edge.where)).code == 200


async def test_an_edge_that_is_stopped_in_order_knows_its_phones_again_without_a_peer(scene: Scene) -> None:
    edge, worker = await house(scene)
    phone = await phone_of(scene)
    assert (await phone.register(edge.where)).code == 200
    edge.stop("edge", signal.SIGTERM)
    edge.start("edge")
    await edge.ready()
    await answered(scene, edge, worker, phone, edge)


async def test_a_flood_of_registers_harms_no_call(scene: Scene) -> None:
    edge, worker = await house(scene, allowed_networks=("127.0.0.1", "127.0.0.3"))
    flooder = await scene.party("127.0.0.3")

    async def flood() -> None:
        while True:
            for _ in range(50):
                flooder.start("REGISTER", f"sip:{edge.uri}", edge.where, (("To", "<sip:1001@x>"),))
            await asyncio.sleep(0.01)

    flooding = asyncio.create_task(flood())
    phone = await phone_of(scene)
    for _ in range(10):
        await asyncio.sleep(0.05)
        answer, _ = await phone.call("5000", edge.where)
        assert answer.code == 200
    flooding.cancel()
    assert len(worker.calls) == 10
    assert (await edge.control.statistics())["script.too_fast"] > 500
