"""A worker puts its callers through: a PBX and phones in plain text, and pjsua2 where audio counts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sip import tones, wav
from sip.hears import hears
from sip.softphone import Softphone
from tests.fakes.sip import SDP, Dialog, Message, Party, Where, uri_of
from tests.fakes.sip_pool import SipPool, phone_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
FROM_PBX = (("X-VM-Trunk", "pbx"), ("Supported", "replaces"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge() -> AsyncIterator[Party]:
    """Where the worker's own calls go: a PBX whose phones answer as the test says."""
    async with await Party.open() as party:
        yield party


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory, edge: Party) -> AsyncIterator[SipPool]:
    host, port = edge.address
    async with SipPool(tmp_path_factory.mktemp("pool"), edge=f"sip:{host}:{port};lr") as pool:
        await pool.ready()
        yield pool
        assert len(set(pool.pids())) == 1
        await pool.until(lambda: pool.busy() == 0)


@pytest_asyncio.fixture(loop_scope="module")
async def pbx() -> AsyncIterator[Party]:
    async with await Party.open(user="asterisk") as party:
        yield party


def where(pool: SipPool) -> Where:
    return "127.0.0.1", pool.port


async def dialled(pbx: Party, pool: SipPool, number: str) -> Dialog:
    pool.seen = len(pool.reports())
    answer, dialog = await pbx.call(pool.uri(number), where(pool), FROM_PBX)
    assert dialog, answer.start
    return dialog


async def asked(party: Party, method: str, code: int, pool: SipPool) -> Message:
    """The next request of a method, answered."""
    request = await party.wait(lambda message: not message.code and message.method == method, 5.0)
    party.send(request.reply(code, "pbx"), where(pool))
    return request


async def told(dialog: Dialog, status: str, state: str) -> Message:
    """A NOTIFY of how a transfer goes (RFC 3515 section 2.4.4)."""
    headers = (("Event", "refer"), ("Subscription-State", state), ("Content-Type", "message/sipfrag"))
    sent = dialog.send("NOTIFY", headers, f"SIP/2.0 {status}\r\n")
    return await dialog.party.answer_to(sent, dialog.where)


async def test_the_pbx_is_asked_to_call_the_number_itself_and_then_gets_its_call_back(
    pbx: Party, pool: SipPool
) -> None:
    dialog = await dialled(pbx, pool, "transfer-1002")
    refer = await asked(pbx, "REFER", 202, pool)
    assert uri_of(refer.get("Refer-To")) == uri_of(pbx.contact).replace("asterisk", "1002")
    assert refer.get("Referred-By")
    assert (await told(dialog, "100 Trying", "active;expires=60")).code == 200
    assert (await told(dialog, "200 OK", "terminated;reason=noresource")).code == 200
    await asked(pbx, "BYE", 200, pool)
    assert (await pool.report())["result"] == "done"


async def test_a_pbx_that_hangs_up_once_it_was_asked_has_taken_over(pbx: Party, pool: SipPool) -> None:
    dialog = await dialled(pbx, pool, "transfer-1002")
    await asked(pbx, "REFER", 202, pool)
    await told(dialog, "100 Trying", "active;expires=60")
    assert (await dialog.request("BYE")).code == 200
    assert (await pool.report())["result"] == "done"


@pytest.mark.parametrize(
    ("status", "result"), [("486 Busy Here", "busy"), ("404 Not Found", "refused"), ("480 Away", "no answer")]
)
async def test_a_transfer_that_fails_leaves_the_caller_with_us(
    pbx: Party, pool: SipPool, edge: Party, status: str, result: str
) -> None:
    dialog = await dialled(pbx, pool, "transfer-1002")
    await asked(pbx, "REFER", 202, pool)
    await told(dialog, status, "terminated;reason=noresource")
    if result == "refused":
        await asked(edge, "INVITE", 404, pool)  # nor is it a phone's
    await asked(pbx, "BYE", 200, pool)
    assert (await pool.report())["result"] == result


async def test_a_number_that_the_pbx_does_not_take_may_be_a_registered_phones(
    pbx: Party, pool: SipPool, edge: Party
) -> None:
    await dialled(pbx, pool, "transfer-1002")
    await asked(pbx, "REFER", 501, pool)
    invite, phone = await leg(edge, pool)
    assert invite.get("X-VM-Ring") == "1"
    await asyncio.sleep(0.3)  # they talk
    assert (await phone.request("BYE")).code == 200
    await asked(pbx, "BYE", 200, pool)
    assert (await pool.report())["result"] == "done"


