"""What becomes of mails that were read, on the store in memory."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from uuid import UUID, uuid5

import pytest

from sip.wav import file_pcm16, file_ulaw, parse
from store.errors import Unavailable
from store.memory import MemoryStore
from store.model import (
    OUTGOING,
    QUARANTINE,
    Envelope,
    Message,
    MessageKind,
    NewMessage,
    NewWork,
    Part,
    Setting,
    User,
    Work,
    setting_id,
)
from voicemail.intake.addresses import Addresses, candidates
from voicemail.intake.letter import Letter, Recipient, Trust
from voicemail.intake.quarantine import unwrapped, wrapped
from voicemail.intake.settle import Settings, Settling
from voicemail.intake.wire import Outcome
from voicemail.policy.listening import Sort
from voicemail.policy.locations import Contact, Location
from voicemail.policy.model import ClassOfService, Members, Quota, Undeliverable, UserOptions
from voicemail.vpim import read as vpim
from voicemail.vpim.model import Action, Person, Report, Speech, Unreadable, VoiceMail
from voicemail.vpim.reports import dsn, mdn

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
DOMAIN = "vm.example.com"
ANNA = User(UUID(int=1), "1001", name="Anna", mail="Anna@example.com")
BEN = User(UUID(int=2), "1002", name="Ben")
ONE = file_ulaw(b"\x10" * 8000)
LETTER = Letter(
    UUID(int=9), "eve@pbx.example.net", (Recipient(f"1001@{DOMAIN}"),), NOW, "192.0.2.1", Trust.NETWORK
)
MAIL = VoiceMail(
    "1@pbx.example.net",
    NOW - timedelta(minutes=1),
    Person("2722@pbx.example.net", "Eve"),
    speech=(Speech(ONE, 1.0),),
)
RAW = b"From: <2722@pbx.example.net>\r\nMessage-ID: <1@pbx.example.net>\r\n\r\nx\r\n"
Take = Callable[..., Awaitable[str]]


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    for user in (ANNA, BEN):
        await store.users.add(user)
    for policy, name in (
        (Members(members=("1001", "1002"), extension="7000"), "Sales"),
        (Location(domain="Pbx.example.net"), "pbx"),
    ):
        await store.settings.put(Setting(policy.KIND, name, policy.model_dump_json()))
    return store


@pytest.fixture
async def take(store: MemoryStore) -> Take:
    addresses = Addresses(store)
    await addresses.refresh()
    settling = Settling(store, addresses, Settings((DOMAIN,), "out.example.com"), lambda: NOW)

    async def take(outcome: Outcome, letter: Letter = LETTER, raw: bytes = RAW) -> str:
        return str(await settling.take(letter, raw, outcome))

    return take


async def only(store: MemoryStore, mailbox: UUID) -> Message:
    [message] = await store.messages.listing(mailbox)
    return message


def reports(store: MemoryStore) -> list[dict[str, object]]:
    return [json.loads(item.payload) for item in store.state.outbox.values() if item.kind is Work.REPORT]


def to(*locals_: str, **changes: object) -> Letter:
    made = replace(LETTER, recipients=tuple(Recipient(f"{each}@{DOMAIN}") for each in locals_))
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("ret", "whole"), [("FULL", True), ("HDRS", False), ("", False)])
@pytest.mark.parametrize("outcome", [Unreadable("no sound"), MAIL])
async def test_all_of_a_mail_is_kept_for_its_report_where_its_sender_wants_it_back(
    store: MemoryStore, take: Take, outcome: Outcome, ret: str, whole: bool
) -> None:
    await take(outcome, to("1009", ret=ret))
    (work,) = (item for item in store.state.outbox.values() if item.kind is Work.REPORT)
    kept = await store.messages.listing(OUTGOING)
    assert [each.id for each in kept] == ([work.message_id] if whole else [])
    assert [await store.messages.audio(each.id) for each in kept] == [RAW] * whole
    assert bool(work.message_id) == whole


ASKS = b"Disposition-Notification-To: Eve <2722@pbx.example.net>\r\n"


@pytest.mark.parametrize(
    ("asks", "notify", "told"),
    [
        (ASKS, ("NEVER",), ["mdn"]),
        (ASKS, (), ["dsn"]),
        (b"", ("NEVER",), []),
        (ASKS.replace(b"pbx.example.net", b"victim.example"), ("NEVER",), []),
        (ASKS + ASKS, ("NEVER",), []),
    ],
)
async def test_who_declined_reports_but_wants_a_receipt_is_told_that_it_cannot_be_read(
    store: MemoryStore, take: Take, asks: bytes, notify: tuple[str, ...], told: list[str]
) -> None:
    letter = replace(LETTER, recipients=(Recipient(f"1001@{DOMAIN}", notify),))
    for _ in range(2):
        await take(Unreadable("no sound", "5.6.1"), letter, asks + RAW)
    assert [each["kind"] for each in reports(store)] == told
    if told == ["mdn"]:
        (said,) = reports(store)
        assert said["disposition"] == "processed/error" and said["to"] == "2722@pbx.example.net"


async def test_of_a_mail_that_arrived_nothing_is_kept_for_its_report(store: MemoryStore, take: Take) -> None:
    told = replace(LETTER.recipients[0], notify=("SUCCESS",))
    await take(MAIL, replace(LETTER, recipients=(told,), ret="FULL"))
    assert [each["kind"] for each in reports(store)] == ["dsn-delivered"]
    assert await store.messages.listing(OUTGOING) == []


async def test_what_the_mail_says_is_kept(store: MemoryStore, take: Take) -> None:
    await take(replace(MAIL, urgent=True, private=True, receipt_to="2722@pbx.example.net"))
    m = await only(store, ANNA.id)
    assert (m.caller, m.caller_name, m.recorded, m.seconds, m.urgent) == ("2722", "Eve", MAIL.sent, 1.0, True)
    assert m.envelope.private and m.envelope.sender is None and m.envelope.remote
    assert m.envelope.remote.receipt_to == m.envelope.remote.address == "2722@pbx.example.net"
    assert m.envelope.remote.message_id == "1@pbx.example.net"


async def test_taking_it_again_adds_nothing(store: MemoryStore, take: Take) -> None:
    for _ in range(3):
        await take(MAIL, to("1001", "sales"))
    assert len(store.state.messages) == 2


async def test_all_that_was_said_is_one_recording_with_its_speakers(store: MemoryStore, take: Take) -> None:
    there = Speech(file_pcm16(bytes(8000)), 0.5, Person("+4930555@b.example"), NOW - timedelta(days=1))
    await take(replace(MAIL, speech=(Speech(ONE, 1.0), there)))
    m = await only(store, ANNA.id)
    assert m.envelope.parts == (
        Part(1.0, None, "2722", MAIL.sent),
        Part(0.5, None, "+4930555", NOW - timedelta(days=1)),
    )
    assert m.seconds == parse(await store.messages.audio(m.id)).seconds == 1.5


async def test_a_user_of_ours_is_the_sender_and_can_have_receipts(store: MemoryStore, take: Take) -> None:
    mail = replace(MAIL, sender=Person("anna@EXAMPLE.com"), receipt_to="anna@example.com")
    await take(mail, to("1002"))
    m = await only(store, BEN.id)
    assert (m.caller, m.caller_name) == ("1001", "Anna")
    assert m.envelope == Envelope(sender=ANNA.id, receipt=True)


async def test_an_answer_to_all_reaches_ours_and_known_systems_only(store: MemoryStore, take: Take) -> None:
    people = [
        f"1001@{DOMAIN}",
        f"sales@{DOMAIN}",
        "2723@pbx.example.net",
        "victim@c.example",
        f"x y@{DOMAIN}",
    ]
    await take(replace(MAIL, to=tuple(map(Person, people)), cc=(Person(f"1002@{DOMAIN}"),) * 99))
    recipients = (await only(store, ANNA.id)).envelope.recipients
    assert recipients == ("1001", "list:Sales", "2723@pbx.example.net", "1002")


async def test_who_has_gone_is_told_once_and_the_others_have_it(store: MemoryStore, take: Take) -> None:
    for _ in range(2):
        assert "told" in await take(MAIL, to("1001", "4711"))
    assert len(await store.messages.listing(ANNA.id)) == 1
    [said] = reports(store)
    assert said["recipients"] == [f"4711@{DOMAIN}"] and said["status"] == "5.1.1"


async def test_without_anybody_to_tell_it_goes_to_the_undeliverable_list(
    store: MemoryStore, take: Take
) -> None:
    nobody = to("4711", sender="")
    await take(MAIL, nobody)
    assert (await only(store, QUARANTINE)).envelope.why == "nobody is there to get it"
    last = Undeliverable(members=("1002",))
    await store.settings.put(Setting(last.KIND, "default", last.model_dump_json()))
    await take(replace(MAIL, message_id="2@x"), nobody)
    assert (await only(store, BEN.id)).caller == "2722"
    await take(replace(MAIL, message_id="3@x"), to("postmaster"))
    assert len(await store.messages.listing(BEN.id)) == 2 and not reports(store)


async def test_success_is_told_when_it_was_asked_for(store: MemoryStore, take: Take) -> None:
    await take(MAIL, replace(LETTER, recipients=(Recipient(f"1001@{DOMAIN}", ("SUCCESS",)),)))
    [said] = reports(store)
    assert (said["kind"], said["status"]) == ("dsn-delivered", "2.1.5")


async def test_what_no_person_sent_is_no_message_unless_it_is_vpim(store: MemoryStore, take: Take) -> None:
    await take(replace(MAIL, automatic=True, is_vpim=False), raw=b"Precedence: auto_reply\r\n" + RAW)
    assert (await only(store, QUARANTINE)).envelope.why.startswith("5.7.1") and not reports(store)
    assert not await store.messages.listing(ANNA.id)
    await take(replace(MAIL, automatic=True, is_vpim=True))
    assert await only(store, ANNA.id)


@pytest.mark.parametrize("speech", [(), (Speech(b"RIFF", 1.0),)])
async def test_broken_sound_is_quarantined(
    store: MemoryStore, take: Take, speech: tuple[Speech, ...]
) -> None:
    await take(replace(MAIL, speech=speech))
    m = await only(store, QUARANTINE)
    assert m.envelope.why.startswith("5.6.1") and m.envelope.kind is MessageKind.QUARANTINED
    assert unwrapped(await store.messages.audio(m.id)) == (LETTER, RAW)
    assert reports(store)[0]["status"] == "5.6.1"


def test_what_is_in_quarantine_without_an_envelope_is_given_back_as_it_is() -> None:
    assert unwrapped(RAW) == (None, RAW)
    assert unwrapped(wrapped(LETTER, RAW)[:].replace(b'"network"', b'"x"')) == (None, RAW)


async def test_the_store_being_away_changes_nothing(store: MemoryStore, take: Take) -> None:
    for outcome in (MAIL, Unreadable("x"), Report(Action.FAILED, "x@y", f"{UUID(int=5)}@{DOMAIN}")):
        store.state.away = True
        with pytest.raises(Unavailable):
            await take(outcome)
        store.state.away = False
    assert not store.state.messages and not store.state.outbox


async def test_who_may_not_send_to_lists_may_not_by_mail_either(store: MemoryStore, take: Take) -> None:
    strict = ClassOfService(may_send_to_lists=False)
    await store.settings.put(Setting(strict.KIND, "default", strict.model_dump_json()))
    await take(
        replace(MAIL, sender=Person("anna@example.com")), to("1002", "sales", sender="anna@example.com")
    )
    assert len(store.state.messages) == 1
    [said] = reports(store)
    assert (said["status"], said["recipients"]) == ("5.7.1", [f"sales@{DOMAIN}"])
    await take(replace(MAIL, message_id="2@x"), to("sales"))
    assert len(store.state.messages) == 3, "it is a class of users, not of outside senders"


# ---- what classes of service bound


async def given(store: MemoryStore, user: User, cos: ClassOfService) -> None:
    """A class of his own."""
    await store.settings.put(Setting(cos.KIND, user.extension, cos.model_dump_json()))
    options = UserOptions(cos=user.extension)
    await store.settings.put(Setting(options.KIND, "options", options.model_dump_json(), user.id))


FROM_ANNA = replace(MAIL, sender=Person("anna@example.com"), speech=(Speech(ONE, 10.0),))
SHORT = ClassOfService(longest_from_outside=5.0)
FILLED = ClassOfService(quota=Quota(warn=0, no_send=1, no_receive=100_000))


async def test_a_recording_from_outside_that_is_too_long_for_a_mailbox_is_kept_from_it_and_told(
    store: MemoryStore, take: Take
) -> None:
    await given(store, ANNA, SHORT)
    for _ in range(2):
        await take(replace(MAIL, speech=(Speech(ONE, 4.0), Speech(ONE, 4.0))), to("1001", "1002"))
    assert await only(store, BEN.id) and not await store.messages.listing(ANNA.id)
    held = await only(store, QUARANTINE)
    assert held.envelope.why.startswith("5.2.3") and f"1001@{DOMAIN}" in held.envelope.why
    [said] = reports(store)
    assert (said["status"], said["recipients"]) == ("5.2.3", [f"1001@{DOMAIN}"])


async def test_who_takes_no_messages_gets_none_by_mail_either_and_the_sender_is_told(
    store: MemoryStore, take: Take
) -> None:
    none = UserOptions(rejects=(Sort.VOICE,)).model_dump_json()
    await store.settings.put(Setting(UserOptions.KIND, "options", none, ANNA.id))
    await take(MAIL, to("1001", "1002"))
    assert await only(store, BEN.id) and not await store.messages.listing(ANNA.id)
    [said] = reports(store)
    assert (said["status"], said["recipients"]) == ("5.2.1", [f"1001@{DOMAIN}"])


async def test_what_was_forwarded_counts_for_itself(store: MemoryStore, take: Take) -> None:
    await given(store, ANNA, SHORT)
    eve, ned = Person("eve@pbx.example.net"), Person("ned@pbx.example.net")
    three = (Speech(ONE, 5.0), Speech(ONE, 5.9, eve, NOW), Speech(ONE, 5.0, ned, NOW))
    await take(replace(MAIL, speech=three))
    await take(replace(MAIL, message_id="2@x", speech=(Speech(ONE, 1.0), Speech(ONE, 7.0, eve, NOW))))
    assert (await only(store, ANNA.id)).seconds == 3.0 and await only(store, QUARANTINE)


async def test_the_limit_for_outside_senders_is_not_one_of_users(store: MemoryStore, take: Take) -> None:
    await given(store, BEN, SHORT)
    await take(FROM_ANNA, to("1002"))
    assert (await only(store, BEN.id)).envelope.sender == ANNA.id
    await given(store, ANNA, ClassOfService(longest_message=5.0))
    await take(replace(FROM_ANNA, message_id="2@x"), to("1002", sender="anna@example.com"))
    assert await only(store, BEN.id) and (await only(store, QUARANTINE)).envelope.why.startswith("5.2.3")
    assert reports(store)[0]["status"] == "5.2.3"


async def test_a_user_whose_mailbox_is_too_full_to_send_does_not_send_by_mail_either(
    store: MemoryStore, take: Take
) -> None:
    await given(store, ANNA, FILLED)
    await take(FROM_ANNA, to("1002"))
    assert await only(store, BEN.id), "an empty mailbox bars nobody"
    await take(MAIL)
    assert await take(FROM_ANNA, to("1002", sender="anna@example.com")) == "1 mailboxes", "it was sent before"
    assert not reports(store) and not await store.messages.listing(QUARANTINE)
    await take(replace(FROM_ANNA, message_id="2@x"), to("1002", sender="anna@example.com"))
    assert await only(store, BEN.id) and (await only(store, QUARANTINE)).envelope.why.startswith("5.2.2")
    [said] = reports(store)
    assert (said["status"], said["to"]) == ("5.2.2", "anna@example.com")
    addresses = Addresses(store)
    await addresses.refresh()
    released = Settling(store, addresses, Settings((DOMAIN,), released=True), lambda: NOW)
    await released.take(to("1002"), RAW, replace(FROM_ANNA, message_id="2@x"))
    assert len(await store.messages.listing(BEN.id)) == 2, "an operator may want it all the same"


async def test_a_full_mailbox_takes_no_mail_to_its_list_but_what_it_has_stays_told_as_taken(
    store: MemoryStore, take: Take
) -> None:
    await given(store, ANNA, ClassOfService(quota=Quota(warn=0, no_send=0, no_receive=1)))
    for _ in range(2):
        assert await take(MAIL, to("sales")) == "2 mailboxes"
    await take(replace(MAIL, message_id="2@x"), to("sales"))
    assert [len(await store.messages.listing(user.id)) for user in (ANNA, BEN)] == [1, 2]
    [said] = reports(store)
    assert (said["status"], said["recipients"]) == ("5.2.2", [f"sales@{DOMAIN}"])


async def test_too_long_a_recording_of_somebody_who_cannot_be_told_stays_in_quarantine(
    store: MemoryStore, take: Take
) -> None:
    await given(store, ANNA, SHORT)
    last = Undeliverable(members=("1002",))
    await store.settings.put(Setting(last.KIND, "default", last.model_dump_json()))
    await take(replace(MAIL, speech=(Speech(ONE, 9.0),)), replace(LETTER, sender=""))
    assert await only(store, QUARANTINE) and not reports(store)
    assert not await store.messages.listing(BEN.id), "nothing is wrong with the address"


# ---- mails as they are


def with_attachment(sender: str) -> bytes:
    """As a user's mail program sends a recording."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, f"sales@{DOMAIN}", "Umsätze"
    mail["Message-ID"], mail["Date"] = "<m1@example.com>", "Mon, 04 May 2026 11:59:00 +0200"
    mail["X-Priority"] = "1 (Highest)"
    mail.set_content("Siehe Anhang")
    mail.add_attachment(file_pcm16(bytes(16000)), "audio", "wav", filename="memo.wav")
    return mail.as_bytes(policy=POLICY)


