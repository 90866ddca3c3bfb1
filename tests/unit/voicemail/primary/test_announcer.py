"""Devices told by the real runner: a store in memory, a clock moved by hand, and a world that can fail."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aiosmtplib
import pytest

from sip import wav
from store.ids import uuid7
from store.model import Envelope, Folder, Mark, NewMessage, OutboxItem, Setting, User, Work
from tests.fakes.primary import eventually, quiet
from tests.fakes.primary_process import Primary
from voicemail.call_orders import Ended, Order, Report
from voicemail.config import Mail
from voicemail.policy.book import OPTIONS
from voicemail.policy.devices import Attachment, Device, DeviceKind, Events, MailFormat
from voicemail.policy.keeping import Aging
from voicemail.policy.model import AfterMail, Schedule, UserOptions
from voicemail.policy.note import Event, Note
from voicemail.primary.agenda import Agenda, Outcome, Verdict
from voicemail.primary.announcer import Announcer
from voicemail.primary.calls import CallBook
from voicemail.primary.lease import Lease, Permit
from voicemail.primary.mail import PLAIN
from voicemail.primary.postman import Postman
from voicemail.primary.profiles import Profiles
from voicemail.primary.runner import Runner
from voicemail.primary.summaries import Summaries
from voicemail.primary.webhook import Place

ANNA = User(UUID(int=1), "1001", "Anna", "anna@example.com")
SPEECH = wav.file_ulaw(bytes(range(256)) * 40)
PHONE, HOOK = DeviceKind.PHONE, DeviceKind.WEBHOOK
URL, SECRET = "https://hooks.example.com/vm", "0123456789abcdef"


@dataclass
class Hooks:
    """Web servers."""

    answers: dict[str, Outcome] = field(default_factory=dict)
    taken: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def post(self, place: Place, request: bytes, permit: Permit) -> Outcome:
        permit()
        self.taken.append((place.host, json.loads(request.partition(b"\r\n\r\n")[2])))
        return self.answers.get(place.host, Outcome(Verdict.SENT, "sent: 200"))


@dataclass
class Telephones:
    """Ends each call as the test says, the last way over and over."""

    ends: list[Ended] = field(default_factory=lambda: [Ended.REACHED])
    calls: list[Order] = field(default_factory=list)

    async def call(self, order: Order, permit: Permit) -> Report:
        permit()
        self.calls.append(order)
        return Report(self.ends.pop(0) if len(self.ends) > 1 else self.ends[0])


@dataclass
class Office(Primary):
    """The Primary's process with an announcer in it."""

    hooks: Hooks = field(default_factory=Hooks)
    phones: Telephones = field(default_factory=Telephones)
    most_calls: int = 10

    def __post_init__(self) -> None:
        self.profiles = Profiles(self.store, UTC, self.clock.monotonic)
        postman = Postman(self.store, self.mail, self.post, UTC)
        calls = CallBook(self.store, self.most_calls)
        self.announcer = Announcer(
            self.store, postman, self.hooks, self.phones, self.profiles, calls, self.clock, PLAIN
        )
        told = (Work.MAIL, Work.NOTIFY, Work.ALARM)
        handlers = {**dict.fromkeys(told, self.announcer), Work.LAMP: Lamps()}
        self.runner = Runner(self.store, handlers, Agenda(lambda: 0.0), self.clock, Lease())

    async def device(self, name: str, kind: DeviceKind = DeviceKind.MAIL, **changes: object) -> None:
        data = {"kind": kind, "enabled": True} | changes
        body = Device.model_validate(data).model_dump_json()
        await self.store.settings.put(Setting(Device.KIND, name, body, ANNA.id))

    async def options(self, **changes: object) -> None:
        body = UserOptions.model_validate(changes).model_dump_json()
        await self.store.settings.put(Setting(UserOptions.KIND, OPTIONS, body, ANNA.id))

    async def left_message(self, **more: Any) -> UUID:
        plain = NewMessage(uuid7(), ANNA.id, "+4930555", "Eve", self.clock.now(), 7.0)
        message = replace(plain, **more)
        await self.store.messages.deposit(message, SPEECH)
        return message.id

    def results(self) -> list[str]:
        kinds = {item.id: item.kind for item in self.store.state.outbox.values()}
        return [text for each, text in self.store.state.done.items() if kinds[each] is not Work.LAMP]

    async def settled(self) -> None:
        """Until nothing is left that could be done without time passing."""
        await eventually(lambda: not self._doable())
        await quiet(50)

    def _doable(self) -> list[OutboxItem]:
        state, now = self.store.state, self.clock.now()

        def waits(item: OutboxItem) -> bool:
            tries = state.postponed.get(item.id)
            return bool(tries and tries.until and tries.until > now)

        return [item for item in state.outbox.values() if item.id not in state.done and not waits(item)]

    async def folder(self, message: UUID) -> Folder:
        found = await self.store.messages.get(message)
        assert found
        return found.folder


