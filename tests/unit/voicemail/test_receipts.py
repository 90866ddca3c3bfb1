import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid5

import pytest

from store.model import Envelope, Folder, Mark, Message, MessageKind, Remote, Setting, Work
from tests.fakes.desk import ANNA, BEN, House, house
from voicemail.policy.listening import Sort
from voicemail.policy.locations import Location
from voicemail.policy.model import UserOptions
from voicemail.receipts import UNHEARD, before_mark, expires, grows_old, unplayable


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def to_ben(home: House, **more: object) -> Message:
    envelope = Envelope(**({"sender": ANNA.id, "receipt": True} | more))  # type: ignore[arg-type]
    new = await home.leave(BEN, envelope=envelope)
    found = await home.store.messages.get(new.id)
    assert found
    return found


async def test_the_sender_is_told_once_when_the_message_was_heard(home: House) -> None:
    message = await to_ben(home)
    for _ in range(2):
        await before_mark(home.store, message, Mark.READ, BEN, home.clock.now())
    (receipt,) = await home.messages(ANNA)
    told = Envelope(MessageKind.READ_RECEIPT, sender=BEN.id, about=message.id)
    assert (receipt.id, receipt.envelope) == (uuid5(message.id, "read"), told)
    assert (await home.store.messages.counts(ANNA.id)).new == 1


@pytest.mark.parametrize("mark", [Mark.DELETE, Mark.UNREAD, Mark.PURGE])
async def test_other_marks_do_not_say_that_it_was_heard(home: House, mark: Mark) -> None:
    await before_mark(home.store, await to_ben(home), mark, BEN, home.clock.now())
    assert await home.messages(ANNA) == []


async def test_nobody_is_told_who_did_not_ask_or_of_somebody_who_does_not_want_it(
    home: House,
) -> None:
    for message in (await to_ben(home, receipt=False), await to_ben(home, sender=None)):
        await before_mark(home.store, message, Mark.READ, BEN, home.clock.now())
    quiet = UserOptions(send_receipts=False)
    await home.store.settings.put(Setting(UserOptions.KIND, "options", quiet.model_dump_json(), BEN.id))
    await before_mark(home.store, await to_ben(home), Mark.READ, BEN, home.clock.now())
    assert await home.messages(ANNA) == []


# ---- senders on other systems

FAR = Location(domain="vm2.example")
EVA = Remote("2722@vm2.example", message_id="abc@vm2.example", receipt_to="2722@vm2.example")


async def from_eva(home: House, remote: Remote = EVA, location: Location = FAR) -> Message:
    await home.store.settings.put(Setting(Location.KIND, "far", location.model_dump_json()))
    new = await home.leave(BEN, envelope=Envelope(remote=remote))
    found = await home.store.messages.get(new.id)
    assert found
    return found


def reported(home: House) -> list[dict[str, object]]:
    return [json.loads(i.payload) for i in home.store.state.outbox.values() if i.kind is Work.REPORT]


@pytest.mark.parametrize(
    ("mark", "disposition"), [(Mark.READ, "displayed"), (Mark.DELETE, "deleted"), (Mark.UNREAD, None)]
)
async def test_a_sender_elsewhere_is_told_once(home: House, mark: Mark, disposition: str | None) -> None:
    message = await from_eva(home)
    for each in (mark, mark, Mark.DELETE if disposition else mark):
        await before_mark(home.store, message, each, BEN, home.clock.now())
    told = [(one["kind"], one["to"], one["original_id"], one["disposition"]) for one in reported(home)]
    expected = ("mdn", "2722@vm2.example", "abc@vm2.example", disposition)
    assert told == ([expected] if disposition else [])
    assert await home.messages(ANNA) == []


@pytest.mark.parametrize(
    ("remote", "location"),
    [
        (replace(EVA, receipt_to=""), FAR),
        (replace(EVA, receipt_to="victim@other.example"), FAR),
        (replace(EVA, receipt_to="non-mail-user@vm2.example"), FAR),
        (EVA, FAR.model_copy(update={"receipts": False})),
        (EVA, FAR.model_copy(update={"domain": "vm3.example"})),
    ],
)
async def test_nobody_elsewhere_is_told_who_is_not_to_be(
    home: House, remote: Remote, location: Location
) -> None:
    await before_mark(home.store, await from_eva(home, remote, location), Mark.READ, BEN, home.clock.now())
    assert reported(home) == []


