"""What comes back of messages for elsewhere: dropped ones, and how long copies are kept."""

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
    NewWork,
    Setting,
    Work,
)
from tests.fakes.sending import ANNA, BUSY, SPEECH, Office
from voicemail.intake import reports
from voicemail.policy.model import Undeliverable
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
    report = Report(Action.FAILED, "2722@vm2.example", about, "5.2.2", "no room")
    on = await reports.about(office.store, report, ("vm1.example",), ANNA)
    assert on and on.message
    await reports.take(office.store, report, on, office.clock.now(), 1.0)
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
