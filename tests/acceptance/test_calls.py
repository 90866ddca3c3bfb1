"""Callers and users who do what they should not, and a cluster that lacks something: who is told what."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sip import wav
from sip.hears import hears
from sip.settings import EngineSettings
from sip.softphone import Softphone
from store.ids import uuid7
from store.model import NewMessage
from tests.acceptance import scene
from tests.acceptance.scene import PIN, Scene
from tests.fakes.sip import Party, TcpPhone, Where
from voicemail.errors import ClusterError
from voicemail.sink import Sink
from voicemail.tour.local import LocalNode
from voicemail.tour.tour import SPEECH, Listening, Person, prompt

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def signing_in(two: Scene, node: LocalNode, person: Person) -> AsyncIterator[Listening]:
    """A call from the user's own number to the pilot; hung up in the end."""
    heard = await two.tour.dial(node, two.tour.phone, f"sip:{person.extension}@127.0.0.1")
    try:
        yield heard
    finally:
        await heard.call.hang_up()


async def leave(two: Scene, node: LocalNode, person: Person) -> None:
    """A message, until both nodes hold one more."""
    before = len((await two.messages(person))[0])
    heard = await two.tour.forwarded(node, person.extension)
    await heard.call.press("#")
    await heard.hear("tone")
    await heard.call.say(prompt(SPEECH))
    await heard.call.hang_up()

    async def kept() -> bool:
        return all(len(listing) == before + 1 for listing in await two.messages(person))

    await scene.seen("the message on both nodes", kept, 5)


def where(node: LocalNode) -> Where:
    return "127.0.0.1", node.config.sip.port


async def test_three_wrong_pins_on_one_node_lock_sign_in_on_both_but_messages_are_taken(two: Scene) -> None:
    person = await two.person("3001")
    async with signing_in(two, two.first, person) as heard:
        for after in ("enter_pin", "pin_wrong", "pin_wrong"):
            await heard.hear(after)
            await asyncio.sleep(0.3)
            await heard.call.press("999999#")
            await asyncio.sleep(1.5)
        await heard.hear("too_many_tries")
    async with signing_in(two, two.second, person) as heard:
        await heard.hear("enter_pin")
        await heard.call.press(PIN + "#")
        await heard.hear("sign_in_locked")
    await leave(two, two.second, person)


async def test_keys_by_sip_info_are_taken_at_the_pin_prompt(two: Scene) -> None:
    person = await two.person("3002")
    async with signing_in(two, two.first, person) as heard:
        await heard.hear("enter_pin")
        await heard.call.press(PIN + "#", info=True)
        await heard.hear("no_messages")


async def test_a_number_that_nobody_has_leads_to_the_opening_greeting(two: Scene) -> None:
    heard = await two.tour.forwarded(two.second, "7777")
    await heard.hear("opening_welcome")
    await heard.call.press("7777#")
    await heard.hear("not_a_mailbox")
    await heard.call.hang_up()


async def test_an_address_that_no_trunk_or_network_covers_gets_403(two: Scene) -> None:
    edge = where(two.first)
    async with await Party.open("127.0.0.66") as stranger, await Party.open("127.0.0.1") as friend:
        refused, _ = await stranger.call(f"sip:5000@{edge[0]}:{edge[1]}", edge)
        assert refused.code == 403
        taken, dialog = await friend.call(f"sip:5000@{edge[0]}:{edge[1]}", edge)
        assert taken.code == 200 and dialog
        assert (await dialog.request("BYE")).code == 200


async def test_a_telephone_on_tcp_is_answered(two: Scene) -> None:
    edge = where(two.second)
    phone = await TcpPhone.connect(edge)
    try:
        assert (await phone.request("OPTIONS", f"sip:{edge[0]}:{edge[1]}", edge)).code == 200
        answer, dialog = await phone.call(f"sip:5000@{edge[0]}:{edge[1]};transport=tcp", edge)
        assert answer.code == 200 and dialog
        assert (await dialog.request("BYE")).code == 200
    finally:
        phone.close()


async def test_a_caller_who_speaks_nothing_but_g722_leaves_a_message(two: Scene) -> None:
    person, old = await two.person("3003"), two.tour.pbx
    settings = EngineSettings(rtp_port=two.cluster.plan.rtp - 300, codecs=("G722/16000",))
    async with Softphone(settings) as wide:
        two.tour.pbx = wide
        try:
            await leave(two, two.first, person)
        finally:
            two.tour.pbx = old


