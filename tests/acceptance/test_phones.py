"""A user's own telephone: registered at one node, known at both."""

import asyncio
import json
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe

import pytest

from sip.digest import REALM, ha1
from sip.hears import hears
from sip.parse import parse_uri
from sip.settings import EngineSettings
from sip.softphone import PhoneCall, Softphone
from store.ids import uuid7
from store.model import Folder, Mark, NewMessage, Setting
from tests.acceptance import lamps, scene
from tests.acceptance.apart import FRESH
from tests.acceptance.scene import Scene
from tests.acceptance.telling import may_be_called, telephones
from tests.fakes.balancer import ready
from voicemail.policy.model import UserOptions
from voicemail.policy.transfers import Transfer
from voicemail.supervise.phones import KIND
from voicemail.tour.tour import SPEECH, Listening, Person, prompt

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def with_phone(two: Scene, person: Person) -> str:
    """Calls for the user are put through before the greeting, if the user takes them by 1; the password of
    the user's phone."""
    password = token_urlsafe(16)
    account = {"ha1": ha1(person.extension, password), "realm": REALM}
    options = UserOptions(transfer=Transfer(enabled=True, supervised=True, announce=True, confirm=True))
    settings = two.tour.stores[0].settings
    await settings.put(Setting(UserOptions.KIND, "options", options.model_dump_json(), person.id))
    await settings.put(Setting(KIND, person.extension, json.dumps(account), person.id))
    return password


async def test_a_phone_registered_at_one_node_is_its_user_when_it_calls_and_rings_when_called_at_the_other(
    two: Scene, tmp_path: Path
) -> None:
    person, other = await two.person("3901"), await two.person("3902")
    password = await with_phone(two, person)
    registrar = f"sip:{two.second.edge}"
    settings = EngineSettings(
        sip_address=scene.OWN_PHONES, rtp_address=scene.OWN_PHONES, rtp_port=two.cluster.plan.rtp - 100
    )
    async with Softphone(settings) as phone:

        async def registered() -> bool:
            return await phone.register(registrar, person.extension, password) == 200

        await scene.seen("the phone is registered", registered, 15)

        await phone.subscribe(f"sip:{person.extension}@{two.second.edge}")
        assert "Messages-Waiting: no" in (await phone.notified(lambda notify: bool(notify.body))).body

        # it calls somebody else's mailbox: the message is from its user
        call = await phone.dial(f"sip:{other.extension}@{two.second.edge}")
        await call.answered()
        await call.press("#")
        await asyncio.sleep(1.0)
        await call.say(prompt(SPEECH))
        await call.hang_up()

        async def sent() -> bool:
            return [each.envelope.sender for each in (await two.messages(other))[0]] == [person.id]

        await scene.seen("a message from the phone's user", sent, 10)

        # somebody calls its user by way of the other node
        caller = await two.tour.dial(two.first, two.tour.pbx, "sip:4930777@127.0.0.1")
        await caller.call.press(person.extension + "#")
        rings = await phone.ring(15)
        await rings.record(tmp_path / "phone.wav")
        await asyncio.sleep(1.5)
        await rings.press("1")
        await asyncio.sleep(0.5)
        await caller.call.say(prompt(SPEECH))
        await asyncio.sleep(0.3)  # its end is on its way
        await caller.call.hang_up()
        assert await rings.ended() == 200
        assert hears(tmp_path / "phone.wav", prompt("call_for")) is not None
        assert hears(tmp_path / "phone.wav", prompt(SPEECH)) is not None
    for node in two.cluster.nodes:
        assert password not in node.log.read_text()


async def test_a_phone_that_subscribes_is_answered_at_once_also_by_an_edge_that_was_started_again(
    two: Scene,
) -> None:
    """It has no messages; it is told so at either edge, when it comes and when it comes again."""
    person = await two.person("3905")
    none = {person.extension: (0, 0)}
    for node in two.cluster.nodes:
        async with lamps.subscribed(node, [person.extension]) as before:
            await lamps.all_right(two, before, none, 5)
            killed, began = scene.edge(node), time.monotonic()
            scene.send(killed, signal.SIGKILL)
            await ready(("127.0.0.1", node.config.sip.port))
            took = time.monotonic() - began
            async with lamps.subscribed(node, [person.extension]) as after:
                await lamps.all_right(two, after, none, 0.1)
                message = NewMessage(uuid7(), person.id, "4930555", "", datetime.now(UTC), 3.0)
                await two.tour.stores[0].messages.deposit(message, prompt(SPEECH).read_bytes())
                told = await lamps.all_right(two, [*before, *after], {person.extension: (1, 0)}, 5)
                await two.tour.stores[0].messages.mark(message.id, Mark.PURGE)
                await lamps.all_right(two, [*before, *after], none, 5)
            print(
                f"edge of vm{node.number} back after {took:.1f} s; SUBSCRIBE answered after "
                f"{1000 * after[0].first:.0f} ms, a message shown at old and new ones after {told:.2f} s"
            )


async def ringing(pbx: Softphone, number: str) -> PhoneCall:
    """The call to this number, by way of an edge."""
    call = await pbx.ring(20)
    assert call.incoming
    assert parse_uri(call.incoming.uri).user == number
    assert call.incoming.first("record-route"), "it came past the edge"
    return call


async def test_a_user_is_called_over_the_trunk_until_a_telephone_is_answered(
    two: Scene, tmp_path: Path
) -> None:
    """One telephone is busy, nobody answers the next; the third one is the user, who hears the message."""
    person = await two.person("3904")
    await may_be_called(two, person)
    await telephones(two, person, "01711", "01712", "01713")
    rtp = EngineSettings(
        sip_address="127.0.0.1", sip_port=two.call_port, rtp_address="127.0.0.1",
        rtp_port=two.cluster.plan.rtp - 300,
    )  # fmt: skip
    async with Softphone(rtp, answers=False) as pbx:
        await asyncio.sleep(FRESH)
        message = NewMessage(uuid7(), person.id, "4930555", "", datetime.now(UTC), 3.0)
        await two.tour.stores[0].messages.deposit(message, prompt(SPEECH).read_bytes())
        for number, code in (("01711", 486), ("01712", 480)):
            await (await ringing(pbx, number)).reply(code)
        call = await ringing(pbx, "01713")
        await call.reply(200)
        await call.answered()
        await call.record(tmp_path / "called.wav")
        heard = Listening(call, tmp_path / "called.wav")
        await heard.hear("notified")
        await call.press(person.pin + "#")
        await heard.hear("new_message")
        await call.press("1")
        await heard.hear("the message", prompt(SPEECH), 20)
        await call.hang_up()
        assert len(pbx.calls) == 3, "nobody is called who need not be"
    [kept] = await two.tour.stores[0].messages.listing(person.id)
    assert kept.folder is Folder.SAVED