async def test_a_recording_attached_to_a_users_mail_goes_to_the_list(store: MemoryStore, take: Take) -> None:
    raw = with_attachment("Anna <anna@example.com>")
    assert await take(vpim.read(raw), to("sales", sender="anna@example.com"), raw) == "2 mailboxes"
    m = await only(store, BEN.id)
    assert (m.envelope.sender, m.seconds, m.urgent) == (ANNA.id, 1.0, True)
    assert m.recorded == NOW - timedelta(minutes=1) and m.envelope.recipients == ("list:Sales",)


async def test_a_report_that_another_tandem_wrote_is_understood(store: MemoryStore, take: Take) -> None:
    message = await sent(store)
    about = f"{message.id}@out.example.com"
    failed = Report(Action.FAILED, "2722@pbx.example.net", about, "5.2.2")
    original = f"Message-ID: <{about}>\r\n\r\n".encode()
    address = f"1001@{DOMAIN}"
    raw = dsn(failed, original, item_id="1", sent=NOW, domain="pbx.example.net", to=address)
    await take(vpim.read(raw), NULL, raw)
    assert (await only(store, ANNA.id)).envelope.why == "full"
    heard = Report(Action.DISPLAYED, "2722@pbx.example.net", about)
    raw = mdn(heard, item_id="2", sent=NOW, sender=Person("2722@pbx.example.net"), to=address)
    await take(vpim.read(raw), NULL, raw)
    kinds = [m.envelope.kind for m in await store.messages.listing(ANNA.id)]
    assert set(kinds) == {MessageKind.NON_DELIVERY, MessageKind.READ_RECEIPT} and len(kinds) == 2


