"""What comes back of messages for elsewhere: dropped ones, and how long copies are kept."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes

from structlog.testing import capture_logs

from store.ids import uuid7
from store.model import (
    OUTGOING,
    Envelope,
    Folder,
    Message,
    MessageKind,
    NewMessage,
    NewWork,
    OutboxItem,
    Setting,
    Work,
)
from tests.fakes.sending import ANNA, BUSY, SPEECH, Office
from voicemail.intake import reports, returned
from voicemail.intake.decide import report
from voicemail.intake.letter import Letter, Recipient, Trust
from voicemail.policy.model import Undeliverable
from voicemail.primary.agenda import Verdict
from voicemail.primary.returns import DROPPED, KEPT_FOR, MOST_KEPT, drop, to_clear
from voicemail.vpim.model import Action, Report

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


# ---- dropped


async def test_a_message_that_is_dropped_comes_back_to_its_author_and_its_copy_goes() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example", private=True)
    with capture_logs() as logs:
        assert await drop(office.store, item.id)
    (back,) = await office.told()
    assert (back.envelope.kind, back.envelope.private) == (MessageKind.NON_DELIVERY, True)
    assert back.envelope.recipients == ("2722@vm2.example",) and DROPPED in back.envelope.why
    assert await office.store.messages.audio(back.id) == SPEECH
    assert await office.leaving() == [] and not await office.store.outbox.owing(Work.POST)
    told = [line for line in logs if line["event"] == "outbox item dropped"]
    assert [(each["id"], each["to"], each["why"]) for each in told] == [
        (str(item.id), "2722@vm2.example", DROPPED)
    ]


async def test_it_is_dropped_once() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example")
    assert [await drop(office.store, item.id) for _ in range(2)] == [True, False]
    assert not await drop(office.store, uuid7())
    assert len(await office.told()) == 1


async def test_one_of_several_addresses_is_dropped_and_the_others_get_it() -> None:
    office = Office()
    items = await office.leaves("2722@vm2.example", "3001@vm3.example")
    assert await drop(office.store, items[0].id)
    assert len(await office.leaving()) == 1
    await office.try_once(items[1])
    assert office.sent.receivers == ["3001@vm3.example"]


async def test_what_went_before_the_drop_was_recorded_is_not_told_as_dropped() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example")
    store, deposit = office.store, office.store.messages.deposit

    async def late(*arguments: object, **named: object) -> object:
        await store.outbox.done(item, "sent", 1)
        return await deposit(*arguments, **named)  # type: ignore[arg-type]

    store.messages.deposit = late  # type: ignore[method-assign,assignment]
    assert not await drop(store, item.id)
    assert await office.told() == []


async def test_an_outside_callers_message_that_is_dropped_goes_to_the_undeliverable_list() -> None:
    office = Office()
    last = Setting(Undeliverable.KIND, "default", Undeliverable(members=("1001",)).model_dump_json())
    await office.store.settings.put(last)
    (item,) = await office.leaves("2722@vm2.example", sender=None)
    assert await drop(office.store, item.id)
    assert len(await office.told()) == 1 and await office.leaving() == []


async def test_other_work_is_dropped_as_it_is() -> None:
    office = Office()
    lamp = NewWork(uuid7(), Work.LAMP, ANNA.id)
    await office.store.outbox.add([lamp])
    assert await drop(office.store, lamp.id)
    assert await office.told() == [] and await office.store.outbox.listed() == []


# ---- kept


async def test_a_report_that_comes_after_the_other_system_took_it_has_the_authors_words() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example")
    await office.try_once(item)
    await office.record(item)
    about = message_from_bytes(office.sent.parcels[0].content)["Message-ID"].strip("<>")
    told = Report(Action.FAILED, "2722@vm2.example", about, "5.2.2", "no room")
    on = await reports.about(office.store, told, ("vm1.example",), ANNA)
    assert on and on.message
    await reports.take(office.store, told, on, office.clock.now(), 1.0)
    (back,) = await office.told()
    assert (back.envelope.why, back.seconds) == ("full", 1.6)
    assert await office.store.messages.audio(back.id) == SPEECH


async def test_after_ten_days_what_was_taken_goes_too() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example")
    await office.try_once(item)
    await office.record(item)
    office.clock.advance(KEPT_FOR.total_seconds() - 3600)
    await office.post.refresh()
    assert len(await office.kept()) == 1
    office.clock.advance(7200)
    await office.post.refresh()
    assert await office.kept() == []


async def test_what_is_still_owed_is_never_cleared() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example")
    office.sent.failures["2722@vm2.example"] = BUSY
    await office.try_once(item)
    office.clock.advance(2 * KEPT_FOR.total_seconds())
    await office.post.refresh()
    assert len(await office.leaving()) == 1


def kept(days: float, seconds: float = 10.0, folder: Folder = Folder.SAVED, **more: object) -> Message:
    recorded = NOW - timedelta(days=days)
    envelope = Envelope(kind=MessageKind.OUTGOING, **more)  # type: ignore[arg-type]
    return Message(uuid7(), OUTGOING, "", "", recorded, seconds, False, False, folder, 1, envelope)


def test_old_ones_go_where_nothing_waits_for_them() -> None:
    young, old, owed = kept(9), kept(11), kept(11)
    later = kept(30, deliver_at=NOW - timedelta(days=1))
    assert to_clear([young, old, owed, later], {owed.id}, NOW) == [old]


def test_beyond_so_much_speech_the_oldest_go_first_but_nothing_that_nobody_took() -> None:
    new, middle, old = (kept(days, MOST_KEPT / 2) for days in (1, 2, 3))
    untouched = kept(4, MOST_KEPT, Folder.NEW)
    assert to_clear([old, new, untouched, middle], set(), NOW) == [old]


# ---- all of a mail in the report on it (RET=FULL)

RAW = b"From: <a@vm2.example>\r\nMessage-ID: <1@vm2.example>\r\nSubject: x\r\n\r\nall of it\r\n"
LETTER = Letter(
    uuid7(), "a@vm2.example", (Recipient("9@vm1.example", (), "x400;/S+3Dx/"),), NOW, "192.0.2.1",
    Trust.NETWORK, envelope_id="e+2B1", ret="FULL",
)  # fmt: skip


async def reported(office: Office, letter: Letter = LETTER, raw: bytes = RAW) -> OutboxItem:
    """The row of a report on a mail, as it is written where mails come in."""
    whole = await returned.keep(office.store, letter, uuid7(), raw, 1.0)
    recipients = letter.recipients
    work = report(letter, uuid7(), raw, "1@vm2.example", recipients, "5.1.1", "no such mailbox", whole)
    await office.store.outbox.add([work])
    return office.store.state.outbox[work.id]


async def test_a_report_carries_the_whole_mail_where_that_was_asked_for_and_then_forgets_it() -> None:
    office = Office()
    item = await reported(office)
    await office.post.refresh()
    assert (await office.try_once(item)).verdict is Verdict.SENT
    (parcel,) = office.sent.parcels
    _, status, original = message_from_bytes(parcel.content).get_payload()  # type: ignore[misc]
    assert original.get_content_type() == "message/rfc822" and b"all of it\r\n" in parcel.content
    message, recipient = status.get_payload()
    assert message["Original-Envelope-Id"] == "e+1"
    assert recipient["Original-Recipient"] == "x400; /S=x/"
    assert recipient["Final-Recipient"] == "rfc822; 9@vm1.example"
    assert await office.leaving() == []


async def test_only_the_header_goes_where_that_was_asked_for() -> None:
    office = Office()
    item = await reported(office, replace(LETTER, ret="HDRS"))
    await office.try_once(item)
    (parcel,) = office.sent.parcels
    assert b"text/rfc822-headers" in parcel.content and b"all of it" not in parcel.content


async def test_a_host_that_does_not_take_the_whole_mail_gets_its_header() -> None:
    office = Office()
    item = await reported(office, raw=RAW + "ä\r\n".encode() * 1000)
    office.sent.longest = 2000
    assert (await office.try_once(item)).verdict is Verdict.SENT
    (parcel,) = office.sent.parcels
    assert b"Subject: x" in parcel.content and b"all of it" not in parcel.content
    assert await office.leaving() == []


async def test_a_mail_for_two_reports_is_kept_until_both_are_sent_or_dropped() -> None:
    office = Office()
    first = await reported(office)
    other = NewWork(uuid7(), Work.REPORT, ANNA.id, first.message_id, first.payload)
    await office.store.outbox.add([other])
    await office.try_once(first)
    await office.record(first)
    assert len(await office.leaving()) == 1
    assert await drop(office.store, other.id)
    assert await office.leaving() == [] and await office.told() == []


async def test_a_receipt_leaves_the_message_alone_that_it_is_about() -> None:
    office = Office()
    heard = NewMessage(uuid7(), ANNA.id, "2722", "Eva", NOW, 1.0)
    await office.store.messages.deposit(heard, SPEECH)
    said = {"kind": "mdn", "to": "2722@vm2.example", "recipients": ["1001"], "disposition": "displayed"}
    said |= {"original_id": "1@vm2.example", "ret": "FULL"}
    work = NewWork(uuid7(), Work.REPORT, ANNA.id, heard.id, json.dumps(said))
    await office.store.outbox.add([work])
    assert (await office.try_once(office.store.state.outbox[work.id])).verdict is Verdict.SENT
    assert await office.store.messages.audio(heard.id) == SPEECH
    assert SPEECH not in office.sent.parcels[0].content
