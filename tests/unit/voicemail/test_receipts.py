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
from voicemail.receipts import before_mark


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