class Lamps:
    """Nobody has one."""

    def lanes(self) -> dict[str, Any]:
        return {}

    async def plan(self, item: OutboxItem) -> Any:
        from voicemail.primary.agenda import Plan

        return Plan(item.id)

    async def refresh(self) -> tuple[()]:
        return ()

    def subjects(self, lane: str) -> tuple[()]:
        return ()

    async def perform(self, job: Any, permit: Permit) -> Outcome:
        raise AssertionError("no lamps")


@pytest.fixture
async def office() -> Office:
    made = Office()
    await made.store.users.add(ANNA)
    return made


async def test_a_user_with_nothing_but_an_address_gets_one_mail_made_of_the_deposits_own_row(
    office: Office,
) -> None:
    async with office.on_duty():
        await office.left_message()
        await office.settled()
    (row,) = [item for item in office.store.state.outbox.values() if item.kind is Work.MAIL]
    assert office.post.ids == [f"<{row.id}@vm.example.com>"] and office.results() == ["sent"]


async def test_every_device_is_told_once_each_by_a_row_of_its_own(office: Office) -> None:
    await office.device("second", address="other@example.com")
    await office.device("hook", HOOK, address=URL, secret=SECRET)
    await office.device("phone", PHONE, address="0171 5")
    async with office.on_duty():
        message = await office.left_message(urgent=True)
        await office.settled()
    to = sorted(str(mail["To"].addresses[0].addr_spec) for mail in office.post.mails)
    assert to == ["anna@example.com", "other@example.com"] and len(set(office.post.ids)) == 2
    assert [order.number for order in office.phones.calls] == ["0171 5"]
    ((host, told),) = office.hooks.taken
    assert host == "hooks.example.com" and told["message"] == str(message)
    assert (told["mailbox"], told["caller"], told["seconds"], told["urgent"]) == (
        "1001",
        "+4930555",
        7.0,
        True,
    )
    assert SECRET not in json.dumps(told)


async def test_a_device_whose_delay_ends_tells_only_what_is_still_new(office: Office) -> None:
    await office.device("mail", delay_minutes=10)
    async with office.on_duty():
        heard, new = await office.left_message(), await office.left_message()
        await office.settled()
        await office.store.messages.mark(heard, Mark.READ)
        assert not office.post.mails
        await office.later(605)
        await eventually(lambda: office.left == 0)
    assert len(office.post.mails) == 1 and "heard already" in office.results()
    assert new != heard


async def test_it_is_told_again_until_it_is_heard(office: Office) -> None:
    await office.device("mail", repeat_minutes=5, most_repeats=9)
    async with office.on_duty():
        message = await office.left_message()
        for many in (1, 2, 3):
            await eventually(lambda many=many: office.post.taken == many)  # type: ignore[misc]
            await office.settled()
            await office.later(301)
        await eventually(lambda: office.post.taken == 4)
        await office.store.messages.mark(message, Mark.READ)
        await office.later(305)
        await eventually(lambda: office.left == 0)
    assert len(set(office.post.ids)) == 4
    subjects = [str(mail["Subject"]) for mail in office.post.mails]
    assert [subject.startswith("Reminder") for subject in subjects] == [False, True, True, True]


