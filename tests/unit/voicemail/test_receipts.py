from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid5

import pytest

from store.model import Envelope, Mark, Message, MessageKind, Setting
from tests.fakes.desk import ANNA, BEN, House, house
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
