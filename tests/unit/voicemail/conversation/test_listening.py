"""What a user hears of messages, in which order, of which type; and having one sent by mail."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sip.call import HungUp, Sound
from store.model import Envelope, Folder, Message, MessageKind, Work
from tests.fakes.call import START, ScriptedCall, Step
from tests.fakes.desk import ANNA, BEN, House, house
from voicemail.conversation.hear_messages import hear_messages
from voicemail.conversation.order import ordered
from voicemail.policy.keeping import Aging
from voicemail.policy.listening import Order, Says, Sort
from voicemail.policy.model import UserOptions

RECEIPT = Envelope(MessageKind.READ_RECEIPT, sender=BEN.id)
AT = ("received", "today", "at", "n_3", "oh", "n_5", "pm")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def options(home: House, **changes: object) -> None:
    policies = home.desk().policies
    await policies.set_options(ANNA.id, (await policies.options(ANNA.id)).model_copy(update=changes))


async def hear(home: House, *script: Step, folder: Folder = Folder.NEW) -> ScriptedCall:
    call = home.call(*script)
    with suppress(HungUp):
        await hear_messages(home.desk(), call, ANNA, folder)
    return call


def said(call: ScriptedCall) -> list[str]:
    return ["AUDIO" if isinstance(sound, Path) else sound for sound in call.heard]


@pytest.mark.parametrize(
    ("before", "after", "heard"),
    [
        ((), (), ["AUDIO", "end_of_message"]),
        ((Says.PLACE,), (), ["message", "AUDIO", "end_of_message"]),
        ((Says.SENDER,), (Says.TIME,), ["from_outside_caller", "AUDIO", "end_of_message", *AT]),
        ((Says.TIME, Says.PLACE), (), ["message", *AT, "AUDIO", "end_of_message"]),
        ((Says.LENGTH,), (), ["length", "n_4", "seconds", "AUDIO", "end_of_message"]),
        ((), (Says.NUMBER,), ["AUDIO", "end_of_message", "from", "plus", "n_4", "n_9"]),
    ],
)
async def test_each_field_is_said_where_the_user_wants_it(
    home: House, before: Sequence[Says], after: Sequence[Says], heard: list[str]
) -> None:
    await home.leave(caller="+49")
    await options(home, says_before=tuple(before), says_after=tuple(after))
    assert said(await hear(home, "*"))[: len(heard)] == heard


async def test_urgent_is_always_said_and_a_number_that_is_not_known_never(home: House) -> None:
    await home.leave(caller="", urgent=True)
    await options(home, says_before=(Says.NUMBER,))
    assert said(await hear(home, "*"))[:2] == ["urgent", "AUDIO"]


async def test_who_did_not_get_a_message_is_said_whatever_the_fields_are(home: House) -> None:
    report = Envelope(MessageKind.NON_DELIVERY, recipients=("1999",), why="gone")
    await home.leave(envelope=report)
    await options(home, says_before=())
    assert said(await hear(home, "*"))[:2] == ["non_delivery", "n_1"]


def listed(*of: tuple[Envelope, bool, int]) -> list[Message]:
    """Each with its place as the number it came from."""
    kept = Message(ANNA.id, ANNA.id, "", "", START, 1.0, False, False, Folder.NEW, 1)
    return [
        replace(
            kept,
            caller=str(place),
            envelope=envelope,
            urgent=urgent,
            recorded=START + timedelta(minutes=minutes),
        )
        for place, (envelope, urgent, minutes) in enumerate(of)
    ]


MIXED = ((RECEIPT, False, 1), (Envelope(), False, 3), (Envelope(), True, 4), (Envelope(), False, 2))


@pytest.mark.parametrize(
    ("changes", "folder", "order"),
    [
        ({}, Folder.NEW, "2310"),
        ({"type_order": (Sort.REPORTS, Sort.VOICE)}, Folder.NEW, "0231"),
        ({"type_order": (Sort.REPORTS,)}, Folder.NEW, "0231"),
        ({"type_order": ()}, Folder.NEW, "2310"),
        ({"new_order": Order.NEWEST}, Folder.NEW, "2130"),
        ({"new_order": Order.NEWEST}, Folder.SAVED, "2310"),
        ({"saved_order": Order.NEWEST}, Folder.SAVED, "2130"),
        ({"saved_order": Order.NEWEST}, Folder.DELETED, "2130"),
    ],
)
def test_messages_come_by_type_urgent_first_then_by_time(
    changes: dict[str, object], folder: Folder, order: str
) -> None:
    wanted = UserOptions().model_copy(update=changes)
    assert "".join(each.caller for each in ordered(listed(*MIXED), wanted, folder)) == order


async def both_types(home: House) -> None:
    await home.leave()
    await home.leave(envelope=RECEIPT)
    await options(home, type_menu=True)


@pytest.mark.parametrize(
    ("key", "heard"),
    [
        ("1", ["message", "from_outside_caller"]),
        ("2", ["message", "read_receipt"]),
        ("#", ["first_message", "from_outside_caller"]),
        ("*", []),
    ],
)
async def test_the_type_is_asked_for_where_the_user_wants_it(
    home: House, key: str, heard: list[Sound]
) -> None:
    await both_types(home)
    call = await hear(home, key, "*")
    assert call.heard[0] == "which_messages_menu" and call.heard[1:3] == heard


async def test_silence_and_wrong_keys_at_the_types_go_back(home: House) -> None:
    await both_types(home)
    call = await hear(home, "7", "", "", "")
    assert call.heard[1:4] == ["invalid_key", "which_messages_menu", "still_there"]
    assert not call.gone and "message" not in call.heard


async def test_one_type_alone_is_not_asked_for(home: House) -> None:
    await home.leave()
    await options(home, type_menu=True)
    assert "which_messages_menu" not in (await hear(home, "*")).heard


# ---- by mail


async def with_mail(home: House) -> None:
    await home.store.users.change(replace(ANNA, mail="anna@example.com"))


def wishes(home: House) -> list[dict[str, object]]:
    rows = [item for item in home.store.state.outbox.values() if item.kind is Work.NOTIFY]
    return [json.loads(item.payload) for item in rows]


async def test_eight_has_a_message_sent_by_mail_each_time_it_is_pressed(home: House) -> None:
    await with_mail(home)
    message = await home.leave()
    call = await hear(home, "8", "8", "*")
    assert call.heard.count("message_will_be_mailed") == 2
    assert [each["facts"] for each in wishes(home)] == [{"message": str(message.id)}] * 2
    assert len({str(each["source"]) for each in wishes(home)}) == 2


async def test_a_user_without_an_address_is_told(home: House) -> None:
    await home.leave()
    assert "no_mail_address" in (await hear(home, "8", "*")).heard and wishes(home) == []


async def test_a_secure_message_is_not_mailed(home: House) -> None:
    await with_mail(home)
    await home.leave(envelope=Envelope(sender=BEN.id, secure=True))
    assert "secure_not_mailed" in (await hear(home, "8", "*")).heard and wishes(home) == []


async def test_a_store_that_goes_away_confirms_no_mail(home: House) -> None:
    await with_mail(home)
    await home.leave()
    call = home.call("8", "*")
    call.on_sound = lambda sound: setattr(home.store.state, "away", sound == "after_message_menu")
    with suppress(Exception):
        await hear_messages(home.desk(), call, ANNA, Folder.NEW)
    assert "message_will_be_mailed" not in call.heard


async def test_a_message_that_has_become_secure_is_not_mailed_and_says_so(home: House) -> None:
    await with_mail(home)
    await home.desk().policies.put("default", Aging(secure_after=1))
    await home.leave(recorded=START - timedelta(days=2))
    heard = (await hear(home, "8", "9", "*")).heard
    assert "secure_not_mailed" in heard and "message_marked_secure" in heard and wishes(home) == []