# ---- reports


async def sent(store: MemoryStore) -> NewMessage:
    """A message of Anna's that is on its way elsewhere."""
    message = NewMessage(
        UUID("01a222a1-e304-7bec-b217-42e00c1ed319"), OUTGOING, "1001", "Anna", NOW, 1.0,
        envelope=Envelope(MessageKind.OUTGOING, ANNA.id, private=True, receipt=True),
    )  # fmt: skip
    await store.messages.deposit(message, ONE)
    return message


def report(action: Action, about: object, **more: str) -> Report:
    return Report(action, "2722@pbx.example.net", f"{about}@out.example.com", **more)


NULL = replace(LETTER, sender="")


async def test_a_failure_comes_back_to_its_author_once_with_what_he_said(
    store: MemoryStore, take: Take
) -> None:
    message = await sent(store)
    for _ in range(2):
        await take(report(Action.FAILED, message.id, status="5.1.1", diagnostic="no such"), NULL)
    m = await only(store, ANNA.id)
    assert (m.envelope.kind, m.envelope.why, m.envelope.about) == (
        MessageKind.NON_DELIVERY,
        "gone",
        message.id,
    )
    assert m.envelope.recipients == ("2722@pbx.example.net",) and m.envelope.private
    assert await store.messages.audio(m.id) == ONE


