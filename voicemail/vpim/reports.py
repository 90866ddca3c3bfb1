"""Reports that we send: why a message was not delivered (RFC 3464 in a Multipart/Report, RFC 6522), and
what its receiver did with it (RFC 8098).

They go out with a null sender (the envelope is the sender's business) and say Auto-Submitted, so that no
program answers. A report about a report is never made (RFC 3464 section 2). The same input gives the same
bytes.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from voicemail.errors import VoicemailError
from voicemail.vpim.headers import addr_spec, clean, date, field, mailbox, mark, message_id
from voicemail.vpim.mime import Limits, head
from voicemail.vpim.model import Action, Person, Report, Unreadable

STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
MOST_HEADERS = 64 * 1024
"""Bytes of the original's header that go back."""

NO_MAILBOX = "5.1.1"
MAILBOX_FULL = "5.2.2"
MAILBOX_FULL_FOR_NOW = "4.2.2"
MEDIA = "5.6.1"
NOT_AUTHORISED = "5.7.1"
UNREADABLE = "5.6.0"
"""Also for privacy that cannot be kept (RFC 3801 section 4.2)."""
TOO_MANY_HOPS = "5.4.6"

REASONS = {
    NO_MAILBOX: "There is no mailbox of that number.",
    MAILBOX_FULL: "The mailbox is full.",
    MAILBOX_FULL_FOR_NOW: "The mailbox is full.",
    "5.2.3": "The message is too long.",
    "4.3.1": "There is no space left for messages.",
    "5.3.4": "The message is too big.",
    "4.4.1": "The other system does not answer.",
    TOO_MANY_HOPS: "The message went round in a circle.",
    "4.4.7": "It could not be delivered in time.",
    "5.4.7": "It could not be delivered in time.",
    UNREADABLE: "The message cannot be read here, or its privacy cannot be kept.",
    MEDIA: "The message holds sound or other content that cannot be played here.",
    NOT_AUTHORISED: "Messages from you are not taken there.",
}
"""What people are told of each code (RFC 3463)."""
DONE = {
    Action.FAILED: "could not be delivered to",
    Action.DELAYED: "has not been delivered yet (it is tried again) to",
    Action.DELIVERED: "was delivered to",
    Action.RELAYED: "was passed on, where no receipt is given, to",
    Action.EXPANDED: "was delivered to the members of the list",
    Action.DISPLAYED: "was heard by",
    Action.DELETED: "was deleted, without being heard, by",
    Action.EXPIRED: "was not heard in time, and deleted, for",
    Action.PROCESSED_ERROR: "could not be played for",
}
SUBJECTS = {
    Action.FAILED: "Voice message not delivered",
    Action.DELAYED: "Voice message delayed",
    Action.DISPLAYED: "Voice message heard",
    Action.DELETED: "Voice message deleted unheard",
    Action.EXPIRED: "Voice message deleted unheard",
    Action.PROCESSED_ERROR: "Voice message could not be played",
}
DISPOSITIONS = {
    Action.DISPLAYED: "manual-action/MDN-sent-automatically; displayed",
    Action.DELETED: "manual-action/MDN-sent-automatically; deleted",
    Action.EXPIRED: "automatic-action/MDN-sent-automatically; deleted/expired",
    Action.PROCESSED_ERROR: "automatic-action/MDN-sent-automatically; processed/error",
}