async def test_empty_and_damaged_recordings_are_skipped_with_a_word_and_the_call_goes_on(two: Scene) -> None:
    person, store = await two.person("3004"), two.tour.stores[0]
    good = prompt(SPEECH).read_bytes()
    for audio in (b"", b"no sound at all" * 50, wav.join([wav.parse(good)])):
        new = NewMessage(uuid7(), person.id, "4930555", "", datetime.now(UTC), 3.0)
        await store.messages.deposit(new, audio)
    async with signing_in(two, two.first, person) as heard:
        await heard.hear("enter_pin")
        await heard.call.press(PIN + "#")
        await heard.hear("you_have")
        await heard.call.press("1")
        await heard.hear("message_damaged")
        await heard.hear("the message behind the damaged ones", prompt(SPEECH), within=30)


async def test_a_mail_waits_for_its_server_and_delays_nothing_else(two: Scene) -> None:
    person = await two.person("3005", mail="anna@example.com")
    await two.tour.phone.subscribe(f"sip:3005@{two.second.edge}")
    await two.tour.phone.notified(lambda notify: True)
    await leave(two, two.first, person)
    took = await scene.seen("the lamp is lit", lambda: lit(two), 2)
    async with Sink(two.tour.mails, port=two.mail_port) as sink:

        async def arrived() -> bool:
            return any("anna@example.com" in mail.read_text() for mail in sink.mails())

        waited = await scene.seen("the mail", arrived, 20)
    print(f"lamp {took:.2f} s after the message; mail {waited:.1f} s after its server came back")


async def lit(two: Scene) -> bool:
    return "Messages-Waiting: yes" in two.tour.phone.notifies[-1].body


async def test_a_node_with_the_wrong_secret_is_refused_with_a_line_on_both_sides(two: Scene) -> None:
    plan = replace(two.cluster.plan, directory=two.cluster.plan.directory.parent / "stranger")
    plan.directory.mkdir(exist_ok=True)
    stranger = LocalNode(plan, 2)
    right = (two.cluster.plan.directory / "join.secret").read_text().strip()
    port = str(two.first.config.cluster.port)
    secret = plan.directory / "secret"
    secret.touch(0o600)
    secret.write_text("guessed." + right.partition(".")[2])
    words = ("cluster", "join", "--publisher", "127.0.0.1", "--port", port, "--secret-file", str(secret))
    with pytest.raises(ClusterError, match="refused: wrong cluster secret") as told:
        await stranger.command(*words)
    assert len(str(told.value).splitlines()) == 1
    lines = [line for line in two.first.log.read_text().splitlines() if "Refused a node" in line]
    assert len(lines) == 1 and "wrong cluster secret" in lines[0]
    secret.write_text(right.partition(".")[0] + "." + "0" * 64)
    with pytest.raises(ClusterError, match="wrong cluster secret: it is of another cluster"):
        await stranger.command(*words)


async def test_when_no_worker_is_free_on_either_node_the_answer_is_503_with_retry_after(small: Scene) -> None:
    edges = [where(node) for node in small.cluster.nodes]
    uri = f"sip:5000@{edges[0][0]}:{edges[0][1]}"
    async with await Party.open() as phone:
        dialogs = []
        for _ in range(8):
            answer, dialog = await phone.call(uri, edges[0])
            assert answer.code == 200 and dialog
            dialogs.append(dialog)
        for edge in edges:
            refused, _ = await phone.call(uri, edge)
            assert refused.code == 503
            assert int(refused.get("Retry-After")) > 0
        for dialog in dialogs:
            assert (await dialog.request("BYE")).code == 200


async def test_a_nearly_full_disk_is_told_before_the_tone_and_nothing_is_recorded(small: Scene) -> None:
    person = await small.person("3001")
    heard = await small.tour.forwarded(small.first, person.extension)
    await heard.hear("cannot_record_now")
    assert await heard.call.ended() == 200
    assert await asyncio.to_thread(hears, heard.path, prompt("tone")) is None
    assert await small.messages(person) == ([], [])