async def test_a_caller_cannot_make_us_call_anybody(pbx: Party, pool: SipPool, edge: Party) -> None:
    dialog = await dialled(pbx, pool, "record")
    invites = len(edge.requests("INVITE"))
    refused = await dialog.request("REFER", (("Refer-To", "<sip:premium@192.0.2.1>"),))
    assert refused.code == 403
    assert (await dialog.request("BYE")).code == 200
    assert len(edge.requests("INVITE")) == invites
    assert (await pool.report())["verb"] == "record"


async def leg(edge: Party, pool: SipPool) -> tuple[Message, Dialog]:
    """The worker's call to somebody, answered."""
    invite = await edge.wait(lambda message: not message.code and message.method == "INVITE", 5.0)
    contact = [("Contact", edge.contact), ("Content-Type", "application/sdp")]
    edge.send(invite.reply(200, "phone", contact, SDP), where(pool))
    ours, theirs = f"{invite.get('To')};tag=phone", invite.get("From")
    target = uri_of(invite.get("Contact"))
    dialog = Dialog(edge, target, [], ours, theirs, invite.get("Call-ID"), where(pool), number=100)
    return invite, dialog


async def test_who_answers_is_joined_and_the_pbx_is_asked_to_take_both_over(
    pbx: Party, pool: SipPool, edge: Party
) -> None:
    dialog = await dialled(pbx, pool, "connect-1002")
    invite, phone = await leg(edge, pool)
    assert invite.uri == uri_of(pbx.contact).replace("asterisk", "1002")
    assert invite.get("X-VM-Ring") == "trunk"
    assert "asterisk@" in invite.get("From")
    refer = await asked(pbx, "REFER", 202, pool)
    assert phone.call_id.replace("@", "%40") in refer.get("Refer-To") or phone.call_id in refer.get(
        "Refer-To"
    )
    assert "to-tag%3Dphone" in refer.get("Refer-To")
    await told(dialog, "200 OK", "terminated;reason=noresource")
    await asked(pbx, "BYE", 200, pool)
    await asked(edge, "BYE", 200, pool)
    assert (await pool.report())["result"] == "done"


async def test_both_stay_joined_when_the_pbx_cannot_take_over_and_either_ends_it(
    pbx: Party, pool: SipPool, edge: Party
) -> None:
    await dialled(pbx, pool, "connect-1002")
    _, phone = await leg(edge, pool)
    await asked(pbx, "REFER", 501, pool)
    await asyncio.sleep(0.3)
    assert not pbx.requests("BYE")
    assert (await phone.request("BYE")).code == 200
    await asked(pbx, "BYE", 200, pool)
    assert (await pool.report())["result"] == "done"


async def key(phone: Dialog, key: str) -> Message:
    """A key as SIP INFO."""
    headers = (("Content-Type", "application/dtmf-relay"),)
    sent = phone.send("INFO", headers, f"Signal={key}\r\nDuration=160\r\n")
    return await phone.party.answer_to(sent, phone.where)


async def test_who_answers_and_is_asked_is_joined_by_one(pbx: Party, pool: SipPool, edge: Party) -> None:
    await dialled(pbx, pool, "screen-1002")
    _, phone = await leg(edge, pool)
    await asyncio.sleep(0.3)
    assert not pbx.requests("REFER"), "nobody is joined before"
    assert (await key(phone, "1")).code == 200
    await asked(pbx, "REFER", 501, pool)
    assert (await phone.request("BYE")).code == 200
    await asked(pbx, "BYE", 200, pool)
    assert (await pool.report())["result"] == "done"


@pytest.mark.parametrize("how", ["2", "7", "hangs up"])
async def test_who_does_not_take_a_call_is_let_go_and_the_caller_is_still_here(
    pbx: Party, pool: SipPool, edge: Party, how: str
) -> None:
    await dialled(pbx, pool, "screen-1002")
    _, phone = await leg(edge, pool)
    if how == "hangs up":
        await asyncio.sleep(0.3)
        assert (await phone.request("BYE")).code == 200
    else:
        await key(phone, how)
        await asked(edge, "BYE", 200, pool)
    await asked(pbx, "BYE", 200, pool)
    assert not pbx.requests("REFER")
    assert (await pool.report())["result"] == "declined"


async def test_a_caller_who_hangs_up_ends_the_question(pbx: Party, pool: SipPool, edge: Party) -> None:
    dialog = await dialled(pbx, pool, "screen-1002")
    await leg(edge, pool)
    await asyncio.sleep(0.3)
    assert (await dialog.request("BYE")).code == 200
    await asked(edge, "BYE", 200, pool)
    assert (await pool.report())["hung_up"]