RFC822 = "rfc822"
KIND = re.compile(r"[A-Za-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class Original:
    """Whom the sender of a mail wrote to at first (ORCPT, RFC 3461 section 4.2), decoded."""

    address: str
    kind: str = RFC822
    """Type of the address (RFC 3464 section 2.1.2)."""


class NoReport(VoicemailError):
    """None may be made: the mail is a report or an automatic answer itself, or nobody is to be told."""


def dsn(
    report: Report,
    original: bytes,
    *,
    item_id: str,
    sent: datetime,
    domain: str,
    to: str,
    whole: bool = False,
    original_recipient: "Original | None" = None,
) -> bytes:
    """What became of a message on its way, to the address it came from (`to`, its Return-Path), from
    postmaster@`domain`. `original` is the mail as it came: its header goes back, or all of it if `whole`
    (RET=FULL, RFC 3461). `original_recipient` is what its sender gave as ORCPT.

    Raises NoReport and NoAddress; ValueError for an action that is a receiver's (see `mdn`)."""
    if report.is_disposition:
        raise ValueError(f"not of a delivery: {report.action}")
    _answerable(original, to)
    status = report.status if STATUS.fullmatch(report.status) else _status(report.action)
    fields = field("Reporting-MTA", f"dns; {_ascii(domain)}")
    if report.envelope_id:
        fields += field("Original-Envelope-Id", _ascii(report.envelope_id))
    fields += "\r\n" + _recipients(report, original_recipient) + field("Action", str(report.action))
    fields += field("Status", status)
    if report.diagnostic:
        fields += field("Diagnostic-Code", f"smtp; {_ascii(report.diagnostic, 500)}")
    sender = Person(f"postmaster@{domain}", "Voice mail delivery")
    parts = [_text(report, status), _fields("message/delivery-status", fields), _returned(original, whole)]
    return _mail(report, sender, to, sent, item_id, "delivery-status", parts)


def mdn(
    report: Report,
    *,
    item_id: str,
    sent: datetime,
    sender: Person,
    to: str,
    original_recipient: "Original | None" = None,
) -> bytes:
    """What the receiver did with a message whose sender asked for a receipt (`to`, its
    Disposition-Notification-To); `sender` is the receiver. Only for a mail that is not automatic itself:
    the reader leaves `receipt_to` empty there.

    Raises NoReport and NoAddress; ValueError for an action that is not a receiver's."""
    if not report.is_disposition:
        raise ValueError(f"not of a receiver: {report.action}")
    if not to:
        raise NoReport("nobody asked for a receipt")
    disposition = DISPOSITIONS[report.action]
    fields = field("Reporting-UA", f"{_ascii(sender.address.rpartition('@')[2])}; Tandem")
    fields += _recipients(report, original_recipient)
    if about := message_id(report.about):
        fields += field("Original-Message-ID", f"<{about}>")
    fields += field("Disposition", disposition)
    if report.diagnostic:
        fields += field("Error", _ascii(report.diagnostic, 500))
    parts = [_text(report, ""), _fields("message/disposition-notification", fields)]
    return _mail(report, sender, to, sent, item_id, "disposition-notification", parts)


def _answerable(original: bytes, to: str) -> None:
    if not to:
        raise NoReport("the mail came from nobody")
    try:
        mail = head(original, Limits(header_bytes=2 * MOST_HEADERS))
    except Unreadable as error:
        raise NoReport(f"the mail's header cannot be read: {error}") from None
    if mail.media == "multipart/report" or mail.header("auto-submitted").lower().startswith("auto-replied"):
        raise NoReport("the mail is a report itself")


def _status(action: Action) -> str:
    return {Action.FAILED: "5.0.0", Action.DELAYED: "4.0.0"}.get(action, "2.0.0")


def _recipients(report: Report, original: Original | None) -> str:
    fields = ""
    if original and original.address:
        kind = original.kind if KIND.fullmatch(original.kind) else RFC822
        fields = field("Original-Recipient", f"{kind}; {_ascii(original.address)}")
    return fields + field("Final-Recipient", f"rfc822; {_ascii(report.recipient)}")


def _mail(
    report: Report, sender: Person, to: str, sent: datetime, item_id: str, kind: str, parts: list[str]
) -> bytes:
    boundary = _unused(f"=_r_{mark(item_id)}", parts)
    fields = [("Date", date(sent)), ("From", mailbox(sender)), ("To", f"<{addr_spec(to)}>")]
    fields.append(("Message-ID", f"<{mark(item_id)}@{sender.address.rpartition('@')[2].strip('[]')}>"))
    fields.append(("Subject", SUBJECTS.get(report.action, "Voice message delivered")))
    if about := message_id(report.about):
        fields += [("In-Reply-To", f"<{about}>"), ("References", f"<{about}>")]
    fields += [("Auto-Submitted", "auto-replied"), ("MIME-Version", "1.0")]
    top = "".join(field(name, value) for name, value in fields)
    top += f'Content-Type: Multipart/Report; report-type={kind};\r\n boundary="{boundary}"\r\n'
    body = "".join(f"--{boundary}\r\n{part}" for part in parts)
    return (top + "\r\n" + body + f"--{boundary}--\r\n").encode("latin-1")


def _unused(boundary: str, parts: list[str]) -> str:
    """One that no part holds, whatever its sender wrote."""
    while any(f"--{boundary}" in part for part in parts):
        boundary += "_"
    return boundary


def _text(report: Report, status: str) -> str:
    lines = [f"Your voice message {DONE[report.action]}", f"{_ascii(report.recipient)}."]
    if reason := REASONS.get(status):
        lines += ["", reason]
    if report.diagnostic:
        lines += ["", _ascii(report.diagnostic, 500)]
    return "Content-Type: text/plain; charset=us-ascii\r\n\r\n" + "".join(f"{line}\r\n" for line in lines)


def _fields(media: str, fields: str) -> str:
    return f"Content-Type: {media}\r\n\r\n{fields}\r\n"


def _returned(original: bytes, whole: bool) -> str:
    """The original or its header; bytes are kept as they came (latin-1 and back)."""
    if whole:
        original = re.sub(rb"\r\n|\r|\n", b"\r\n", original)
        coding = "7bit" if original.isascii() else "8bit"
        begin = f"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: {coding}\r\n\r\n"
        return begin + original.decode("latin-1") + "\r\n"
    lines = []
    for line in original[:MOST_HEADERS].splitlines():
        if not line:
            break
        lines.append(re.sub(rb"[^\t -~]", b"?", line).decode())
    return "Content-Type: text/rfc822-headers\r\n\r\n" + "".join(f"{line}\r\n" for line in lines)


def _ascii(value: str, longest: int = 320) -> str:
    return clean(value, longest).encode("ascii", "replace").decode()
