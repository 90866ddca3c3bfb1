"""Users are told by mail before old messages go: whom, when, what; once a day whoever is Primary."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from email.message import EmailMessage
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from store.ids import uuid7
from store.memory import MemoryStore
from store.model import Mark, NewMessage, NewWork, Ripening, Setting, User, Work
from tests.fakes.primary import HandClock
from tests.unit.voicemail.primary.test_announcer import Office
from voicemail.policy.book import OPTIONS
from voicemail.policy.devices import Device, DeviceKind
from voicemail.policy.keeping import Aging
from voicemail.policy.model import Block, Schedule, UserOptions
from voicemail.policy.note import Event, Note
from voicemail.primary import forewarnings
from voicemail.primary.devices import Profile, devices_of
from voicemail.primary.forewarnings import (
    SPREAD,
    Forewarnings,
    forewarning,
    is_over,
    next_morning,
    soon,
    teller,
)
from voicemail.primary.lease import NotPrimary

BERLIN = ZoneInfo("Europe/Berlin")
ANNA = User(UUID(int=1), "1001", "Anna", "anna@example.com")
EIGHT = datetime(2026, 3, 4, 7, 0, tzinfo=UTC)
"""In Berlin; a Wednesday."""
POLICY = Aging(saved_to_deleted=90, deleted_to_gone=14, mail_before=3)
RIPE = Ripening(ANNA.id, 2, EIGHT - timedelta(days=89), 1, EIGHT - timedelta(days=20))
OFFICE = Schedule(blocks=(Block(weekdays=tuple(range(5)), start=time(9), end=time(17)),))
WEEKEND = Schedule(blocks=(Block(weekdays=(5, 6)),))


def profile(user: User = ANNA, **devices: Device) -> Profile:
    schedules = {"office": OFFICE, "weekend": WEEKEND}
    return Profile(user, devices_of(user, devices), schedules=schedules, zone=BERLIN)


def device(kind: DeviceKind = DeviceKind.MAIL, **changes: object) -> Device:
    return Device.model_validate({"kind": kind, "enabled": True} | changes)


def written(profile: Profile, now: datetime = EIGHT, ripe: Ripening = RIPE) -> NewWork | None:
    work = forewarning(profile, ripe, POLICY, now)
    assert len(work) <= 1
    return work[0] if work else None


# ---- what is decided


@pytest.mark.parametrize(
    ("policy", "saved", "deleted"),
    [
        (Aging(), None, None),
        (Aging(mail_before=3), None, EIGHT - timedelta(days=11)),
        (Aging(mail_before=3, deleted_to_gone=0), None, None),
        (Aging(mail_before=20), None, EIGHT + timedelta(days=6)),
        (POLICY, EIGHT - timedelta(days=87), EIGHT - timedelta(days=11)),
        (Aging(new_to_saved=5, deleted_to_gone=0, mail_before=3), None, None),
    ],
)
def test_what_is_soon_follows_from_the_policy(
    policy: Aging, saved: datetime | None, deleted: datetime | None
) -> None:
    assert soon(policy, EIGHT) == (saved, deleted)


def test_it_says_how_many_and_when_the_first() -> None:
    work = written(profile())
    assert work and (work.kind, work.mailbox_id, work.message_id) == (Work.NOTIFY, ANNA.id, None)
    note = Note.read(work.payload)
    assert (note.event, note.device) == (Event.AGING, "mail")
    assert note.facts == {
        "day": "2026-03-04",
        "deleted": 2,
        "deleted_from": (EIGHT + timedelta(days=1)).isoformat(),
        "gone": 1,
        "gone_from": EIGHT.isoformat(),  # overdue: in a moment
    }


@pytest.mark.parametrize(
    ("local", "told"),
    [("06:59", False), ("07:00", True), ("10:59", True), ("11:00", False), ("23:59", False)],
)
def test_it_is_written_in_the_users_morning(local: str, told: bool) -> None:
    now = datetime.fromisoformat(f"2026-03-04T{local}:00+01:00").astimezone(UTC)
    assert bool(written(profile(), now)) is told


def test_mails_are_spread_over_two_hours() -> None:
    moments = [
        work.not_before
        for number in range(1, 2000, 7)
        if (work := written(profile(replace(ANNA, id=UUID(int=number * 7919)))))
    ]
    assert len(set(moments)) > 200
    assert all(each and EIGHT <= each < EIGHT + timedelta(seconds=SPREAD) for each in moments)


def test_the_id_is_of_user_and_day_and_of_nothing_else() -> None:
    ids = [
        work.id
        for one in (profile(), profile(mail=device(enabled=False), daily=device(DeviceKind.SUMMARY)))
        for ripe in (RIPE, replace(RIPE, saved=9))
        for hours in (0, 1)
        if (work := written(one, EIGHT + timedelta(hours=hours), ripe))
    ]
    assert len(ids) == 8 and len(set(ids)) == 1
    other = replace(ANNA, id=UUID(int=2))
    for work in (written(profile(), EIGHT + timedelta(days=1)), written(profile(other))):
        assert work and work.id not in ids


OFF = device(enabled=False)


@pytest.mark.parametrize(
    ("devices", "tells"),
    [
        ({}, "mail"),
        ({"mail": device(template="brand"), "daily": device(DeviceKind.SUMMARY)}, "mail"),
        ({"mail": OFF}, ""),
        ({"mail": OFF, "second": device(address="x@example.com")}, ""),
        ({"mail": OFF, "daily": device(DeviceKind.SUMMARY)}, "daily"),
        ({"mail": OFF, "daily": device(DeviceKind.SUMMARY, enabled=False)}, ""),
        ({"mail": device(DeviceKind.WEBHOOK, address="https://example.com/")}, ""),
    ],
)
def test_who_has_turned_mails_off_gets_none(devices: dict[str, Device], tells: str) -> None:
    assert teller(profile(**devices)) == tells
    assert bool(written(profile(**devices))) is bool(tells)


def test_it_waits_for_the_schedule_of_the_device_on_the_same_day_only() -> None:
    work = written(profile(mail=device(schedule="office")))
    assert work and work.not_before == EIGHT + timedelta(hours=1)
    assert written(profile(mail=device(schedule="weekend"))) is None
    assert written(profile(mail=device(schedule="gone"))) is None


def test_a_morning_is_the_users_own() -> None:
    assert next_morning(BERLIN, EIGHT) == EIGHT + timedelta(hours=23)
    assert next_morning(BERLIN, EIGHT - timedelta(hours=2)) == EIGHT - timedelta(hours=1)
    before_summer_time = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert next_morning(BERLIN, before_summer_time) == datetime(2026, 3, 29, 5, tzinfo=UTC)


def test_what_waited_until_the_next_day_is_over() -> None:
    work = written(profile())
    assert work
    note, night = Note.read(work.payload), datetime(2026, 3, 4, 23, tzinfo=UTC)
    assert not is_over(note, BERLIN, night - timedelta(seconds=1)) and is_over(note, BERLIN, night)
    assert not is_over(replace(note, event=Event.SUMMARY), BERLIN, night)


# ---- the job


class House:
    """A store with users, and the job of whoever is Primary; no time passes in pauses."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), HandClock()
        self.clock.started = EIGHT
        self.store.state.now = self.clock.now
        self.over = False

    def job(self) -> Forewarnings:
        profiles = forewarnings.Profiles(self.store, UTC, self.clock.monotonic)
        return Forewarnings(self.store, profiles, _Hurried(self.clock), lambda: 1, self._permit)

    def _permit(self) -> None:
        if self.over:
            raise NotPrimary("over")

    async def policy(self, policy: Aging = POLICY) -> None:
        await self.store.settings.put(Setting(Aging.KIND, "default", policy.model_dump_json()))

    async def user(self, number: int, mail: str = "x@example.com", zone: str = "") -> User:
        user = User(UUID(int=number), f"{number}", "", mail)
        await self.store.users.add(user)
        options = UserOptions(time_zone=zone).model_dump_json()
        await self.store.settings.put(Setting(UserOptions.KIND, OPTIONS, options, user.id))
        return user

    async def message(self, user: User, mark: Mark, days: float) -> UUID:
        """Marked so many days ago."""
        new = NewMessage(uuid7(), user.id, "1", "", EIGHT - timedelta(days=200), 4.0)
        await self.store.messages.deposit(new, b"sound")
        await self.store.messages.mark(new.id, mark)
        self.store.state.since[new.id] = self.clock.now() - timedelta(days=days)
        return new.id

    @property
    def told(self) -> list[tuple[int, int, int]]:
        """User, how many will be deleted, and gone."""
        rows = [each for each in self.store.state.outbox.values() if each.kind is Work.NOTIFY]
        facts = [(each.mailbox_id.int, Note.read(each.payload).facts) for each in rows]
        return [(user, said["deleted"], said["gone"]) for user, said in facts]