async def test_it_is_found_by_the_work_of_sending_it_too(store: MemoryStore, take: Take) -> None:
    message = await sent(store)
    work = NewWork(uuid5(message.id, "2722"), Work.POST, OUTGOING, message.id)
    await store.outbox.add([work])
    more = report(Action.FAILED, work.id, status="5.7.1", diagnostic="not\nyou")
    await take(replace(report(Action.DELIVERED, work.id), more=(more,)), to("voicemail", sender=""))
    m = await only(store, ANNA.id)
    assert (m.envelope.why, m.envelope.about) == ("5.7.1 not you", message.id)


async def test_an_author_hears_once_that_it_is_late_and_then_that_it_failed(
    store: MemoryStore, take: Take
) -> None:
    message = await sent(store)
    for _ in range(2):
        assert (await take(report(Action.DELAYED, message.id, status="4.4.1"), NULL)).startswith("late")
    m = await only(store, ANNA.id)
    assert (m.envelope.kind, m.envelope.why) == (MessageKind.NON_DELIVERY, "late")
    assert m.envelope.recipients == ("2722@pbx.example.net",)
    await take(report(Action.FAILED, message.id, status="5.4.7"), NULL)
    assert sorted(m.envelope.why for m in await store.messages.listing(ANNA.id)) == ["5.4.7", "late"]


