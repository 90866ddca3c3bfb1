"""People on other systems, addressed by phone keys."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sip import wav
from sip.call import HungUp
from store.ids import uuid7
from store.model import (
    OUTGOING,
    Envelope,
    Message,
    MessageKind,
    Remote,
    Setting,
    Work,
    setting_id,
)
from store.notes import noted
from store.spool import SpoolEntry
from tests.fakes.call import ScriptedCall, Step
from tests.fakes.desk import ANNA, BEN, House, house
from voicemail.conversation.call_sender import number_of
from voicemail.conversation.forward import forward
from voicemail.conversation.header import header, properties
from voicemail.conversation.reply import reply
from voicemail.conversation.send_message import send_message
from voicemail.policy.base import Policy
from voicemail.policy.elsewhere import dialled
from voicemail.policy.locations import Contact, Location
from voicemail.policy.model import ClassOfService, Members, UserOptions

FAR = Location(domain="vm2.example", dial_id="82", prefixes=("27", "3"))
EVA = "2722@vm2.example"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        await given(opened, "far", FAR)
        yield opened


async def given(home: House, name: str, policy: Policy, owner: object = None) -> None:
    await home.store.settings.put(Setting(policy.KIND, name, policy.model_dump_json(), owner))  # type: ignore[arg-type]


async def said(home: House, *script: Step) -> ScriptedCall:
    call = home.call(*script)
    with suppress(HungUp):
        await send_message(home.desk(), call, ANNA)
    return call


async def leaving(home: House) -> list[Message]:
    return list(await home.store.messages.listing(OUTGOING))


def posts(home: House) -> list[str]:
    """To whom, as the work says."""
    return [json.loads(i.payload)["to"] for i in home.store.state.outbox.values() if i.kind is Work.POST]


async def test_a_mailbox_that_nobody_knows_is_addressed_by_its_location_and_digits(home: House) -> None:
    call = await said(home, "8", "22722", "#", 4.0, "#")
    digits = ["n_8", "n_2", "n_2", "n_7", "n_2", "n_2"]
    assert [each for each in call.heard if str(each) in set(digits)][:6] == digits
    assert (posts(home), call.heard[-1]) == ([EVA], "message_sent")
    (message,) = await leaving(home)
    assert message.envelope == Envelope(MessageKind.OUTGOING, sender=ANNA.id, recipients=(EVA,))
    assert home.left_in_spool() == 0


async def test_a_mailbox_that_its_location_does_not_have_is_nobody(home: House) -> None:
    for number in ("824722", "82", "722722"):
        call = await said(home, number[0], number[1:], "*")
        assert "nobody_has_this_extension" in call.heard
    assert not posts(home)


async def test_our_own_numbers_come_before_those_elsewhere(home: House) -> None:
    await home.store.users.change(replace(BEN, extension="8227"))
    await said(home, "8", "227", "#", 4.0, "#")
    assert (posts(home), len(await home.messages(BEN))) == ([], 1)


async def test_a_contact_is_addressed_by_number_and_by_name_and_called_by_its_recording(home: House) -> None:
    await given(home, EVA, Contact(location="far", display_name="Eva Far", extension="3001"))
    await home.store.users.set_greeting(setting_id("contact", EVA), wav.file_ulaw(b"\x55" * 4000), "name")
    for script in (("3", "001"), ("#", "#", "3", "27")):
        call = await said(home, *script, "#", 4.0, "#")
        assert any(isinstance(each, Path) for each in call.heard), call.heard
    assert posts(home) == [EVA, EVA]


async def test_a_contact_that_is_not_listed_is_not_found_by_name(home: House) -> None:
    await given(home, EVA, Contact(location="far", display_name="Eva Far", extension="3001", listed=False))
    assert "directory_nobody" in (await said(home, "#", "#", "3", "27", "*")).heard


async def test_a_location_with_a_recorded_name_is_called_by_it(home: House) -> None:
    await home.store.users.set_greeting(setting_id("location", "far"), wav.file_ulaw(b"\x55" * 4000), "name")
    call = await said(home, "8", "22722", "#", 4.0, "#")
    at = next(number for number, each in enumerate(call.heard) if isinstance(each, Path))
    assert call.heard[at + 1 : at + 5] == ["n_2", "n_7", "n_2", "n_2"]


async def test_a_class_of_service_can_keep_messages_inside(home: House) -> None:
    await given(home, EVA, Contact(location="far", display_name="Eva Far", extension="3001"))
    await given(home, "inside", ClassOfService(may_send_elsewhere=False))
    await given(home, "options", UserOptions(cos="inside"), ANNA.id)
    assert "not_allowed" in (await said(home, "8", "22722", "*")).heard
    assert "not_allowed" in (await said(home, "3", "001", "*")).heard
    assert "directory_nobody" in (await said(home, "#", "#", "3", "27", "*")).heard
    call = home.call("4")
    await reply(home.desk(), call, ANNA, await received(home), False)
    assert call.heard[-1] == "not_allowed"


async def test_one_message_for_here_and_there(home: House) -> None:
    await given(home, "all", Members(extension="4900", members=("1002", EVA, "2733@VM2.example")))
    await said(home, "4", "900", "#", 4.0, "#")
    assert sorted(posts(home)) == [EVA, "2733@VM2.example"]
    assert (len(await home.messages(BEN)), len(await leaving(home))) == (1, 1)


async def test_a_message_for_later_leaves_then(home: House) -> None:
    await said(home, "8", "22722", "#", 4.0, "1", "4", "0305", "0930", "#")
    ((until, *_),) = [
        (home.store.state.postponed[each.id].until,)
        for each in home.store.state.outbox.values()
        if each.kind is Work.POST
    ]
    (waiting,) = await home.store.messages.sent(ANNA.id, home.clock.now())
    assert until == waiting.envelope.deliver_at


# ---- what may not go there


async def test_a_secure_message_comes_back_unless_the_location_is_secure(home: House) -> None:
    await said(home, "8", "22722", "#", 4.0, "1", "8", "#")
    (back,) = await home.messages(ANNA)
    assert (back.envelope.kind, back.envelope.why) == (MessageKind.NON_DELIVERY, "not allowed")
    assert back.envelope.recipients == (EVA,) and back.envelope.secure
    assert not posts(home)
    heard = await header(home.desk(), back)
    assert heard[:5] == ("non_delivery", "n_2", "n_7", "n_2", "n_2") and "not_allowed" in heard
    home.clock.pass_(3)
    await given(home, "far", FAR.model_copy(update={"secure": True}))
    await said(home, "8", "22722", "#", 4.0, "1", "8", "#")
    assert posts(home) == [EVA]


async def test_a_location_that_is_gone_when_it_is_sent_is_a_non_delivery(home: House) -> None:
    call = home.call("8", "22722", "#", 4.0, "#")

    def gone(sound: object) -> None:
        home.store.state.settings.pop(setting_id("location", "far"), None)

    call.on_sound = lambda sound: gone(sound) if sound == "send_menu" else None
    with suppress(HungUp):
        await send_message(home.desk(), call, ANNA)
    (back,) = await home.messages(ANNA)
    assert (back.envelope.why, back.envelope.recipients) == ("gone", (EVA,))


# ---- what came from there


async def received(home: House, **more: object) -> Message:
    remote = Remote(EVA, "Eva Far", "abc@vm2.example")
    envelope = replace(Envelope(recipients=("1001",), remote=remote), **more)  # type: ignore[arg-type]
    new = await home.leave(ANNA, caller="2722", envelope=envelope)
    message = await home.store.messages.get(new.id)
    assert message
    return message


async def test_a_message_from_elsewhere_is_answered_there(home: House) -> None:
    await reply(home.desk(), home.call(4.0, "#"), ANNA, await received(home), False)
    assert posts(home) == [EVA]


async def test_an_answer_to_all_goes_to_all_but_ourselves_and_once_to_the_sender(home: House) -> None:
    message = await received(home, recipients=("1001", "1002", "2733@vm2.example", "2722@VM2.example"))
    await reply(home.desk(), home.call(4.0, "#"), ANNA, message, True)
    assert sorted(posts(home)) == [EVA, "2733@vm2.example"]
    assert len(await home.messages(BEN)) == 1


@pytest.mark.parametrize("address", ["non-mail-user@vm2.example", "eva@nowhere.example"])
async def test_nobody_is_answered_whom_nobody_can_answer(home: House, address: str) -> None:
    call = home.call()
    message = await received(home, remote=Remote(address))
    await reply(home.desk(), call, ANNA, message, False)
    assert call.heard == ["caller_cannot_be_answered"]


async def test_who_sent_it_is_said_by_digits(home: House) -> None:
    heard = await header(home.desk(), await received(home))
    assert heard[:5] == ("from", "n_8", "n_2", "n_2", "n_7")


async def test_a_message_is_passed_on_to_another_system(home: House) -> None:
    message = await received(home)
    await forward(home.desk(), home.call("8", "23001", "#", "#", "#"), ANNA, message)
    assert posts(home) == ["3001@vm2.example"]
    (leaving_now,) = await leaving(home)
    assert [part.caller for part in leaving_now.envelope.parts] == ["2722"]


async def test_a_private_message_is_never_passed_on(home: House) -> None:
    call = home.call()
    message = await received(home, private=True)
    await forward(home.desk(), call, ANNA, message)
    assert call.heard == ["private_not_forwarded"] and not posts(home)


async def test_a_message_that_became_private_is_not_passed_on_at_the_last_moment(home: House) -> None:
    """The conversation refuses it; were it not to, the way out would."""
    message = await received(home, private=True)
    entry = replace(entry_for(home), forwards=message.id, addressees=(EVA,))
    draft = await home.delivery.begin(entry)
    draft = await home.delivery.change(draft, complete=True, seconds=0.0)
    assert await home.delivery.deliver(draft)
    assert not posts(home) and len(await home.messages(ANNA)) == 2


def entry_for(home: House) -> SpoolEntry:
    envelope = noted(Envelope(sender=ANNA.id, recipients=(EVA,)))
    return SpoolEntry(uuid7(), "1001", home.clock.now(), caller="1001", envelope=envelope)


async def test_what_comes_from_elsewhere_does_not_go_elsewhere_by_itself(home: House) -> None:
    """Two systems whose lists name each other would send it around for ever."""
    await given(home, "all", Members(members=("1002", "2733@vm2.example")))
    envelope = noted(Envelope(recipients=("list:all",), remote=Remote(EVA, message_id="abc@vm2.example")))
    entry = replace(entry_for(home), envelope=envelope, addressees=("list:all",))
    draft = await home.delivery.begin(entry)
    draft.path.write_bytes(wav.file_ulaw(b"\x55" * 16000))
    for _ in range(2):
        assert await home.delivery.deliver(draft)
    assert not posts(home) and len(await home.messages(BEN)) == 1


async def test_a_mailbox_there_is_not_called_as_a_number_here(home: House) -> None:
    message = await received(home, remote=Remote("1002@vm2.example"))
    assert number_of(replace(message, caller="1002")) == ""
    assert number_of(replace(message, caller="+4930555")) == "+4930555"
    assert number_of(replace(message, envelope=Envelope(), caller="1002")) == "1002"


async def test_its_properties_name_it_as_its_header_does(home: House) -> None:
    heard = await properties(home.desk(), await received(home))
    assert heard[:4] == ("from", "n_8", "n_2", "n_2")


@pytest.mark.parametrize(
    ("number", "address"),
    [
        ("822722", EVA),
        ("82272212345678901234567", "272212345678901234567@vm2.example"),
        ("82", None),
        ("824", None),
        ("82३", None),
        ("2722", None),
        ("8272", None),
        ("82731", "1@deep.example"),
    ],
)
def test_the_longest_dial_id_is_meant(number: str, address: str | None) -> None:
    places = {"far": FAR, "deep": Location(domain="deep.example", dial_id="8273")}
    places |= {"none": Location(domain="none.example")}
    assert dialled(number, places) == address


async def test_a_contact_is_found_as_it_is_now_and_one_that_cannot_be_read_is_nobody(home: House) -> None:
    """There may be very many: they are asked for one by one, and not kept."""
    broken = Setting(
        Contact.KIND, "2799@vm2.example", '{"location": 7, "extension": "3001", "keys": ["327"]}'
    )
    await home.store.settings.put(broken)
    assert "nobody_has_this_extension" in (await said(home, "3", "001", "*")).heard
    assert "directory_nobody" in (await said(home, "#", "#", "3", "27", "*")).heard
    assert Contact.KIND not in {kind for kind, _ in home.desk().policies._system}
    await given(home, EVA, Contact(location="far", display_name="Eva Far", extension="3001"))
    await given(home, "eve@gone.example", Contact(location="gone", display_name="Eva Fast"))
    for number in range(9):
        await given(home, f"28{number}@vm2.example", Contact(location="far", display_name="Jörg Fab"))
    await said(home, "#", "#", "3", "27382", "#", 4.0, "#")
    assert posts(home) == [EVA]
    assert "directory_spell_more" in (await said(home, "#", "#", "3", "22", "*")).heard
    await home.store.settings.remove(Contact.KIND, EVA)
    assert "nobody_has_this_extension" in (await said(home, "3", "001", "*")).heard


def test_a_contact_says_by_what_keys_it_is_found() -> None:
    assert Contact(location="far", display_name="Jörg Müller").keys == (
        "6855375674",
        "68355375637 4"[:0] or "683553756374",
    )
    assert not Contact(location="far", display_name="Eva", listed=False).keys
    assert '"keys":["382"]' in Contact(location="far", display_name="Eva").model_dump_json()