class _Hurried:
    def __init__(self, clock: HandClock) -> None:
        self.now, self.monotonic = clock.now, clock.monotonic

    async def sleep_until(self, moment: float | None, bell: object) -> None:
        pass


@pytest.fixture
def house() -> House:
    return House()


async def test_each_user_with_a_mail_address_is_told_of_his_own(house: House) -> None:
    await house.policy()
    anna, ben, cid, dan, eva = [await house.user(n, "" if n == 4 else "x@example.com") for n in range(1, 6)]
    for user, mark, days in (
        (anna, Mark.READ, 88.0), (anna, Mark.READ, 87.1), (anna, Mark.READ, 86.9), (anna, Mark.DELETE, 11.5),
        (ben, Mark.DELETE, 13.0), (cid, Mark.DELETE, 10.9), (dan, Mark.DELETE, 13.0), (eva, Mark.UNREAD, 99),
    ):  # fmt: skip
        await house.message(user, mark, days)
    await house.job().round()
    assert house.told == [(1, 2, 1), (2, 0, 1)]


async def test_nothing_is_told_as_supplied(house: House) -> None:
    anna = await house.user(1)
    await house.message(anna, Mark.DELETE, 13.9)
    await house.job().round()
    assert house.told == []


async def test_once_a_day_however_often_and_by_whomever_it_is_looked_at(house: House) -> None:
    await house.policy()
    anna = await house.user(1)
    await house.message(anna, Mark.DELETE, 12.0)
    one = house.job()
    await one.round()
    first = dict(house.store.state.outbox)
    await house.message(anna, Mark.DELETE, 12.5)  # after a takeover there is more to tell, but it was told
    house.clock.advance(3600)
    for job in (one, house.job(), house.job()):
        await job.round()
    assert house.told == [(1, 0, 1)] and first.items() <= house.store.state.outbox.items()
    house.clock.advance(86400 - 3600)
    await one.round()
    await house.job().round()
    assert house.told == [(1, 0, 1), (1, 0, 2)]


