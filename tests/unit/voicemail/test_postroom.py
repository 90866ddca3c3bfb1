import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sip import wav
from store.ids import uuid7
from store.model import SYSTEM, Envelope, Folder, MessageKind, Part, Setting, User, copy_id
from store.notes import noted
from store.spool import SpoolEntry
from tests.fakes.call import START
from tests.fakes.desk import ANNA, BEN, House, house
from voicemail.policy.base import Policy
from voicemail.policy.book import OPTIONS
from voicemail.policy.listening import Sort
from voicemail.policy.model import ClassOfService, Members, Quota, Undeliverable, UserOptions
from voicemail.postroom import MANY

FROM_ANNA = Envelope(sender=ANNA.id)
SPOKEN = wav.file_ulaw(b"\x42" * 2 * wav.RATE)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def given(home: House, name: str, policy: Policy) -> None:
    await home.store.settings.put(Setting(policy.KIND, name, policy.model_dump_json()))


async def sent(home: House, *to: str, envelope: Envelope = FROM_ANNA, **more: object) -> SpoolEntry:
    entry = SpoolEntry(uuid7(), to[0] if to else "", START, addressees=to, envelope=noted(envelope))
    entry = replace(entry, **more)  # type: ignore[arg-type]
    draft = await home.delivery.begin(entry)
    draft.path.write_bytes(SPOKEN)
    await home.delivery.deliver(draft)
    return entry


async def kinds(home: House) -> Sequence[tuple[MessageKind, tuple[str, ...], str]]:
    """What ANNA was told."""
    return [(m.envelope.kind, m.envelope.recipients, m.envelope.why) for m in await home.messages()]


async def test_a_list_with_the_sender_in_it_reaches_each_once(home: House) -> None:
    await given(home, "all", Members(members=("1001", "1002", "list:all")))
    entry = await sent(home, "list:all", "1002")
    (to_ben,), (to_anna,) = await home.messages(BEN), await home.messages(ANNA)
    assert {to_ben.id, to_anna.id} == {copy_id(entry.id, user.id) for user in (ANNA, BEN)}
    assert to_ben.envelope.sender == ANNA.id
    assert home.left_in_spool() == 0


async def test_who_is_gone_is_told_to_the_sender_with_what_was_said(home: House) -> None:
    await sent(home, "1002", "1999", "list:no")
    assert len(await home.messages(BEN)) == 1
    assert await kinds(home) == [(MessageKind.NON_DELIVERY, ("1999", "list:no"), "gone")]
    (report,) = await home.messages()
    assert await home.store.messages.audio(report.id) == SPOKEN


async def test_a_full_mailbox_is_told_to_the_sender_unless_it_has_the_message(
    home: House,
) -> None:
    small = Quota(warn=1, no_send=1, no_receive=9000)
    await given(home, "default", ClassOfService(quota=small))
    entry = await sent(home, "1002")
    assert await home.store.messages.size(BEN.id) >= 9000
    await sent(home, "1002", id=entry.id)
    assert await kinds(home) == []
    await sent(home, "1002")
    assert await kinds(home) == [(MessageKind.NON_DELIVERY, ("1002",), "full")]
    await sent(home, "1002", envelope=Envelope())
    assert len(await home.messages(BEN)) == 2


@pytest.mark.parametrize("to", [(), ("1999",), ("undeliverable",)])
async def test_what_nobody_else_gets_goes_to_the_undeliverable_list(home: House, to: tuple[str, ...]) -> None:
    await given(home, "default", Undeliverable(members=("1002",)))
    await sent(home, *to, envelope=Envelope(), extension="1999")
    assert len(await home.messages(BEN)) == 1
    assert home.left_in_spool() == 0


async def test_without_that_list_it_is_kept_for_an_operator(home: House) -> None:
    entry = await sent(home, "operator", envelope=Envelope())
    assert home.left_in_spool() == 0
    assert list(home.folder.rglob(f"quarantine/{entry.id}.wav"))


async def test_a_users_message_waits_for_the_store_with_all_that_was_chosen(home: House) -> None:
    home.store.state.away = True
    private = Envelope(sender=ANNA.id, recipients=("1002",), private=True)
    entry = await sent(home, "1002", envelope=private)
    assert home.spool.left_behind()[0].addressees == ("1002",)
    home.store.state.away = False
    home.pauses.end()
    async with asyncio.timeout(10):
        while home.delivery.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    (message,) = await home.messages(BEN)
    assert (message.id, message.envelope) == (copy_id(entry.id, BEN.id), private)


async def test_what_was_held_back_is_dropped(home: House) -> None:
    await sent(home, "1002", held=True)
    assert await home.messages(BEN) == []
    assert home.left_in_spool() == 0


async def test_a_forwarded_message_follows_its_introduction(home: House) -> None:
    old = await home.leave(ANNA)
    await sent(home, "1002", forwards=old.id, caller="1001")
    (message,) = await home.messages(BEN)
    intro, own = Part(2.0, ANNA.id, "1001", START), Part(4.0, None, old.caller, old.recorded)
    assert (message.seconds, message.envelope.parts) == (6.0, (intro, own))
    assert wav.parse(await home.store.messages.audio(message.id)).seconds == 6.0


async def test_a_message_that_is_gone_before_it_is_forwarded_leaves_its_introduction(home: House) -> None:
    await sent(home, "1002", forwards=uuid7())
    (message,) = await home.messages(BEN)
    assert await home.store.messages.audio(message.id) == SPOKEN


async def test_a_broadcast_is_kept_once_for_all(home: House) -> None:
    entry = await sent(home, envelope=Envelope(MessageKind.BROADCAST, ANNA.id))
    assert [m.id for m in await home.store.messages.listing(SYSTEM, Folder.NEW)] == [entry.id]


# ---- users who take no messages


async def rejecting(home: House, *sorts: Sort) -> None:
    options = UserOptions(rejects=sorts).model_dump_json()
    await home.store.settings.put(Setting(UserOptions.KIND, OPTIONS, options, BEN.id))


async def test_who_takes_no_messages_gets_none_and_their_author_is_told(home: House) -> None:
    await rejecting(home, Sort.VOICE)
    await sent(home, "1002")
    assert await home.messages(BEN) == []
    assert await kinds(home) == [(MessageKind.NON_DELIVERY, ("1002",), "not allowed")]
    (report,) = await home.messages()
    assert await home.store.messages.audio(report.id) == SPOKEN


async def test_among_many_recipients_too_they_get_none(home: House) -> None:
    await rejecting(home, Sort.VOICE)
    for number in range(MANY):
        await home.store.users.add(User(uuid7(), f"2{number:03}"))
    await given(home, "all", Members(members=("1002", *(f"2{number:03}" for number in range(MANY)))))
    await sent(home, "list:all")
    assert await home.messages(BEN) == []
    assert [told[1] for told in await kinds(home)] == [("1002",)]


async def test_who_rejects_only_reports_gets_messages(home: House) -> None:
    await rejecting(home, Sort.REPORTS)
    await sent(home, "1002")
    assert len(await home.messages(BEN)) == 1


async def test_a_message_to_nobody_else_goes_to_the_undeliverable_list(home: House) -> None:
    await rejecting(home, Sort.VOICE)
    await given(home, "default", Undeliverable(members=("1001",)))
    await sent(home, "1002", envelope=Envelope())
    assert len(await home.messages(ANNA)) == 1
