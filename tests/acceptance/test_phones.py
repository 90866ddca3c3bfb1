"""A user's own telephone: registered at one node, known at both."""

import asyncio
import json
from pathlib import Path
from secrets import token_urlsafe

import pytest

from sip.digest import REALM, ha1
from sip.hears import hears
from sip.settings import EngineSettings
from sip.softphone import Softphone
from store.model import Setting
from tests.acceptance import scene
from tests.acceptance.scene import Scene
from voicemail.policy.model import UserOptions
from voicemail.policy.transfers import Transfer
from voicemail.supervise.phones import KIND
from voicemail.tour.tour import SPEECH, Person, prompt

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