async def test_a_busy_telephone_is_called_again_and_then_the_mail_tells(office: Office) -> None:
    await office.device("mail", events=Events.NONE)
    await office.device("phone", PHONE, address="0171", busy_retries=2, retry_minutes=3, on_failure="mail")
    office.phones.ends = [Ended.BUSY]
    async with office.on_duty():
        await office.left_message()
        await office.settled()
        assert len(office.phones.calls) == 1
        await office.later(185)
        await office.settled()
        assert len(office.phones.calls) == 2 and not office.post.mails
        await office.later(185)
        await eventually(lambda: office.left == 0)
    assert len(office.phones.calls) == 3 and len(office.post.mails) == 1


@pytest.mark.parametrize(
    ("ends", "calls"), [(Ended.NOT_ALLOWED, 1), (Ended.NO_PIN, 3), (Ended.REFUSED, 3), (Ended.REACHED, 1)]
)
async def test_how_often_a_telephone_is_called(office: Office, ends: Ended, calls: int) -> None:
    await office.device("mail", enabled=False)
    await office.device("phone", PHONE, address="0171", retry_minutes=1)
    office.phones.ends = [ends]
    async with office.on_duty():
        await office.left_message()
        await office.settled()
        await office.later(400)
        await eventually(lambda: office.left == 0)
    assert len(office.phones.calls) == calls


async def test_a_user_is_called_ten_times_an_hour_at_most_whoever_is_primary(office: Office) -> None:
    await office.device("mail", enabled=False)
    await office.device("phone", PHONE, address="0171")
    async with office.on_duty():
        for _ in range(14):
            await office.left_message()
        await office.settled()
    assert len(office.phones.calls) == 10
    taken_over = Office(office.store, office.clock)
    async with taken_over.on_duty(epoch=2):
        await taken_over.later(60, epoch=2)
        assert not taken_over.phones.calls
        await taken_over.later(3600, epoch=2)
        await taken_over.until_done(epoch=2)
    assert len(taken_over.phones.calls) == 4


async def test_a_dead_web_server_delays_nobody_and_its_next_device_tells(office: Office) -> None:
    await office.device("dead", HOOK, address=URL, secret=SECRET, failure_retries=1, on_failure="mail")
    await office.device("mail", events=Events.NONE)
    await office.device("alive", HOOK, address="https://other.example.com/", secret=SECRET)
    office.hooks.answers["hooks.example.com"] = Outcome(Verdict.SILENT, "no answer in time")
    async with office.on_duty():
        for _ in range(3):
            await office.left_message()
        await office.settled()
        assert [host for host, _ in office.hooks.taken].count("other.example.com") == 3
        await office.until_done()
    assert len(office.post.mails) == 3
    assert [host for host, _ in office.hooks.taken].count("hooks.example.com") <= 6


async def test_a_web_server_that_a_new_primary_does_not_know_yet_is_told_soon(office: Office) -> None:
    await office.device("mail", enabled=False)
    await office.device("hook", HOOK, address=URL, secret=SECRET)
    note = Note(Event.MESSAGE, await office.left_message(), "hook")
    await office.store.outbox.add([note.work(ANNA.id)])
    async with office.on_duty():
        await office.later(8)
        await eventually(lambda: office.left == 0)
    assert len(office.hooks.taken) == 1


async def test_a_refused_mail_goes_to_the_next_device_at_once(office: Office) -> None:
    await office.device("mail", on_failure="hook")
    await office.device("hook", HOOK, address=URL, secret=SECRET, events=Events.NONE)
    refused = aiosmtplib.SMTPRecipientRefused(550, "no such user", "anna@example.com")
    office.post.failure = aiosmtplib.SMTPRecipientsRefused([refused])
    async with office.on_duty():
        await office.left_message()
        await office.later(10)
        await eventually(lambda: office.left == 0)
    assert len(office.hooks.taken) == 1