async def test_once_the_message_is_gone_whom_the_report_is_for_is_told(
    store: MemoryStore, take: Take
) -> None:
    about = UUID("01a222a1-e304-7bec-b217-42e00c1ed319")
    for _ in range(2):
        await take(report(Action.FAILED, about, status="4.2.2"), NULL)
    m = await only(store, ANNA.id)
    assert (m.envelope.kind, m.envelope.why, m.envelope.about) == (MessageKind.NON_DELIVERY, "full", None)


async def test_a_receipt_is_told_once(store: MemoryStore, take: Take) -> None:
    message = await sent(store)
    for _ in range(2):
        await take(report(Action.DISPLAYED, message.id), NULL)
    m = await only(store, ANNA.id)
    assert (m.envelope.kind, m.envelope.about, m.caller) == (MessageKind.READ_RECEIPT, message.id, "2722")
    for action in (Action.DELETED, Action.RELAYED, Action.DELIVERED):
        assert (await take(report(action, message.id), NULL)).startswith("nothing")
    assert await only(store, ANNA.id)


async def test_a_report_on_what_is_not_ours_reaches_nobody(store: MemoryStore, take: Take) -> None:
    message = NewMessage(UUID(int=77), BEN.id, "1001", "Anna", NOW, 1.0, envelope=Envelope(sender=ANNA.id))
    await store.messages.deposit(message, ONE)
    await take(Report(Action.FAILED, "x@y", f"{UUID(int=77)}@elsewhere.example"), NULL)
    assert not await store.messages.listing(ANNA.id)
    assert "not known" in (await only(store, QUARANTINE)).envelope.why and not reports(store)
    done = await take(Report(Action.FAILED, "x@y", f"{UUID(int=5)}@{DOMAIN}"), to("voicemail", sender=""))
    assert done.startswith("a notification did not reach x@y")


