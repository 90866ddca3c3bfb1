"""Messages and reports on their way to other systems, with a mailer that does as it is told."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import aiosmtplib
import pytest

from store.ids import uuid7
from store.model import (
    OUTGOING,
    Envelope,
    MessageKind,
    NewMessage,
    NewWork,
    OutboxItem,
    Part,
    Setting,
    Work,
)
from tests.fakes.primary import eventually
from tests.fakes.sending import ANNA, BUSY, MAIL, REFUSAL, SPEECH, Office, Sent
from tests.fakes.vpim_payloads import PAYLOADS
from tests.fakes.vpim_validator import violations
from voicemail import departures
from voicemail.config import Mail
from voicemail.policy.locations import Location, Tls
from voicemail.policy.model import Undeliverable
from voicemail.primary.agenda import Agenda, Job, Outcome, Plan, Subject, Verdict
from voicemail.primary.backoff import PATIENCE
from voicemail.primary.handler import LaneSettings
from voicemail.primary.lease import Lease, Permit
from voicemail.primary.post import DESK, Post
from voicemail.primary.returns import bring_back, word_of
from voicemail.primary.routes import Route
from voicemail.primary.runner import Runner
from voicemail.vpim.model import Action, Report
from voicemail.vpim.read import read


async def test_a_message_leaves_as_a_voice_mail_and_is_kept_for_what_may_come_back() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example")
    assert await office.try_once(item) == Outcome(Verdict.SENT, "sent")
    (parcel,) = office.sent.parcels
    assert (parcel.sender, parcel.receiver, parcel.tracked) == ("1001@vm1.example", "2722@vm2.example", True)
    mail = message_from_bytes(parcel.content, policy=default)
    assert mail.get_content_type() == "multipart/voice-message"
    assert mail["Message-ID"] == f"<{item.id}@vm1.example>"
    assert mail["From"].addresses[0].display_name == "Anna Ähre"
    assert await office.leaving() == [] and len(await office.kept()) == 1


@pytest.mark.parametrize("last", [None, REFUSAL])
async def test_it_is_kept_until_nothing_is_owed_and_longer_if_anybody_took_it(last: Exception | None) -> None:
    office = Office()
    to = ("2722@vm2.example", "3001@vm3.example", "2733@vm2.example")
    office.sent.failures = {"3001@vm3.example": BUSY, "2722@vm2.example": REFUSAL}
    for item in (items := await office.leaves(*to)):
        await office.try_once(item)
        await office.record(item)
    assert len(await office.kept()) == 1
    office.sent.failures = {"3001@vm3.example": last} if last else {}
    await office.try_once(items[1])
    assert len(await office.kept()) == 1


async def test_what_nobody_took_goes_with_its_last_refusal() -> None:
    office = Office()
    items = await office.leaves("2722@vm2.example", "3001@vm3.example")
    office.sent.failures = dict.fromkeys(("2722@vm2.example", "3001@vm3.example"), REFUSAL)
    for item in items:
        assert len(await office.leaving()) == 1
        await office.try_once(item)
    assert await office.leaving() == []


async def test_a_repeat_is_the_same_to_the_byte() -> None:
    office = Office()
    one, _ = await office.leaves("2722@vm2.example", "3001@vm3.example")
    for attempts in (0, 3):
        await office.try_once(replace(one, attempts=attempts))
    first, second = office.sent.parcels
    assert first == second


# ---- where to


async def lane_of(office: Office, address: str) -> str:
    (item,) = await office.leaves(address)
    (lane,) = (await office.post.plan(item)).lanes
    return lane


async def test_each_destination_has_a_lane() -> None:
    office = Office()
    assert await lane_of(office, "2722@VM2.example") == "post mx vm2.example"
    assert await lane_of(office, "3001@vm3.example") == "post vm3.example:2525"
    await office.try_once((await office.leaves("9@vm3.example"))[0])
    assert office.sent.routes == [Route("vm3.example", 2525, tls=Tls.VERIFY)]


async def test_the_smart_host_takes_what_has_no_host_of_its_own() -> None:
    office = Office(Mail(host="relay.example", port=587, tls=True))
    assert await lane_of(office, "2722@vm2.example") == "post relay.example:587"
    assert await lane_of(office, "3001@vm3.example") == "post vm3.example:2525"


async def test_lanes_are_bounded() -> None:
    office = Office()
    for number in range(600):
        office.set(f"l{number}", Location(domain=f"d{number}.example"))
    for number in range(600):
        item = OutboxItem(
            uuid7(), Work.POST, OUTGOING, None, office.clock.now(), 0, f'{{"to":"1@d{number}.example"}}'
        )
        assert (await office.post.plan(item)).lanes
    assert 500 <= len(office.post.lanes()) <= 516


# ---- what comes back


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (REFUSAL, "gone"),
        (aiosmtplib.SMTPRecipientRefused(552, "5.2.2 full", "x"), "full"),
        (aiosmtplib.SMTPDataError(554, "5.7.1 not wanted"), "not allowed"),
        (aiosmtplib.SMTPDataError(554, "5.6.0 whatever"), "refused"),
    ],
)
async def test_a_refusal_comes_back_once_with_its_reason_and_the_message(
    failure: Exception, word: str
) -> None:
    office = Office()
    office.sent.failures["2722@vm2.example"] = failure
    (item,) = await office.leaves("2722@vm2.example", private=True)
    await bring_back(office.store, item, str(failure))
    assert (await office.try_once(item)).verdict is Verdict.REFUSED
    (back,) = await office.told()
    assert back.envelope.kind is MessageKind.NON_DELIVERY and back.envelope.private
    assert back.envelope.recipients == ("2722@vm2.example",)
    assert await office.store.messages.audio(back.id) == SPEECH
    assert await office.leaving() == []


async def test_the_reason_is_kept_in_words() -> None:
    office = Office()
    office.sent.failures["2722@vm2.example"] = REFUSAL
    (item,) = await office.leaves("2722@vm2.example")
    await office.try_once(item)
    (back,) = await office.told()
    assert back.envelope.why.startswith("gone, ") and "no such mailbox" in back.envelope.why


@pytest.mark.parametrize("failure", [BUSY, OSError("nobody there")])
async def test_after_five_days_it_comes_back(failure: Exception) -> None:
    office = Office()
    office.sent.failures["2722@vm2.example"] = failure
    (item,) = await office.leaves("2722@vm2.example")
    assert (await office.try_once(item)).verdict in (Verdict.FAILED, Verdict.SILENT)
    assert await office.told() == []
    office.clock.advance(PATIENCE.total_seconds() + 60)
    assert (await office.try_once(replace(item, attempts=9))).text.startswith("given up")
    assert len(await office.told()) == 2, "that it was late, and that it was given up"
    assert await office.leaving() == []


async def test_what_nobody_could_try_because_its_host_is_silent_comes_back_too() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example")
    office.clock.advance(PATIENCE.total_seconds() + 60)
    given_up = replace(item, attempts=130)
    assert (await office.post.plan(given_up)).lanes == {DESK}
    assert (await office.try_once(given_up)).verdict is Verdict.REFUSED
    assert not office.sent.parcels and await office.leaving() == []


@pytest.mark.parametrize("later", [False, True])
async def test_what_was_hardly_tried_is_not_given_up(later: bool) -> None:
    """After an outage of our own of a week, or when it was to leave days after it was written."""
    office = Office()
    due = office.clock.now() + timedelta(days=7) if later else None
    (item,) = await office.leaves("2722@vm2.example", deliver_at=due)
    office.sent.failures["2722@vm2.example"] = BUSY
    office.clock.advance(7 * 86400 + 60)
    assert (await office.try_once(item)).verdict is Verdict.FAILED
    assert (await office.try_once(replace(item, attempts=8))).verdict is Verdict.FAILED
    verdict = (await office.try_once(replace(item, attempts=20))).verdict
    assert verdict is (Verdict.FAILED if later else Verdict.REFUSED)


async def test_a_runner_leaves_giving_up_to_who_tells_the_author() -> None:
    office = Office()
    await office.leaves("2722@vm2.example")
    office.clock.advance(PATIENCE.total_seconds() + 60)
    node = Primary(office, 1, Sent(failures={"2722@vm2.example": BUSY}))
    await eventually(lambda: office.store.state.postponed)
    assert not posted(office)
    await node.killed()


async def test_that_it_is_late_is_told_once() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example")
    await office.post.plan(replace(item, attempts=3))
    assert await office.told() == []
    office.clock.advance(4 * 3600 + 60)
    for attempts in (9, 10):
        await office.post.plan(replace(item, attempts=attempts))
    (late,) = await office.told()
    assert (late.envelope.why, late.envelope.kind) == ("late", MessageKind.NON_DELIVERY)


async def test_an_outside_callers_message_goes_to_the_undeliverable_list() -> None:
    office = Office()
    last = Setting(Undeliverable.KIND, "default", Undeliverable(members=("1001",)).model_dump_json())
    await office.store.settings.put(last)
    office.sent.failures["2722@vm2.example"] = REFUSAL
    (item,) = await office.leaves("2722@vm2.example", sender=None)
    await office.try_once(item)
    assert len(await office.told()) == 1


async def test_a_message_that_was_taken_back_is_not_sent() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example")
    assert item.message_id
    del office.store.state.messages[item.message_id]
    assert (await office.try_once(item)).text.startswith("nothing sent")
    assert not office.sent.parcels


@pytest.mark.parametrize(
    "payload",
    [
        "{}",
        '{"to": "a@b.c", "due": "2026-01-01"}',
        "[]",
        '{"to": "nobody"}',
        '{"to": "a@b", "of": "x"}',
        "null",
    ],
)
async def test_a_row_that_says_nothing_ends(payload: str) -> None:
    office = Office()
    item = OutboxItem(uuid7(), Work.POST, OUTGOING, None, office.clock.now(), 0, payload)
    assert (await office.post.plan(item)).lanes == {DESK}
    assert (await office.try_once(item)).verdict in (Verdict.REFUSED, Verdict.SENT)


async def test_rules_are_kept_also_when_they_changed_meanwhile() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example", secure=True)
    assert (await office.try_once(item)).verdict is Verdict.REFUSED
    (back,) = await office.told()
    assert back.envelope.why.startswith("not allowed") and back.envelope.secure
    assert not office.sent.parcels


async def test_a_forwarded_message_has_the_introduction_and_what_is_behind_it() -> None:
    office = Office()
    parts = (
        Part(0.6, ANNA.id, "1001", office.clock.now()),
        Part(1.0, None, "+4930555", office.clock.now() - timedelta(hours=1)),
    )
    (item,) = await office.leaves("2722@vm2.example", parts=parts)
    await office.try_once(item)
    mail = message_from_bytes(office.sent.parcels[0].content, policy=default)
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds.count("message/rfc822") == 1 and kinds.count("audio/32kadpcm") == 2
    (inner,) = [part.get_content() for part in mail.walk() if part.get_content_type() == "message/rfc822"]
    assert inner["From"].addresses[0].addr_spec == "non-mail-user@vm1.example"
    assert violations(office.sent.parcels[0].content) == []


def headers(content: bytes) -> list[str]:
    """Names of all header fields of a mail, parts included."""
    return [key for part in message_from_bytes(content).walk() for key, _ in part.items()]


async def test_no_name_or_number_brings_a_header_or_a_recipient_with_it() -> None:
    office = Office()
    (item,) = await office.leaves("2722@vm2.example", sender=None)
    await office.try_once(item)
    usual = headers(office.sent.parcels[0].content)
    for payload in PAYLOADS:
        for sender, caller, name in ((ANNA.id, "1001", "Anna"), (None, payload, ""), (None, "", payload)):
            office.sent.parcels.clear()
            office.store.state.users[ANNA.id] = replace(ANNA, name=payload)
            envelope = Envelope(sender=sender, recipients=("2722@vm2.example",))
            new = NewMessage(uuid7(), OUTGOING, caller, name, office.clock.now(), 1.6, envelope=envelope)
            await departures.depart(office.store, new, ("2722@vm2.example",), SPEECH, 1.0)
            item = [i for i in office.store.state.outbox.values() if i.kind is Work.POST][-1]
            assert (await office.try_once(item)).verdict is Verdict.SENT, payload
            (parcel,) = office.sent.parcels
            assert parcel.receiver == "2722@vm2.example" and re.fullmatch(r"[!-~]+@[a-z0-9.]+", parcel.sender)
            assert [h for h in headers(parcel.content) if h != "Content-Language"] == [
                h for h in usual if h != "Content-Language"
            ], payload
            assert violations(parcel.content) == [], payload


@pytest.mark.parametrize("kind", ["dsn", "mdn"])
async def test_no_report_brings_a_header_with_it(kind: str) -> None:
    office = Office()
    usual: list[str] = []
    for payload in ("plain", *PAYLOADS):
        office.sent.parcels.clear()
        said = {"kind": kind, "to": "2722@vm2.example", "recipients": ["1001"], "disposition": "displayed"}
        said |= dict.fromkeys(("original_id", "status", "why", "envid"), payload) | {"headers": "Subject: x"}
        text = json.dumps(said)
        item = OutboxItem(uuid7(), Work.REPORT, OUTGOING, None, office.clock.now(), 0, text)
        if (await office.try_once(item)).verdict is Verdict.SENT:
            (parcel,) = office.sent.parcels
            usual = usual or headers(parcel.content)
            optional = {"In-Reply-To", "References", "Original-Message-ID", "Original-Envelope-Id"}
            got = [each for each in headers(parcel.content) if each not in optional]
            assert got == [each for each in usual if each not in optional], payload
            assert parcel.receiver == "2722@vm2.example"


@pytest.mark.parametrize(
    ("text", "word"),
    [("SMTPRecipientRefused: 550 5.1.1 x", "gone"), ("full, it is", "full"), ("OSError: no", "refused")],
)
def test_the_word_for_an_answer(text: str, word: str) -> None:
    assert word_of(text) == word


# ---- under a runner


class NoLamps:
    """What is purged asks for a lamp; there are none here."""

    def lanes(self) -> dict[str, LaneSettings]:
        return {}

    async def plan(self, item: OutboxItem) -> Plan:
        return Plan(item.id)

    async def refresh(self) -> list[tuple[str, Subject]]:
        return []

    def subjects(self, lane: str) -> list[Subject]:
        return []

    async def perform(self, job: Job, permit: Permit) -> Outcome:
        raise AssertionError(f"there are no lamps here: {job}")


class Primary:
    """A node that is Primary under `epoch`."""

    def __init__(self, office: Office, epoch: int, sent: Sent | None = None) -> None:
        self.sent = sent or Sent()
        post = Post(office.store, MAIL, "vm1.example", self.sent, office.clock)
        handlers = {Work.POST: post, Work.REPORT: post, Work.LAMP: NoLamps()}
        lease = Lease()
        self.runner = Runner(office.store, handlers, Agenda(lambda: 0.0), office.clock, lease)
        self.runner.renew(epoch, office.clock.monotonic())
        self.task = asyncio.create_task(self.runner.run())

    async def killed(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_a_host_that_hangs_delays_nobody_else() -> None:
    office = Office()
    slow = asyncio.Event()
    for number in range(8):
        await office.leaves(f"27{number}@vm2.example")
    for number in range(8):
        await office.leaves(f"30{number}@vm3.example")
    node = Primary(office, 1)
    node.sent.hanging = {f"27{number}@vm2.example": slow for number in range(8)}
    await eventually(lambda: sum("vm3" in each for each in node.sent.receivers) == 8)
    assert sum("vm2" in each for each in node.sent.receivers) == 1
    slow.set()
    await eventually(lambda: len(node.sent.parcels) == 16)
    await node.killed()


def posted(office: Office) -> list[OutboxItem]:
    """What is recorded as done."""
    state = office.store.state
    return [each for each in state.outbox.values() if each.kind is Work.POST and each.id in state.done]


async def test_a_takeover_repeats_at_most_the_one_in_hand_of_each_destination_with_its_id() -> None:
    office = Office()
    addresses = [f"{number}@vm{2 + number % 2}.example" for number in range(200, 240)]
    for address in addresses:
        await office.leaves(address)
    everything: list[str] = []
    for epoch in range(1, 5):
        node = Primary(office, epoch, Sent(until_stuck=4))  # four to each, the fifth is in hand
        await eventually(lambda: len(node.sent.parcels) == 10)  # noqa: B023
        await node.killed()
        everything += node.sent.ids
    last = Primary(office, 5)
    await eventually(lambda: len(posted(office)) == 40)
    await last.killed()
    everything += last.sent.ids
    assert len(set(everything)) == 40 and len(everything) == 48, "one of each of two destinations, four times"
    assert await office.leaving() == []


async def test_a_report_goes_out_with_the_null_sender() -> None:
    office = Office()
    said = {
        "kind": "mdn", "to": "2722@vm2.example", "original_id": "abc@vm2.example", "recipients": ["1001"],
        "status": "", "why": "", "headers": "", "envid": "", "ret": "", "disposition": "displayed",
    }  # fmt: skip
    await office.store.outbox.add([NewWork(uuid7(), Work.REPORT, ANNA.id, None, json.dumps(said))])
    (item,) = office.store.state.outbox.values()
    assert (await office.try_once(item)).verdict is Verdict.SENT
    (parcel,) = office.sent.parcels
    mail = message_from_bytes(parcel.content, policy=default)
    assert (parcel.sender, parcel.receiver) == ("", "2722@vm2.example")
    assert mail.get_content_type() == "multipart/report"
    assert b"1001@vm1.example" in parcel.content and b"displayed" in parcel.content
    assert b"<abc@vm2.example>" in parcel.content


async def test_a_delivery_is_told_to_each_who_asked_for_it() -> None:
    office = Office()
    said = {
        "kind": "dsn-delivered", "to": "2722@vm2.example", "original_id": "abc@vm2.example",
        "recipients": ["1001@vm1.example", "1002@vm1.example"], "original_recipients": ["a@x.example", ""],
        "status": "2.1.5", "why": "", "headers": "Subject: x", "envid": "e7", "ret": "HDRS",
    }  # fmt: skip
    await office.store.outbox.add([NewWork(uuid7(), Work.REPORT, ANNA.id, None, json.dumps(said))])
    (item,) = office.store.state.outbox.values()
    assert (await office.try_once(item)).verdict is Verdict.SENT
    reports = [read(each.content) for each in office.sent.parcels]
    assert [(each.action, each.recipient) for each in reports if isinstance(each, Report)] == [
        (Action.DELIVERED, "a@x.example"), (Action.DELIVERED, "1002@vm1.example")
    ]  # fmt: skip
    assert len(set(office.sent.ids)) == 2
    assert b"Final-Recipient: rfc822; 1001@vm1.example" in office.sent.parcels[0].content


@pytest.mark.parametrize("headers", ["Content-Type: multipart/report", "Auto-Submitted: auto-replied"])
async def test_a_report_is_never_answered(headers: str) -> None:
    office = Office()
    said = {"kind": "dsn", "to": "2722@vm2.example", "original_id": "a@b", "recipients": ["1@vm1.example"]}
    said |= {"status": "5.1.1", "why": "", "headers": headers}
    item = OutboxItem(uuid7(), Work.REPORT, OUTGOING, None, office.clock.now(), 0, json.dumps(said))
    assert (await office.try_once(item)).verdict is Verdict.REFUSED
    assert not office.sent.parcels


async def test_a_report_that_is_refused_is_told_to_nobody() -> None:
    office = Office()
    office.sent.failures["2722@vm2.example"] = REFUSAL
    said = {"kind": "dsn", "to": "2722@vm2.example", "original_id": "a@b", "recipients": ["1@vm1.example"]}
    said |= {"status": "5.6.0", "why": "broken", "headers": "Subject: x\r\n", "envid": "", "ret": ""}
    await office.store.outbox.add([NewWork(uuid7(), Work.REPORT, ANNA.id, None, json.dumps(said))])
    (item,) = office.store.state.outbox.values()
    assert (await office.try_once(item)).verdict is Verdict.REFUSED
    assert await office.told() == [] and len(office.store.state.outbox) == 1
