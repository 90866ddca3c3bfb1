"""What is kept when a user hears messages, and what is not when the store does not answer."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from sip.call import HungUp, Sound
from store.errors import NotYet, Unavailable
from store.model import Envelope, Folder, Mark, MessageKind
from tests.fakes.call import FILE, Barges, ScriptedCall, Step
from tests.fakes.desk import ANNA, BEN, READY, House, house
from voicemail.conversation.hear_messages import hear_messages
from voicemail.policy.model import ClassOfService

WANTED = Envelope(sender=BEN.id, receipt=True)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def hear(home: House, *script: Step, folder: Folder = Folder.NEW) -> ScriptedCall:
    call = home.call(*script)
    with suppress(HungUp):
        await hear_messages(home.desk(), call, ANNA, folder)
    return call


@pytest.mark.parametrize(
    ("script", "receipts"),
    [
        (("2",), 1),
        (("3",), 1),
        ((), 1),
        (("1", "*"), 1),
        (("#",), 0),
        (("6",), 0),
        ((Barges("3", FILE),), 0),
        ((Barges("#", FILE),), 0),
    ],
)
async def test_the_sender_learns_once_that_his_message_was_heard(
    home: House, script: tuple[Step, ...], receipts: int
) -> None:
    await home.leave(envelope=WANTED)
    for _ in range(2):
        await hear(home, *script)
        for message in await home.messages():
            await home.store.messages.mark(message.id, Mark.UNREAD)
    told = await home.messages(BEN)
    assert [each.envelope.kind for each in told] == [MessageKind.READ_RECEIPT] * receipts


async def test_a_receipt_can_be_told_again_and_stays_where_it_is(home: House) -> None:
    await home.leave(audio=b"", envelope=Envelope(MessageKind.READ_RECEIPT, BEN.id))
    call = await hear(home, "1", "7", "#")
    assert call.heard.count("read_receipt") == 3
    assert [each.folder for each in await home.messages()] == [Folder.NEW]


async def test_speed_and_place_are_kept_when_the_user_hangs_up(home: House) -> None:
    new = await home.leave()
    call = await hear(home, Barges("6", FILE, 2.0), Barges("8", FILE, 1.0))
    kept = await home.desk().policies.options(ANNA.id)
    assert (kept.speed, kept.resume_message, kept.resume_at) == (1.25, new.id, 3.2)
    assert call.gone


async def test_two_while_a_deleted_message_plays_restores_it(home: House) -> None:
    new = await home.leave()
    await home.store.messages.mark(new.id, Mark.DELETE)
    call = await hear(home, Barges("2", FILE), folder=Folder.DELETED)
    assert "message_restored" in call.heard
    assert [each.folder for each in await home.messages()] == [Folder.NEW]


async def test_a_message_that_went_for_good_meanwhile_is_no_failure(home: House) -> None:
    await home.leave()
    (message,) = await home.messages()
    call = home.call("2")
    gone: list[Sound] = ["end_of_message"]

    def purge(sound: Sound) -> None:
        if sound in gone:
            home.store.state.marks.setdefault(message.id, set()).add(Mark.PURGE)

    call.on_sound = purge
    await hear_messages(home.desk(), call, ANNA, Folder.NEW)
    assert call.heard[-2:] == ["message_purged", "end_of_messages"]


async def test_what_the_older_release_of_the_other_node_cannot_keep_is_not_confirmed(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await home.leave()
    await home.store.messages.mark(new.id, Mark.DELETE)

    async def not_yet(message_id: UUID, mark: Mark) -> None:
        raise NotYet("the other node's release cannot purge messages yet")

    monkeypatch.setattr(home.store.messages, "mark", not_yet)
    call = await hear(home, "3", folder=Folder.DELETED)
    assert "nothing_changed" in call.heard and "message_purged" not in call.heard
    assert [each.folder for each in await home.messages()] == [Folder.DELETED]


async def test_options_that_could_not_be_read_are_not_written_back(home: House) -> None:
    policies = home.desk().policies
    home.store.state.away = True
    guessed = await policies.options(ANNA.id)
    home.store.state.away = False
    assert guessed != READY
    with pytest.raises(Unavailable):
        await policies.set_options(ANNA.id, guessed)
    assert await policies.options(ANNA.id) == READY
    await policies.set_options(ANNA.id, READY)


async def test_who_may_not_call_senders_hears_so_and_the_message_stays_new(home: House) -> None:
    await home.desk().policies.put("default", ClassOfService(may_call_sender=False))
    await home.leave(caller="1002")
    call = await hear(home, "4", "4", "#")
    assert "not_allowed" in call.heard and not call.transfers
    assert [each.folder for each in await home.messages()] == [Folder.NEW]
