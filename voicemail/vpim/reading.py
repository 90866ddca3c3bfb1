"""Reports that came in: delivery status (RFC 3464) and disposition (RFC 8098) notifications."""

import re

from voicemail.vpim.headers import clean, message_id
from voicemail.vpim.mime import Limits, Part, parsed
from voicemail.vpim.model import Action, Report, Unreadable

STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
MOST_RECIPIENTS = 100
MOST_BYTES = 64 * 1024
"""Of the fields of a report."""
FIELDS = Limits(header_bytes=MOST_BYTES, headers=1000)
DISPOSITIONS = {
    "displayed": Action.DISPLAYED,
    "deleted": Action.DELETED,
    "dispatched": Action.DISPLAYED,
    "processed": Action.PROCESSED_ERROR,
    "failed": Action.PROCESSED_ERROR,
    "denied": Action.PROCESSED_ERROR,
}
"""The disposition types of RFC 8098 and, from the third on, of RFC 2298, which old systems send."""
Fields = dict[str, str]


def report_of(mail: Part) -> Report | None:
    """What the mail reports, None when it is no report.

    Raises Unreadable for a report that says nothing which could be understood; nobody must answer it."""
    if mail.media != "multipart/report":
        return None
    about = _about(mail)
    for part in mail.parts:
        if part.media in ("message/delivery-status", "message/global-delivery-status"):
            return _delivery(_groups(part), about)
        if part.media in ("message/disposition-notification", "message/global-disposition-notification"):
            return _disposition(_groups(part), about)
    raise Unreadable("a report of a kind that is not known")


def _delivery(groups: list[Fields], about: str) -> Report:
    """Of several recipients the worst comes first, the others in `more`."""
    found = [report for group in groups if (report := _recipient(group, groups[0], about))]
    if not found:
        raise Unreadable("a delivery report that names no recipient")
    order = list(Action)
    first, *others = sorted(found, key=lambda report: order.index(report.action))
    return Report(
        first.action, first.recipient, about, first.status, first.diagnostic, first.envelope_id, tuple(others)
    )


def _recipient(group: Fields, message: Fields, about: str) -> Report | None:
    recipient = _typed(group.get("original-recipient", "")) or _typed(group.get("final-recipient", ""))
    try:
        action = Action(clean(group.get("action", "")).lower())
    except ValueError:
        return None
    if not recipient:
        return None
    status = STATUS.search(group.get("status", ""))
    diagnostic = _typed(group.get("diagnostic-code", ""), 500)
    envelope_id = clean(message.get("original-envelope-id", ""))
    return Report(action, recipient, about, status[1] if status else "", diagnostic, envelope_id)


def _disposition(groups: list[Fields], about: str) -> Report:
    fields = groups[0]
    kind, _, modifier = fields.get("disposition", "").rpartition(";")[2].strip().lower().partition("/")
    action = DISPOSITIONS.get(kind.strip())
    recipient = _typed(fields.get("original-recipient", "")) or _typed(fields.get("final-recipient", ""))
    if action is None or not recipient:
        raise Unreadable("a receipt that names no recipient or nothing that happened")
    if action is Action.DELETED and modifier.strip().startswith("expired"):
        action = Action.EXPIRED
    wrong = modifier.startswith(("error", "failure")) and action is Action.DISPLAYED
    named = message_id(fields.get("original-message-id", "").strip("<> "))
    diagnostic = clean(fields.get("error", "") or fields.get("failure", ""), 500)
    return Report(Action.PROCESSED_ERROR if wrong else action, recipient, named or about, "", diagnostic)


def _groups(part: Part) -> list[Fields]:
    """The groups of fields of a report; the first is about the message, each other about a recipient."""
    body = part.content(MOST_BYTES)
    blocks = re.split(rb"\n[ \t]*\r?\n(?:[ \t]*\r?\n)*", body.lstrip())[: MOST_RECIPIENTS + 1]
    groups = [parsed(block + b"\n", FIELDS).headers for block in blocks if block.strip()]
    return [dict(reversed(group)) for group in groups] or [{}]


def _typed(value: str, longest: int = 320) -> str:
    """What is after the type: "rfc822; 2722@example.com"."""
    kind, semicolon, rest = value.partition(";")
    return clean(rest if semicolon else kind, longest).strip("<>")


def _about(mail: Part) -> str:
    """Message-ID of the message, from what came back of it, else from what the report answers."""
    for part in mail.parts:
        if part.parts and (found := message_id(part.parts[0].header("message-id").strip("<> "))):
            return found
        if part.media in ("text/rfc822-headers", "message/global-headers"):
            headers = parsed(part.content(MOST_BYTES), FIELDS)
            if found := message_id(headers.header("message-id").strip("<> ")):
                return found
    return message_id(mail.header("in-reply-to").strip("<> "))