# ---- contacts


async def test_contacts_are_made_and_changed_where_the_location_wants_it(
    store: MemoryStore, take: Take
) -> None:
    owner = setting_id("contact", "2722@pbx.example.net")

    async def switches(**on: bool) -> None:
        place = Location(domain="pbx.example.net", **on)  # type: ignore[arg-type]
        await store.settings.put(Setting(place.KIND, "pbx", place.model_dump_json()))

    async def contact() -> Contact | None:
        kept = await store.settings.get("contact", "2722@pbx.example.net")
        return Contact.model_validate_json(kept.body) if kept else None

    await take(replace(MAIL, spoken_name=ONE))
    assert await contact() is None and await store.users.greeting(owner, "name") is None
    await switches(make_contacts=True)
    await take(replace(MAIL, spoken_name=ONE, sender=Person("2722@Pbx.example.net", "Eve\r\nBcc: x")))
    assert await contact() == Contact(location="pbx", display_name="Eve Bcc: x")
    assert await store.users.greeting(owner, "name") == ONE
    await take(replace(MAIL, sender=Person("2722@pbx.example.net", "Eva")))
    assert (await contact() or Contact(location="")).display_name == "Eve Bcc: x", "not to be updated"
    await switches(update_contacts=True)
    await take(replace(MAIL, sender=Person("2722@pbx.example.net", "Eva")))
    assert (await contact() or Contact(location="")).display_name == "Eva"
    await take(replace(MAIL, sender=Person("2799@pbx.example.net", "New")))
    assert len(await store.settings.all("contact")) == 1