@pytest.mark.parametrize(("code", "result"), [(486, "busy"), (480, "no answer"), (404, "refused")])
async def test_a_caller_is_still_here_when_the_other_does_not_answer(
    pbx: Party, pool: SipPool, edge: Party, code: int, result: str
) -> None:
    await dialled(pbx, pool, "connect-1002")
    await asked(edge, "INVITE", code, pool)
    await asked(pbx, "BYE", 200, pool)
    assert (await pool.report())["result"] == result


async def test_ringing_ends_in_time_and_the_phone_stops(pbx: Party, pool: SipPool, edge: Party) -> None:
    await dialled(pbx, pool, "connect-1002-1")
    invite = await asked(edge, "INVITE", 180, pool)
    await asked(edge, "CANCEL", 200, pool)
    edge.send(invite.reply(487, "pbx"), where(pool))
    await asked(pbx, "BYE", 200, pool)
    assert (await pool.report())["result"] == "no answer"


async def test_a_caller_who_hangs_up_stops_the_ringing(pbx: Party, pool: SipPool, edge: Party) -> None:
    dialog = await dialled(pbx, pool, "connect-1002")
    invite = await asked(edge, "INVITE", 180, pool)
    assert (await dialog.request("BYE")).code == 200
    await asked(edge, "CANCEL", 200, pool)
    edge.send(invite.reply(487, "pbx"), where(pool))
    assert (await pool.report())["hung_up"]


async def test_a_full_worker_rings_nobody(pbx: Party, pool: SipPool, edge: Party) -> None:
    others = [await dialled(pbx, pool, "record") for _ in range(3)]
    invites = len(edge.requests("INVITE"))
    await dialled(pbx, pool, "connect-1002")
    await asked(pbx, "BYE", 200, pool)
    assert (await pool.report())["result"] == "refused"
    assert len(edge.requests("INVITE")) == invites
    for other in others:
        assert (await other.request("BYE")).code == 200


async def test_a_phone_hears_ringing_then_whom_it_was_put_through_to_and_keys_pass(
    pool: SipPool, edge: Party, tmp_path: Path
) -> None:
    """Real audio: a phone that came over no trunk, and another one behind the edge, which is a redirecting
    one here. Who answers hears a sound first and takes the call, while the caller goes on to hear ringing."""
    async with Softphone(phone_settings()) as caller, Softphone(phone_settings(), answers=True) as other:
        pool.seen = len(pool.reports())
        call = await caller.dial(pool.uri("screen-1002"))
        await call.answered()
        await call.record(tmp_path / "heard.wav")
        invite = await edge.wait(lambda message: not message.code and message.method == "INVITE", 5.0)
        await asyncio.sleep(1.2)
        await relayed(edge, invite, other.port, pool)
        talk = await other.ring()
        await talk.record(tmp_path / "asked.wav")
        await asyncio.sleep(2.0)
        await talk.press("1")
        await asyncio.sleep(0.5)
        await talk.say(pool.folder / "speech.wav")
        await call.press("5#")
        await talk.press("7")
        await other.until(lambda: talk.keys == "5#", 3.0)
        await caller.until(lambda: call.keys == "7", 3.0)
        await call.hang_up()
        assert await talk.ended() == 200
        tone = wav.read(tones.ringing(tmp_path)).data[: int(0.8 * 2 * wav.RATE)]
        (tmp_path / "tone.wav").write_bytes(wav.file_pcm16(tone))
        assert hears(tmp_path / "heard.wav", tmp_path / "tone.wav") is not None
        assert hears(tmp_path / "heard.wav", pool.folder / "speech.wav") is not None
        assert hears(tmp_path / "asked.wav", pool.folder / "speech.wav") is not None
    assert (await pool.report())["result"] == "done"


async def relayed(edge: Party, invite: Message, port: int, pool: SipPool) -> None:
    """Hands an INVITE and its answers on, as a proxy does that wants to see nothing else."""
    via = ("Via", f"SIP/2.0/UDP 127.0.0.1:{edge.address[1]};branch=z9hG4bKrelay{port}")
    lines = [
        f"{invite.method} sip:1002@127.0.0.1:{port} SIP/2.0",
        *(f"{n}: {v}" for n, v in (via, *invite.headers) if n != "Route"),
    ]
    edge.send("\r\n".join(lines) + "\r\n\r\n" + invite.body, ("127.0.0.1", port))
    answer = await edge.wait(lambda m: m.code == 200 and m.get("Call-ID") == invite.get("Call-ID"), 5.0)
    kept = [(n, v) for n, v in answer.headers if not (n == "Via" and "relay" in v)]
    edge.send(
        "\r\n".join([answer.start, *(f"{n}: {v}" for n, v in kept)]) + "\r\n\r\n" + answer.body, where(pool)
    )