async def test_without_a_mail_host_what_follows_a_mail_is_told() -> None:
    office = Office(mail=Mail())
    await office.store.users.add(ANNA)
    await office.device("mail", on_failure="phone")
    await office.device("phone", PHONE, address="0171", events=Events.NONE)
    async with office.on_duty():
        await office.left_message()
        await office.settled()
    assert len(office.phones.calls) == 1


@pytest.mark.parametrize("moment", range(12))
async def test_a_takeover_at_any_moment_forgets_nothing_and_repeats_at_most_what_was_in_hand(
    office: Office, moment: int
) -> None:
    """The first Primary is cut off after so many turns; the second ends the work."""
    await office.device("second", address="other@example.com", repeat_minutes=1, most_repeats=1)
    await office.device("hook", HOOK, address=URL, secret=SECRET)
    message = await office.left_message()
    async with office.running():
        office.renew()
        await quiet(moment * 3)
    first = list(office.post.ids)
    heir = Office(office.store, office.clock)
    async with heir.on_duty(epoch=2):
        await heir.until_done(epoch=2)
    ids = [*first, *heir.post.ids]
    assert len(set(ids)) == 3, "two mails, and the second one's repeat"
    assert all(ids.count(each) <= 2 for each in ids)
    hooks = [*office.hooks.taken, *heir.hooks.taken]
    assert {told["message"] for _, told in hooks} == {str(message)} and len(hooks) <= 2
    assert len({told["id"] for _, told in hooks}) == 1


# ---- after the mail


@pytest.mark.parametrize(
    ("wish", "attachment", "folder"),
    [
        (AfterMail.KEEP, None, Folder.NEW),
        (AfterMail.HEARD, None, Folder.SAVED),
        (AfterMail.DELETED, None, Folder.DELETED),
        (AfterMail.DELETED, Attachment.NONE, Folder.NEW),
        (AfterMail.DELETED, Attachment.OPUS, Folder.DELETED),
    ],
)
async def test_what_becomes_of_a_message_whose_recording_was_mailed(
    office: Office, wish: AfterMail, attachment: Attachment | None, folder: Folder
) -> None:
    await office.options(after_mail=wish)
    if attachment:
        await office.device("mail", attachment=attachment)
    async with office.on_duty():
        message = await office.left_message()
        await office.settled()
        await eventually(lambda: office.left == 0)
    assert len(office.post.mails) == 1 and await office.folder(message) is folder


async def test_a_mail_that_was_not_accepted_changes_no_message(office: Office) -> None:
    await office.options(after_mail=AfterMail.DELETED)
    office.post.failure = aiosmtplib.SMTPResponseException(450, "later")
    async with office.on_duty():
        message = await office.left_message()
        await office.later(5)
    assert await office.folder(message) is Folder.NEW


# ---- what its owner wants to have by mail, and what is relayed


async def wish(office: Office, message: UUID) -> None:
    note = Note(Event.WISH, uuid4(), "mail", facts={"message": str(message)})
    await office.store.outbox.add([note.work(ANNA.id)])


@pytest.mark.parametrize("enabled", [False, True])
async def test_a_wish_is_one_mail_more_with_the_recording_and_changes_no_message(
    office: Office, enabled: bool
) -> None:
    await office.options(after_mail=AfterMail.DELETED)
    await office.device("mail", enabled=enabled, attachment=Attachment.NONE)
    async with office.on_duty():
        message = await office.left_message()
        await office.settled()
        told = len(office.post.mails)
        await wish(office, message)
        await office.settled()
    assert len(office.post.mails) == told + 1
    assert list(office.post.mails[-1].iter_attachments())
    assert await office.folder(message) is Folder.NEW


async def test_a_deleted_message_is_mailed_on_a_wish_and_one_that_is_gone_is_not(office: Office) -> None:
    async with office.on_duty():
        deleted, gone = await office.left_message(), await office.left_message()
        await office.settled()
        office.post.mails.clear()
        await office.store.messages.mark(deleted, Mark.DELETE)
        await office.store.messages.mark(gone, Mark.PURGE)
        for each in (deleted, gone):
            await wish(office, each)
        await office.settled()
    assert len(office.post.mails) == 1


