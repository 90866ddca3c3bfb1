"""What is said about a message besides who left it, and which messages come from a number."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from sip.call import HungUp
from store.model import Envelope, Folder, Message, MessageKind
from tests.fakes.call import START, ScriptedCall, Step
from tests.fakes.desk import ANNA, BEN, House, house
from voicemail.conversation.find_message import matching
from voicemail.conversation.header import undelivered
from voicemail.conversation.hear_messages import hear_messages
from voicemail.words import en


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def hear(home: House, *script: Step) -> ScriptedCall:
    call = home.call(*script)
    with suppress(HungUp):
        await hear_messages(home.desk(), call, ANNA, Folder.NEW)
    return call


@pytest.mark.parametrize(
    ("whom", "why", "said"),
    [
        (("17",), "gone", "non_delivery n_1 n_7 nobody_has_this_extension"),
        (("list:sales", "17"), "full", "non_delivery distribution_list and n_1 n_7 mailbox_full"),
        (
            ("7",) * 9,
            "gone, full",
            "non_delivery n_7" + " and n_7" * 4 + " nobody_has_this_extension mailbox_full",
        ),
        ((), "something newer", "non_delivery"),
    ],
)
def test_a_non_delivery_tells_who_did_not_get_it_and_why(whom: tuple[str, ...], why: str, said: str) -> None:
    told = undelivered(en, Envelope(MessageKind.NON_DELIVERY, recipients=whom, why=why))
    assert " ".join(told) == said


async def test_a_non_delivery_comes_from_nobody_and_nobody_is_called_back(home: House) -> None:
    report = Envelope(MessageKind.NON_DELIVERY, recipients=("17",), why="gone")
    await home.leave(caller=ANNA.extension, envelope=report)
    call = await hear(home, "9", "4", "4", "#")
    assert call.heard.count("non_delivery") == 2 and "from_extension" not in call.heard
    assert "cannot_put_through" in call.heard and not call.transfers


async def test_private_and_secure_are_told(home: House) -> None:
    await home.leave(envelope=Envelope(sender=BEN.id, private=True, secure=True))
    call = await hear(home, "9", "#")
    assert call.heard.count("private") == 2 and "message_marked_secure" in call.heard


PLAIN = Envelope()


def message(caller: str, envelope: Envelope = PLAIN) -> Message:
    return Message(UUID(int=1), ANNA.id, caller, "", START, 1.0, False, False, Folder.NEW, 1, envelope)


@pytest.mark.parametrize(
    ("caller", "pressed", "found"),
    [
        ("+4930555", "0555", True),
        ("+4930555", "004930555", True),
        ("+4930555", "003930555", False),
        ("", "555", False),
        ("1002", "1003", False),
    ],
)
def test_a_message_is_found_by_its_number_or_how_that_ends(caller: str, pressed: str, found: bool) -> None:
    assert bool(matching([message(caller)], pressed, None)) is found


def test_a_colleagues_messages_are_found_whatever_number_he_called_from() -> None:
    sent = message("", Envelope(sender=BEN.id))
    assert matching([sent, message("")], "1002", BEN) == [sent]