# ---- addresses


@pytest.mark.parametrize(
    "local, expected",
    [
        ("1001", ("1001",)), ("1001+111", ("1001",)), ("1001+Holiday", ("1001+holiday", "1001")),
        ("+4930555", ("+4930555", "4930555")), ("VPIM=1001", ("1001",)), ("/VPIM=1/DL=7000/", ("7000",)),
        ("VOICE=0900123", ()), ("FAX=1", ()), ('"Sales"', ("sales",)), ("", ("",)),
    ],
)  # fmt: skip
def test_what_a_local_part_may_mean(local: str, expected: tuple[str, ...]) -> None:
    assert candidates(local) == expected


async def test_a_users_mail_to_a_list_also_goes_to_its_members_elsewhere(
    store: MemoryStore, take: Take
) -> None:
    both = Members(members=("1002", "2799@pbx.example.net"))
    await store.settings.put(Setting(both.KIND, "Sales", both.model_dump_json()))
    mail = replace(MAIL, sender=Person("anna@example.com"))
    assert await take(mail, to("sales", sender="anna@example.com")) == "1 mailboxes, 1 elsewhere"
    [work] = [each for each in store.state.outbox.values() if each.kind is Work.POST]
    assert json.loads(work.payload)["to"] == "2799@pbx.example.net"
    assert await take(replace(MAIL, message_id="2@x"), to("sales")) == "1 mailboxes", "an outsider's does not"
