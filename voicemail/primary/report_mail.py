"""What a row of Work.REPORT says, as mails: one for each recipient it tells of. Pure: the same row always
gives the same mails, to the byte."""

import json
from uuid import uuid5

from store.model import OutboxItem
from voicemail.recipients import is_remote
from voicemail.vpim.model import Action, Person, Report
from voicemail.vpim.reports import dsn, mdn

MOST = 20
"""Recipients that are told of; one mail each."""


def report_mails(item: OutboxItem, domain: str) -> list[bytes]:
    """`domain` is that of our mailboxes, which the row may name by number only. Raises ValueError, TypeError,
    KeyError and AttributeError for a row that is no report, and what voicemail.vpim raises of a report that
    nobody is to get."""
    said = json.loads(item.payload)
    recipients = [each if is_remote(each) else f"{each}@{domain}" for each in said["recipients"][:MOST]]
    make = {"dsn": _dsn, "mdn": _mdn}[said["kind"]]
    return [make(item, said, each, domain) for each in recipients]


def _dsn(item: OutboxItem, said: dict[str, str], recipient: str, domain: str) -> bytes:
    report = Report(
        Action.FAILED,
        recipient,
        about=said["original_id"],
        status=said["status"],
        diagnostic=said["why"],
        envelope_id=said.get("envid", ""),
    )
    original = said.get("headers", "").encode("utf-8", "replace").rstrip(b"\r\n") + b"\r\n\r\n"
    return dsn(
        report,
        original,
        item_id=str(uuid5(item.id, recipient)),
        sent=item.created,
        domain=domain,
        to=said["to"],
    )


def _mdn(item: OutboxItem, said: dict[str, str], recipient: str, domain: str) -> bytes:
    report = Report(
        Action(said["disposition"]), recipient, about=said["original_id"], diagnostic=said.get("why", "")
    )
    sender = Person(recipient)
    item_id = str(uuid5(item.id, recipient))
    return mdn(report, item_id=item_id, sent=item.created, sender=sender, to=said["to"])
