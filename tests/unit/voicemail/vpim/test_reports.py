"""Reports as we send them, and as other systems do."""

import email
from datetime import UTC, datetime

import pytest

from tests.fakes.vpim_payloads import PAYLOADS
from voicemail.vpim.headers import NoAddress
from voicemail.vpim.model import DISPOSITIONS, Action, Person, Report, Unreadable
from voicemail.vpim.read import read
from voicemail.vpim.reports import REASONS, NoReport, Original, dsn, mdn

SENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ORIGINAL = b"From: a@b.example\r\nMessage-ID: <m1@b.example>\r\nSubject: \xc3\xa4\r\n\r\nSound\r\nof it\r\n"
FAILED = Report(Action.FAILED, "1009@vm.example.com", "m1@b.example", "5.1.1", "no mailbox 1009", "E-1")


def delivery(
    report: Report = FAILED, original: bytes = ORIGINAL, to: str = "a@b.example", **more: object
) -> bytes:
    return dsn(report, original, item_id="i1", sent=SENT, domain="vm.example.com", to=to, **more)  # type: ignore[arg-type]


def disposition(report: Report, to: str = "a@b.example", **more: object) -> bytes:
    sender = Person("1009@vm.example.com", "Bob")
    return mdn(report, item_id="i1", sent=SENT, sender=sender, to=to, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("code", [*REASONS, ""])
def test_what_became_of_a_message_is_read_again(code: str, whole: bool) -> None:
    report = Report(Action.FAILED, "1009@vm.example.com", "m1@b.example", code, "why", "E-1")
    got = read(delivery(report, whole=whole))
    assert got == Report(Action.FAILED, "1009@vm.example.com", "m1@b.example", code or "5.0.0", "why", "E-1")


@pytest.mark.parametrize("action", DISPOSITIONS)
def test_what_the_receiver_did_is_read_again(action: Action) -> None:
    report = Report(action, "1009@vm.example.com", "m1@b.example", "", "why")
    assert read(disposition(report)) == report


def test_a_report_is_as_the_rfcs_want_it() -> None:
    raw = delivery(original_recipient=Original("+49301009@vm.example.com"))
    assert (
        b"\n" not in raw.replace(b"\r\n", b"")
        and raw.isascii()
        and raw == delivery(original_recipient=Original("+49301009@vm.example.com"))
    )
    mail = email.message_from_bytes(raw)
    assert mail["Auto-Submitted"] == "auto-replied" and mail["To"] == "<a@b.example>"
    assert (
        mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "delivery-status"
    )
    text, status, original = mail.get_payload()  # type: ignore[misc]
    assert "There is no mailbox of that number." in text.get_payload()
    message, recipient = status.get_payload()
    assert message.items() == [("Reporting-MTA", "dns; vm.example.com"), ("Original-Envelope-Id", "E-1")]
    assert recipient.items() == [
        ("Original-Recipient", "rfc822; +49301009@vm.example.com"),
        ("Final-Recipient", "rfc822; 1009@vm.example.com"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Diagnostic-Code", "smtp; no mailbox 1009"),
    ]
    assert original.get_content_type() == "text/rfc822-headers"
    assert original.get_payload().splitlines()[:2] == ["From: a@b.example", "Message-ID: <m1@b.example>"]
    assert not mail.defects and not any(part.defects for part in mail.walk())


def test_a_receipt_is_as_the_rfc_wants_it() -> None:
    raw = disposition(Report(Action.EXPIRED, "1009@vm.example.com", "m1@b.example"))
    mail = email.message_from_bytes(raw)
    assert mail.get_param("report-type") == "disposition-notification"
    assert mail["Disposition-Notification-To"] is None
    fields = dict(mail.get_payload()[1].get_payload()[0].items())  # type: ignore[index,union-attr]
    assert fields == {
        "Reporting-UA": "vm.example.com; Tandem",
        "Final-Recipient": "rfc822; 1009@vm.example.com",
        "Original-Message-ID": "<m1@b.example>",
        "Disposition": "automatic-action/MDN-sent-automatically; deleted/expired",
    }


@pytest.mark.parametrize(
    "original",
    [
        b"Content-Type: multipart/report; report-type=delivery-status\r\n\r\n",
        b"Auto-Submitted: auto-replied\r\n\r\n",
        b"AUTO-SUBMITTED: Auto-Replied (vacation)\r\n\r\n",
        delivery(),
        disposition(Report(Action.DISPLAYED, "a@b.example")),
        b"X: y\r\n" * 100_000,
    ],
)
def test_no_report_is_made_about_a_report(original: bytes) -> None:
    with pytest.raises(NoReport):
        delivery(original=original)


def test_nobody_is_told_nothing() -> None:
    with pytest.raises(NoReport):
        delivery(to="")
    with pytest.raises(NoReport):
        disposition(Report(Action.DISPLAYED, "a@b.example"), to="")
    with pytest.raises(ValueError):
        disposition(FAILED)
    with pytest.raises(ValueError):
        delivery(Report(Action.DISPLAYED, "a@b.example"))


@pytest.mark.parametrize(
    "name", ["recipient", "about", "diagnostic", "envelope_id", "status", "original", "to"]
)
def test_no_payload_makes_a_field_or_a_recipient(name: str) -> None:
    def shape(raw: bytes) -> list[list[str]]:
        mail = email.message_from_bytes(raw)
        optional = ("In-Reply-To", "References")
        return [[key for key in part if key not in optional] for part in mail.walk()]

    fields = {
        "recipient": "x@y.example",
        "about": "",
        "status": "5.1.1",
        "diagnostic": "d",
        "envelope_id": "e",
    }
    for payload in PAYLOADS:
        own = {name: payload} if name in fields else {}
        report = Report(Action.FAILED, **(fields | own))
        to = payload if name == "to" else "a@b.example"
        try:
            raw = delivery(
                report, to=to, original_recipient=Original(payload if name == "original" else "z@y.example")
            )
        except NoAddress:
            assert name == "to"
            continue
        assert shape(raw) == shape(
            delivery(Report(Action.FAILED, **fields), original_recipient=Original("z@y.example"))
        )
        assert b"\n" not in raw.replace(b"\r\n", b""), payload
        assert email.message_from_bytes(raw)["To"] == f"<{to}>"


@pytest.mark.parametrize(
    ("kind", "said"), [("x400", "x400"), ("UTF-8", "UTF-8"), ("a\r\nb", "rfc822"), ("", "rfc822")]
)
def test_the_original_recipient_keeps_the_type_of_its_address(kind: str, said: str) -> None:
    _, status, _ = email.message_from_bytes(
        delivery(original_recipient=Original("/S=x/", kind))
    ).get_payload()  # type: ignore[misc]
    assert status.get_payload()[1]["Original-Recipient"] == f"{said}; /S=x/"


def test_an_original_that_holds_our_boundary_ends_no_part() -> None:
    original = b"Subject: x\r\n\r\n--=_r_i1--\n--=_r_i1\r\nContent-Type: text/html\r\n\r\nHi\r\n"
    mail = email.message_from_bytes(delivery(original=original, whole=True))
    assert [part.get_content_type() for part in mail.get_payload()] == [  # type: ignore[union-attr]
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]


# ---- of other systems

POSTFIX = """From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: 1001@vm.example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="A1.1/mx.example"
Content-Transfer-Encoding: 8bit

This is a MIME-encapsulated message.

--A1.1/mx.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you ...

--A1.1/mx.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
X-Postfix-Queue-ID: A1
Arrival-Date: Fri,  2 Jan 2026 03:04:05 +0000 (UTC)

Final-Recipient: rfc822; 2002@mx.example
Original-Recipient: rfc822;2002@mx.example
Action: relayed
Status: 2.0.0

Final-Recipient: rfc822; 2001@mx.example
Original-Recipient: rfc822;2001@mx.example
Action: failed
Status: 5.1.1 (no such user)
Remote-MTA: dns; [192.0.2.1]
Diagnostic-Code: smtp; 550 5.1.1 <2001@mx.example>: Recipient address rejected:
    User unknown

--A1.1/mx.example
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

From: <1001@vm.example.com>
Message-ID: <m7@vm.example.com>
--A1.1/mx.example--
"""

CLIENT = """From: Bob <bob@b.example>
To: 1001@vm.example.com
Content-Type: multipart/report; report-type=disposition-notification; boundary=x

--x

The message was displayed.
--x
Content-Type: message/disposition-notification

Reporting-UA: pc.b.example; Mailer 1.0
Final-Recipient: rfc822;bob@b.example
Original-Message-ID: <m7@vm.example.com>
Disposition: manual-action/MDN-sent-manually; Displayed

--x--
"""


def test_what_postfix_says_is_understood() -> None:
    got = read(POSTFIX.encode())
    assert isinstance(got, Report)
    assert (got.action, got.recipient, got.status) == (Action.FAILED, "2001@mx.example", "5.1.1")
    assert got.about == "m7@vm.example.com"
    assert got.diagnostic == "550 5.1.1 <2001@mx.example>: Recipient address rejected: User unknown"
    assert [(each.action, each.recipient) for each in got.more] == [(Action.RELAYED, "2002@mx.example")]


def test_what_a_mail_program_says_is_understood() -> None:
    assert read(CLIENT.encode()) == Report(Action.DISPLAYED, "bob@b.example", "m7@vm.example.com")
    for word, action in (("deleted", Action.DELETED), ("displayed/error", Action.PROCESSED_ERROR),
                         ("processed/error", Action.PROCESSED_ERROR)):  # fmt: skip
        got = read(CLIENT.replace("Displayed", word).encode())
        assert isinstance(got, Report) and got.action is action


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Disposition: manual-action/MDN-sent-manually; Displayed", "X: y"),
        ("Displayed", "fried"),
        ("Final-Recipient", "X-Recipient"),
        ("message/disposition-notification", "message/feedback-report"),
    ],
)
def test_a_report_that_says_nothing_is_refused(old: str, new: str) -> None:
    with pytest.raises(Unreadable):
        read(CLIENT.replace(old, new).encode())