async def test_a_wish_that_names_no_message_is_left_alone(office: Office) -> None:
    async with office.on_duty():
        await office.store.outbox.add([Note(Event.WISH, uuid4(), "mail", facts={}).work(ANNA.id)])
        await quiet(200)
    assert office.post.mails == []


@pytest.mark.parametrize(("keep", "folder"), [(True, Folder.NEW), (False, Folder.DELETED)])
async def test_a_relay_gets_the_recording_and_the_mailbox_keeps_it_or_not(
    office: Office, keep: bool, folder: Folder
) -> None:
    await office.device("mail", enabled=False)
    await office.device("away", DeviceKind.RELAY, address="anna@far.example.com", keep=keep)
    async with office.on_duty():
        message = await office.left_message()
        await office.settled()
        await eventually(lambda: office.left == 0)
    (mail,) = office.post.mails
    assert mail["To"].addresses[0].addr_spec == "anna@far.example.com" and list(mail.iter_attachments())
    assert await office.folder(message) is folder


async def test_a_relay_that_the_mail_host_refuses_loses_nothing(office: Office) -> None:
    await office.device("away", DeviceKind.RELAY, address="anna@far.example.com", keep=False)
    office.post.failure = aiosmtplib.SMTPResponseException(450, "later")
    async with office.on_duty():
        message = await office.left_message()
        await office.later(5)
    assert await office.folder(message) is Folder.NEW


@pytest.mark.parametrize("marks", [{"secure": True}, {"private": True}])
async def test_secure_and_private_messages_are_not_relayed(office: Office, marks: dict[str, bool]) -> None:
    await office.device("mail", enabled=False)
    await office.device("away", DeviceKind.RELAY, address="anna@far.example.com", keep=False)
    async with office.on_duty():
        message = await office.left_message(envelope=Envelope(**marks))  # type: ignore[arg-type]
        await office.settled()
    assert office.post.mails == [] and await office.folder(message) is Folder.NEW


async def test_the_recording_of_a_message_that_has_become_secure_is_not_mailed(office: Office) -> None:
    await office.store.settings.put(
        Setting(Aging.KIND, "default", Aging(secure_when_heard=True).model_dump_json())
    )
    async with office.on_duty():
        message = await office.left_message()
        await office.settled()
        await office.store.messages.mark(message, Mark.READ)
        await wish(office, message)
        await office.settled()
    assert [bool(list(mail.iter_attachments())) for mail in office.post.mails] == [True, False]


# ---- missed calls, trials, summaries


async def test_a_missed_call_is_mailed_to_who_wants_it(office: Office) -> None:
    await office.device("missed", DeviceKind.MISSED, format=MailFormat.HTML)
    facts = {"caller": "+4930555", "caller_name": "Eve <b>", "at": "2026-03-04T14:00:00+00:00"}
    async with office.on_duty():
        await office.store.outbox.add([Note(Event.MISSED, uuid4(), facts=facts).work(ANNA.id)])
        await office.settled()
    (mail,) = office.post.mails
    assert mail["Subject"] == "Missed call from Eve <b> (+4930555)"
    page = mail.get_body(("html",))
    assert page and "Eve &lt;b&gt;" in page.get_content() and "<b>" not in page.get_content()


async def test_a_missed_call_is_posted_to_a_webhook_that_wants_it(office: Office) -> None:
    await office.device("hook", HOOK, address=URL, secret=SECRET, missed_calls=True)
    await office.device("other", HOOK, address="https://other.example.com/", secret=SECRET)
    facts = {"caller": "+4930555", "caller_name": "Eve", "at": "2026-03-04T14:00:00+00:00"}
    async with office.on_duty():
        await office.store.outbox.add([Note(Event.MISSED, uuid4(), facts=facts).work(ANNA.id)])
        await office.settled()
    ((host, told),) = office.hooks.taken
    assert host == "hooks.example.com" and told["event"] == "missed" and told["mailbox"] == "1001"
    assert {key: told[key] for key in facts} == facts and "message" not in told