async def test_nobody_is_asked_for_twice_before_his_next_morning(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.policy()
    for number, zone in enumerate(["", "America/New_York", "Asia/Tokyo"], 1):
        await house.message(await house.user(number, zone=zone), Mark.DELETE, 12.0)
    job, asked = house.job(), list[int]()
    of = job._profiles.of

    async def counted(user: UUID) -> Profile | None:
        asked.append(user.int)
        return await of(user)

    monkeypatch.setattr(job._profiles, "of", counted)
    for _ in range(24):
        await job.round()
        house.clock.advance(3600)
    assert sorted(asked) == [1, 2, 2, 3, 3]  # once to see when his morning is, and then
    assert sorted(user for user, _, _ in house.told) == [1, 2, 3]


async def test_users_come_in_pages_and_none_is_left_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forewarnings, "PAGE", 3)
    await house.policy()
    for number in range(1, 11):
        user = await house.user(number)
        if number % 3:
            await house.message(user, Mark.DELETE, 12.0)
    await house.job().round()
    assert [user for user, _, _ in house.told] == [1, 2, 4, 5, 7, 8, 10]


async def test_a_lease_that_ends_writes_nothing_and_forgets_nobody(house: House) -> None:
    await house.policy()
    await house.message(await house.user(1), Mark.DELETE, 12.0)
    job, house.over = house.job(), True
    with pytest.raises(NotPrimary):
        await job.round()
    assert house.told == []
    house.over = False
    await job.round()
    assert house.told == [(1, 0, 1)]


# ---- all the way to the mail host


@pytest.fixture
async def office() -> Office:
    made = Office()
    made.clock.started = EIGHT
    made.store.state.now = made.clock.now
    await made.store.settings.put(Setting(Aging.KIND, "default", POLICY.model_dump_json()))
    message = await made.left_message()  # of which she is not told: she is no user yet
    await made.store.users.add(ANNA)
    await made.store.messages.mark(message, Mark.READ)
    made.store.state.since[message] = EIGHT - timedelta(days=89)
    return made


def job(office: Office) -> Forewarnings:
    return Forewarnings(office.store, office.profiles, _Hurried(office.clock), lambda: 1, lambda: None)


def said(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body
    return str(body.get_content())


async def test_a_takeover_in_its_middle_repeats_the_mail_with_the_same_message_id(
    office: Office,
) -> None:
    await job(office).round()
    (row,) = [each for each in office.store.state.outbox.values() if each.kind is Work.NOTIFY]
    async with office.on_duty():
        await office.later(2)
    assert office.post.ids == [f"<{row.id}@vm.example.com>"]
    office.store.state.done.pop(row.id)  # the old Primary died before it had recorded it
    other = Office(store=office.store, clock=office.clock, post=office.post)
    async with other.on_duty():
        await job(other).round()
        await other.settled()
    assert office.post.ids == [f"<{row.id}@vm.example.com>"] * 2
    one, two = office.post.mails
    assert one.as_bytes() == two.as_bytes()
    assert one["Subject"] == "1 old voice message will soon be deleted"
    assert "1 saved message will be deleted on Thursday, 05 March 2026, 07:00 (UTC)." in said(one)
    assert "Eve" not in said(one) and "gone" not in said(one)
    assert not list(one.iter_attachments())


async def test_a_mail_host_that_was_away_all_day_gets_nothing_of_it(office: Office) -> None:
    await job(office).round()
    office.post.failure = OSError("away")
    async with office.on_duty():
        await office.later(3)
        assert not office.results()
        office.clock.advance(86400)
        office.post.failure = None
        await office.later(3)
        await office.settled()
    assert office.post.mails == [] and office.results() == ["nothing sent: its day is over"]


async def test_a_device_that_is_something_else_by_now_is_not_told(office: Office) -> None:
    await job(office).round()
    await office.device("mail", DeviceKind.PHONE, address="0171 5")
    async with office.on_duty():
        await office.later(2)
        await office.settled()
    assert office.phones.calls == [] and office.post.mails == [] and "the device is off" in office.results()