async def test_a_user_who_tells_nobody_tells_nobody_elsewhere(home: House) -> None:
    options = UserOptions(send_receipts=False)
    await home.store.settings.put(Setting(UserOptions.KIND, "options", options.model_dump_json(), BEN.id))
    await before_mark(home.store, await from_eva(home), Mark.READ, BEN, home.clock.now())
    assert reported(home) == []


async def test_a_message_that_was_heard_before_tells_nothing(home: House) -> None:
    message = replace(await from_eva(home), folder=Folder.SAVED)
    await before_mark(home.store, message, Mark.DELETE, BEN, home.clock.now())
    assert reported(home) == []


async def test_who_wants_no_reports_gets_no_receipt(home: House) -> None:
    message = await to_ben(home)
    options = UserOptions(rejects=(Sort.REPORTS,)).model_dump_json()
    await home.store.settings.put(Setting(UserOptions.KIND, "options", options, ANNA.id))
    await before_mark(home.store, message, Mark.READ, BEN, home.clock.now())
    assert await home.messages(ANNA) == []


# ---- what is heard late, or never


async def fresh(home: House, message: Message) -> Message:
    found = await home.store.messages.get(message.id)
    assert found
    return found


async def test_what_expires_unheard_is_told_so(home: House) -> None:
    message = await from_eva(home)
    await grows_old(home.store, message)
    await home.store.messages.mark(message.id, Mark.READ)
    for _ in range(2):
        await expires(home.store, await fresh(home, message))
    assert [each["disposition"] for each in reported(home)] == ["deleted/expired"]
    assert await home.store.settings.owned(UNHEARD) == []


async def test_what_was_heard_before_it_expired_is_told_as_heard(home: House) -> None:
    message = await from_eva(home)
    await before_mark(home.store, message, Mark.READ, BEN, home.clock.now())
    await home.store.messages.mark(message.id, Mark.READ)
    await expires(home.store, await fresh(home, message))
    assert [each["disposition"] for each in reported(home)] == ["displayed"]


async def test_what_a_mail_marked_as_heard_does_not_expire(home: House) -> None:
    """Nobody has said that it grew old unheard."""
    message = await from_eva(home)
    await home.store.messages.mark(message.id, Mark.READ)
    await expires(home.store, await fresh(home, message))
    assert reported(home) == []


@pytest.mark.parametrize(("mark", "said"), [(Mark.READ, "displayed"), (Mark.DELETE, "deleted")])
async def test_what_grew_old_and_is_heard_or_deleted_then_is_told_once(
    home: House, mark: Mark, said: str
) -> None:
    message = await from_eva(home)
    await grows_old(home.store, message)
    await home.store.messages.mark(message.id, Mark.READ)
    for _ in range(2):
        await before_mark(home.store, await fresh(home, message), mark, BEN, home.clock.now())
    await expires(home.store, await fresh(home, message))
    assert [each["disposition"] for each in reported(home)] == [said]


async def test_a_user_who_waits_is_told_when_what_grew_old_is_heard(home: House) -> None:
    message = await to_ben(home)
    await grows_old(home.store, message)
    await home.store.messages.mark(message.id, Mark.READ)
    await before_mark(home.store, await fresh(home, message), Mark.READ, BEN, home.clock.now())
    assert len(await home.messages(ANNA)) == 1


async def test_what_cannot_be_played_was_not_heard(home: House) -> None:
    message = await from_eva(home)
    await unplayable(home.store, message, BEN)
    await before_mark(home.store, message, Mark.READ, BEN, home.clock.now())
    assert [each["disposition"] for each in reported(home)] == ["processed/error"]


async def test_nothing_is_noted_of_messages_whose_sender_did_not_ask(home: House) -> None:
    await grows_old(home.store, await from_eva(home, replace(EVA, receipt_to="")))
    await grows_old(home.store, await to_ben(home, receipt=False))
    assert await home.store.settings.owned(UNHEARD) == []