@pytest.mark.parametrize("facts", [{}, {"at": "never"}, {"at": "2026-03-04T14:00:00"}])
async def test_facts_that_make_no_sense_are_given_up(office: Office, facts: dict[str, str]) -> None:
    await office.device("missed", DeviceKind.MISSED)
    async with office.on_duty():
        await office.store.outbox.add([Note(Event.MISSED, uuid4(), "missed", facts=facts).work(ANNA.id)])
        await office.settled()
    assert not office.post.mails and "no sense" in office.results()[0]


async def test_a_trial_reaches_a_device_that_is_off(office: Office) -> None:
    await office.device("mail", enabled=False)
    async with office.on_duty():
        await office.store.outbox.add([Note(Event.TRIAL, uuid4(), "mail").work(ANNA.id)])
        await office.settled()
    assert office.post.mails[0]["Subject"] == "A trial of your voice mail notifications"


async def test_what_a_newer_release_writes_waits_for_it(office: Office) -> None:
    row = Note(Event.TRIAL, uuid4(), "mail").work(ANNA.id)
    payload = json.dumps(json.loads(row.payload) | {"event": "something new"})
    async with office.on_duty():
        await office.store.outbox.add([replace(row, payload=payload)])
        await office.later(3)
    assert office.left == 1 and not office.results()


async def test_a_summary_is_written_once_a_day(office: Office) -> None:
    office.clock.started = datetime(2026, 3, 4, 6, 0, tzinfo=UTC)
    await office.device("mail", enabled=False)
    await office.device("daily", DeviceKind.SUMMARY, at="07:00", format=MailFormat.HTML)
    await office.left_message()

    def job(permit: Callable[[], None] = lambda: None) -> Summaries:
        return Summaries(office.store, office.profiles, office.clock, lambda: 1, permit)

    async with office.on_duty():
        one, other = job(), job()
        await one.round()
        assert not [i for i in office.store.state.outbox.values() if i.kind is Work.NOTIFY]
        office.clock.advance(3600)
        office.renew()
        for each in (one, one, other):
            await each.round()
        await office.settled()
        assert len(office.post.mails) == 1
        office.clock.advance(86400)
        office.renew()
        await one.round()
        await office.settled()
    assert [str(mail["Subject"]) for mail in office.post.mails] == ["1 new voice message"] * 2
    body = office.post.mails[0].get_body(("plain",))
    assert body and "Eve (+4930555) (0:07)" in body.get_content()


async def test_a_store_that_goes_away_after_the_mail_has_no_mail_sent_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicemail.primary.postman.STORE_REST", 0.0)
    await office.options(after_mail=AfterMail.HEARD)
    office.post.held = asyncio.Event()
    async with office.on_duty():
        message = await office.left_message()
        await eventually(lambda: office.post.stuck == 1)
        office.store.state.away = True
        office.post.held.set()
        await quiet(300)
        assert office.post.taken == 1 and not office.results()
        office.store.state.away = False
        await office.later(3)
        await eventually(lambda: office.left == 0)
    assert len(office.post.mails) == 1 and await office.folder(message) is Folder.SAVED


async def test_what_waits_for_a_schedule_is_told_when_it_opens_and_not_before(office: Office) -> None:
    office.clock.started = datetime(2026, 3, 4, 20, 0, tzinfo=UTC)
    hours = {"blocks": [{"weekdays": [0, 1, 2, 3, 4], "start": "08:00", "end": "17:00"}]}
    await office.store.settings.put(Setting(Schedule.KIND, "office", json.dumps(hours)))
    await office.device("mail", schedule="office")
    async with office.on_duty():
        await office.left_message()
        office.clock.advance(12 * 3600 - 60)
        await office.later(2)
        assert not office.post.mails
        await office.later(120)
        await eventually(lambda: office.left == 0)
    assert len(office.post.mails) == 1
