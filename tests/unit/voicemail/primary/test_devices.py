"""Which devices are told, and when: tables over the pure planner."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from store.model import Envelope, Folder, Message, MessageKind, NewWork, Remote, User, Work
from voicemail.policy.devices import Attachment, Device, DeviceKind, Events, MailFormat
from voicemail.policy.model import Block, Holidays, Schedule
from voicemail.policy.note import Event, Failure, Note
from voicemail.policy.schedule import next_active
from voicemail.primary.devices import (
    MOST,
    Profile,
    after_failure,
    day_summary,
    devices_of,
    fan_out,
    only_plain_mail,
    repeated,
    summary_due,
    waiting,
    wants,
)

ANNA = User(UUID(int=1), "1001", "Anna", "anna@example.com")
NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)  # a Wednesday
MESSAGE = Message(UUID(int=9), ANNA.id, "+4930555", "Eve", NOW, 7.0, False, False, Folder.NEW, 1)
NOTE = Note(Event.MESSAGE, MESSAGE.id)
MAIL, PHONE, HOOK = DeviceKind.MAIL, DeviceKind.PHONE, DeviceKind.WEBHOOK
OFFICE = Schedule(blocks=(Block(weekdays=tuple(range(5)), start=time(8), end=time(17)),), holidays="off")
BERLIN = ZoneInfo("Europe/Berlin")


def device(kind: DeviceKind = MAIL, **changes: object) -> Device:
    return Device.model_validate({"kind": kind, "enabled": True} | changes)


def profile(user: User = ANNA, **devices: Device) -> Profile:
    off = {"off": Holidays(days=((date(2026, 3, 5), date(2026, 3, 5)),))}
    return Profile(user, devices_of(user, devices), schedules={"office": OFFICE}, holidays=off, zone=BERLIN)


def names(rows: list[NewWork]) -> list[str]:
    return [Note.read(row.payload).device for row in rows]


# ---- who is told


def test_a_users_mail_address_is_a_device_unless_it_is_switched_off() -> None:
    assert only_plain_mail(profile())
    assert names(fan_out(profile(), NOTE, MESSAGE, NOW)) == ["mail"]
    off = profile(mail=device(enabled=False))
    assert not only_plain_mail(off) and fan_out(off, NOTE, MESSAGE, NOW) == []
    assert fan_out(profile(replace(ANNA, mail="")), NOTE, MESSAGE, NOW) == []


def test_the_own_mail_device_has_the_users_present_address() -> None:
    assert devices_of(ANNA, {"mail": device(address="old@example.com")})["mail"].address == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"format": MailFormat.HTML}, {"attachment": Attachment.MP3}, {"events": Events.URGENT},
        {"from_senders": ("49*",)}, {"schedule": "office"}, {"delay_minutes": 1}, {"repeat_minutes": 5},
        {"template": "own"}, {"on_failure": "phone"},
    ],
)  # fmt: skip
def test_whatever_is_set_about_a_mail_makes_it_a_device_like_others(changes: dict[str, object]) -> None:
    assert not only_plain_mail(profile(mail=device(**changes)))


def test_a_device_beside_the_mail_address_makes_rows_of_both() -> None:
    told = profile(phone=device(PHONE, address="0171"), hook=device(HOOK), gone=device(PHONE, enabled=False))
    assert not only_plain_mail(told)
    rows = fan_out(told, NOTE, MESSAGE, NOW)
    assert sorted(names(rows)) == ["hook", "mail", "phone"]
    assert {row.kind for row in rows} == {Work.NOTIFY} and {row.message_id for row in rows} == {MESSAGE.id}
    assert {row.mailbox_id for row in rows} == {ANNA.id} and {row.not_before for row in rows} == {None}


def test_the_same_event_makes_the_same_rows_whoever_makes_them() -> None:
    told = profile(phone=device(PHONE, address="0171", delay_minutes=3), hook=device(HOOK))
    assert fan_out(told, NOTE, MESSAGE, NOW) == fan_out(told, NOTE, MESSAGE, NOW)
    ids = [row.id for row in fan_out(told, NOTE, MESSAGE, NOW)]
    assert ids == [row.id for row in fan_out(told, NOTE, MESSAGE, NOW + timedelta(hours=1))]
    assert len(set(ids)) == len(ids)


def test_who_has_too_many_devices_is_told_by_fifty() -> None:
    many = {f"d{number:03}": device(HOOK) for number in range(80)}
    assert len(fan_out(profile(replace(ANNA, mail=""), **many), NOTE, MESSAGE, NOW)) == MOST


VOICE, RECEIPT, DISPATCHED = (
    Envelope(),
    Envelope(kind=MessageKind.READ_RECEIPT),
    Envelope(dispatch=UUID(int=1)),
)


@pytest.mark.parametrize(
    ("events", "envelope", "urgent", "told"),
    [
        (Events.ALL, VOICE, False, True), (Events.ALL, RECEIPT, False, True),
        (Events.VOICE, VOICE, False, True), (Events.VOICE, RECEIPT, False, False),
        (Events.URGENT, VOICE, False, False), (Events.URGENT, VOICE, True, True),
        (Events.URGENT, RECEIPT, True, False), (Events.VOICE, DISPATCHED, False, True),
        (Events.DISPATCH, DISPATCHED, False, True), (Events.DISPATCH, VOICE, True, False),
        (Events.DISPATCH, RECEIPT, False, False), (Events.URGENT_DISPATCH, DISPATCHED, False, False),
        (Events.URGENT_DISPATCH, DISPATCHED, True, True), (Events.URGENT_DISPATCH, VOICE, True, False),
        (Events.NONE, VOICE, True, False),
    ],
)  # fmt: skip
def test_of_which_messages(events: Events, envelope: Envelope, urgent: bool, told: bool) -> None:
    message = replace(MESSAGE, envelope=envelope, urgent=urgent)
    assert wants(device(events=events), Event.MESSAGE, message) is told


@pytest.mark.parametrize(
    ("patterns", "caller", "remote", "told"),
    [
        ((), "", "", True),
        (("+4930*",), "+4930555", "", True),
        (("004930*",), "+4930555", "", False),
        (("+4930*",), "004930555", "", True),
        (("10??",), "1002", "", True),
        (("10??",), "10021", "", False),
        (("1003", "1002"), "1002", "", True),
        (("*@example.com",), "", "Ben@Example.com", True),
        (("*@example.com",), "", "ben@example.org", False),
        (("*",), "", "", True),
        (("1002",), "", "", False),
    ],
)
def test_from_whom(patterns: tuple[str, ...], caller: str, remote: str, told: bool) -> None:
    envelope = Envelope(remote=Remote(remote)) if remote else VOICE
    message = replace(MESSAGE, caller=caller, envelope=envelope)
    assert wants(device(from_senders=patterns), Event.MESSAGE, message) is told


def test_each_kind_of_device_has_its_events() -> None:
    told = {
        (kind, event): wants(device(kind), event, MESSAGE if event is Event.MESSAGE else None)
        for kind in DeviceKind
        for event in Event
    }
    assert {pair for pair, yes in told.items() if yes} == {
        (MAIL, Event.MESSAGE), (PHONE, Event.MESSAGE), (HOOK, Event.MESSAGE),
        (DeviceKind.RELAY, Event.MESSAGE),
        (DeviceKind.MISSED, Event.MISSED), (DeviceKind.SUMMARY, Event.SUMMARY),
        (MAIL, Event.AGING), (DeviceKind.SUMMARY, Event.AGING), (MAIL, Event.WISH),
    }  # fmt: skip


def test_a_webhook_tells_of_missed_calls_where_it_is_to() -> None:
    assert wants(device(HOOK, missed_calls=True), Event.MISSED, None)
    assert not wants(device(PHONE, missed_calls=True), Event.MISSED, None)


# ---- when


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-03-04T14:00+01:00", "2026-03-04T14:00+01:00"),
        ("2026-03-04T05:00+01:00", "2026-03-04T08:00+01:00"),
        ("2026-03-04T17:00+01:00", "2026-03-06T08:00+01:00"),  # Thursday is a day off
        ("2026-03-06T18:00+01:00", "2026-03-09T08:00+01:00"),
        ("2026-03-28T12:00+01:00", "2026-03-30T08:00+02:00"),  # the clocks change in between
    ],
)
def test_a_schedule_opens_next(at: str, opens: str) -> None:
    holidays = Holidays(days=((date(2026, 3, 5), date(2026, 3, 5)),))
    found = next_active(OFFICE, holidays, datetime.fromisoformat(at).astimezone(BERLIN))
    assert found == datetime.fromisoformat(opens)


def test_a_schedule_without_blocks_never_opens() -> None:
    assert next_active(Schedule(), None, NOW) is None


def test_a_delay_and_a_schedule_put_the_first_row_off() -> None:
    told = profile(mail=device(delay_minutes=10))
    assert fan_out(told, NOTE, MESSAGE, NOW)[0].not_before == NOW + timedelta(minutes=10)
    night = NOW.replace(hour=22)
    told = profile(mail=device(delay_minutes=10, schedule="office"))
    assert fan_out(told, NOTE, MESSAGE, night)[0].not_before == datetime(2026, 3, 6, 8, tzinfo=BERLIN)
    assert fan_out(profile(mail=device(schedule="gone")), NOTE, MESSAGE, NOW) == []


def test_a_row_that_waits_for_its_schedule_is_another_row() -> None:
    told, note = profile(mail=device(schedule="office")), NOTE.at("mail")
    later = NOW + timedelta(days=2)
    row = waiting(told, note, later)
    assert row.id != note.id and row.not_before == later and Note.read(row.payload).waits == 1


def test_it_is_told_again_until_often_enough() -> None:
    told, note = profile(mail=device(repeat_minutes=30, most_repeats=2)), NOTE.at("mail")
    seen = []
    while row := repeated(told, note, NOW):
        note = Note.read(row.payload)
        seen.append((note.ordinal, row.not_before))
    assert seen == [(1, NOW + timedelta(minutes=30)), (2, NOW + timedelta(minutes=30))]
    assert repeated(profile(), NOTE.at("mail"), NOW) is None
    assert repeated(told, Note(Event.TRIAL, UUID(int=3), "mail"), NOW) is None


# ---- what follows a failure


def followed(told: Profile, note: Note, how: Failure) -> list[tuple[str, tuple[Failure, ...], int]]:
    """Devices, tries and minutes until each row, until nothing follows."""
    seen = []
    while row := after_failure(told, note, how, NOW):
        assert Note.read(row.payload).id == row.id
        note = Note.read(row.payload)
        minutes = (row.not_before - NOW).total_seconds() / 60 if row.not_before else 0
        seen.append((note.device, note.tries, int(minutes)))
        assert len(seen) < 40, "it never ends"
    return seen


def test_a_telephone_is_tried_again_then_the_next_device_is_told() -> None:
    phone = device(PHONE, address="0171", busy_retries=2, retry_minutes=7, on_failure="hook")
    told = profile(phone=phone, hook=device(HOOK, events=Events.NONE))
    busy = Failure.BUSY
    assert followed(told, NOTE.at("phone"), busy) == [
        ("phone", (busy,), 7), ("phone", (busy, busy), 7), ("hook", (), 0),
    ]  # fmt: skip


@pytest.mark.parametrize(("how", "tries"), [(Failure.BUSY, 3), (Failure.NO_ANSWER, 1), (Failure.FAILED, 0)])
def test_each_failure_has_its_own_number_of_tries(how: Failure, tries: int) -> None:
    phone = device(PHONE, address="0171", busy_retries=3, no_answer_retries=1, failure_retries=0)
    assert len(followed(profile(phone=phone), NOTE.at("phone"), how)) == tries


def test_a_chain_that_comes_back_ends() -> None:
    phone = device(PHONE, busy_retries=0, on_failure="hook")
    told = profile(phone=phone, hook=device(HOOK, on_failure="mail"), mail=device(on_failure="phone"))
    rows = followed(told, NOTE.at("phone"), Failure.BUSY)
    assert [name for name, _, _ in rows] == ["hook", "mail"]


def test_a_chain_ends_at_a_device_that_is_off_gone_or_of_another_kind() -> None:
    for other in (device(HOOK, enabled=False), device(DeviceKind.SUMMARY), None):
        more = {"next": other} if other else {}
        told = profile(phone=device(PHONE, busy_retries=0, on_failure="next"), **more)
        assert followed(told, NOTE.at("phone"), Failure.BUSY) == []


def test_what_can_never_succeed_goes_to_the_next_device_at_once() -> None:
    told = profile(phone=device(PHONE, on_failure="mail"))
    row = after_failure(told, NOTE.at("phone"), Failure.FAILED, NOW, final=True)
    assert row and Note.read(row.payload).device == "mail"


def test_rows_of_one_event_never_share_an_id() -> None:
    phone = device(PHONE, on_failure="mail", repeat_minutes=5)
    told = profile(phone=phone, mail=device(repeat_minutes=5))
    ids = [row.id for row in fan_out(told, NOTE, MESSAGE, NOW)]
    note: Note | None = NOTE.at("phone")
    while note:
        ids += [row.id for row in [repeated(told, note, NOW)] if row and row.id not in ids]
        row = after_failure(told, note, Failure.BUSY, NOW)
        note = Note.read(row.payload) if row else None
        ids += [row.id] if row else []
    assert len(set(ids)) == len(ids) == 8


# ---- the payload, and the daily summary


def test_a_note_survives_its_journey() -> None:
    note = Note(Event.MISSED, UUID(int=5), "d", 2, (Failure.BUSY,), ("a", "b"), 3, {"caller": "x"})
    assert Note.read(note.payload) == note
    later = json.dumps(json.loads(note.payload) | {"not_before": "2026-01-01", "new": 1})
    assert Note.read(later) == note, "what a newer release or the outbox adds is left alone"


@pytest.mark.parametrize(
    "payload",
    ["", "[]", "{}", "7", '{"event": "message"}', '{"event": "other", "source": "x"}', "[" * 5000,
     '{"event": "message", "source": 5}', f'{{"event": "message", "source": "{UUID(int=1)}", "tries": 5}}'],
)  # fmt: skip
def test_what_is_no_note_is_refused(payload: str) -> None:
    with pytest.raises(ValueError):
        Note.read(payload)


@pytest.mark.parametrize(
    ("local", "due"),
    [("06:59", ""), ("07:00", "2026-03-04"), ("10:59", "2026-03-04"), ("11:00", ""), ("23:59", "")],
)
def test_a_summary_is_due_once_its_time_has_come(local: str, due: str) -> None:
    now = datetime.fromisoformat(f"2026-03-04T{local}:00+01:00").astimezone(UTC)
    assert summary_due(device(DeviceKind.SUMMARY), BERLIN, now) == due
    assert summary_due(device(DeviceKind.SUMMARY, enabled=False), BERLIN, now) == ""
    assert summary_due(device(), BERLIN, now) == ""


def test_a_summary_says_what_was_there_when_it_was_written() -> None:
    work = day_summary(ANNA.id, "daily", "2026-03-04", [MESSAGE] * 60, 4)
    again = day_summary(ANNA.id, "daily", "2026-03-04", [], 0)
    assert work.id == again.id != day_summary(ANNA.id, "daily", "2026-03-05", [], 0).id
    facts = Note.read(work.payload).facts
    assert (facts["new"], facts["old"], len(facts["messages"])) == (60, 4, 50)
