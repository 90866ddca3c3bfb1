"""What a row of Work.REPORT says, as mails: one for each recipient it tells of. Pure: the same row always
gives the same mails, to the byte."""

import json
from itertools import zip_longest
from uuid import uuid5

from store.model import OutboxItem
from voicemail.recipients import is_remote
from voicemail.vpim.model import Action, Person, Report
from voicemail.vpim.reports import RFC822, Original, dsn, mdn

DELIVERIES = {"dsn": Action.FAILED, "dsn-delivered": Action.DELIVERED}
"""Kinds of rows that tell what became of a mail on its way."""
MOST = 20
"""Recipients that are told of; one mail each."""


def report_mails(item: OutboxItem, domain: str, whole: bytes = b"") -> list[bytes]:
    """`domain` is that of our mailboxes, which the row may name by number only; `whole` is the mail that a
    failure tells of, where all of it goes back. Raises ValueError, TypeError, KeyError, AttributeError and
    IndexError for a row that is no report, and what voicemail.vpim raises of a report that nobody is to
    get."""
    said = json.loads(item.payload)
    action = Action(said["disposition"]) if said["kind"] == "mdn" else DELIVERIES[said["kind"]]
    addresses, kinds = said.get("original_recipients", ()), said.get("original_types", ())
    original = {
        each: Original(address, kind or RFC822)
        for each, address, kind in zip_longest(said["recipients"], addresses, kinds, fillvalue="")
    }
    return [
        _mail(item, said, action, each, original[each], domain, whole) for each in said["recipients"][:MOST]
    ]


def _mail(
    item: OutboxItem,
    said: dict[str, str],
    action: Action,
    recipient: str,
    original: Original,
    domain: str,
    whole: bytes,
) -> bytes:
    whom = recipient if is_remote(recipient) else f"{recipient}@{domain}"
    report = Report(
        action,
        whom,
        about=said["original_id"],
        status=said.get("status", ""),
        diagnostic=said.get("why", ""),
        envelope_id=said.get("envid", ""),
    )
    item_id, to = str(uuid5(item.id, recipient)), said["to"]
    if report.is_disposition:
        me = Person(whom)
        return mdn(report, item_id=item_id, sent=item.created, sender=me, to=to, original_recipient=original)
    back = whole if action is Action.FAILED else b""  # RFC 3461 section 4.3: of no other report
    head = said.get("headers", "").encode("utf-8", "replace").rstrip(b"\r\n") + b"\r\n\r\n"
    return dsn(
        report,
        back or head,
        item_id=item_id,
        sent=item.created,
        domain=domain,
        to=to,
        whole=bool(back),
        original_recipient=original,
    )
