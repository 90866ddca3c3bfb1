"""Reports on messages of ours that left: what was not delivered, what was heard (RFC 3464, RFC 8098)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

import structlog

from sip import wav
from store.api import Store
from store.errors import NotFound
from store.model import Envelope, Message, MessageKind, NewMessage, Remote, User
from voicemail.intake.decide import number_of, our_message
from voicemail.postroom import FULL, GONE
from voicemail.receipts import SILENCE
from voicemail.vpim.model import Action, Report

log = structlog.get_logger()

MOST_WHY = 200
NOT_DELIVERED = (Action.FAILED, Action.PROCESSED_ERROR)
REASONS = {"5.1.1": GONE, "5.1.10": GONE, "5.2.1": GONE, "4.2.2": FULL, "5.2.2": FULL}
"""Enhanced status codes that have words of their own on the telephone."""


@dataclass(frozen=True, slots=True)
class About:
    """What a report is about, and whom it is for."""

    message: Message
    author: User


async def about(store: Store, report: Report) -> About | None:
    """None when this is no message of ours, or its author is gone. Raises store errors."""
    known = our_message(report)
    message = await store.messages.get(known) if known else None
    author_id = message.envelope.sender if message else None
    author = await store.users.get(author_id) if author_id else None
    return About(message, author) if message and author else None


async def take(store: Store, report: Report, on: About, now: datetime, wait: float) -> str:
    """Tell the author, once, if there is something to be told; what was done, for the log. Raises store
    errors."""
    message = on.message
    if report.action in NOT_DELIVERED:
        told = non_delivery(report, on, now)
        kept = await store.messages.deposit(told, await _said(store, message), wait=wait)
        return "non-delivery" + (" (repeated)" if kept.repeated else "")
    if report.action is Action.DISPLAYED and message.envelope.receipt:
        kept = await store.messages.deposit(read_receipt(report, on, now), SILENCE, wait=wait)
        return "read receipt" + (" (repeated)" if kept.repeated else "")
    return "nothing to be told"


async def _said(store: Store, message: Message) -> bytes:
    try:
        sound = await store.messages.audio(message.id)
    except NotFound:
        return SILENCE
    return sound or SILENCE


def non_delivery(report: Report, on: About, now: datetime) -> NewMessage:
    """What the author gets: who has not got it, why, and his own words."""
    message = on.message
    envelope = Envelope(
        MessageKind.NON_DELIVERY,
        recipients=(report.recipient,),
        about=message.id,
        why=reason(report),
        private=message.envelope.private,
        secure=message.envelope.secure,
    )
    return NewMessage(
        id=_id(message.id, "non-delivery", report),
        mailbox_id=on.author.id,
        caller=on.author.extension,
        caller_name=on.author.name,
        recorded=now,
        seconds=message.seconds,
        envelope=envelope,
    )


def read_receipt(report: Report, on: About, now: datetime) -> NewMessage:
    heard_by = Remote(report.recipient) if report.recipient else None
    envelope = Envelope(MessageKind.READ_RECEIPT, about=on.message.id, remote=heard_by)
    return NewMessage(
        id=_id(on.message.id, "read", report),
        mailbox_id=on.author.id,
        caller=number_of(report.recipient),
        caller_name="",
        recorded=now,
        seconds=wav.PLAYABLE / wav.RATE,
        envelope=envelope,
    )


def reason(report: Report) -> str:
    """A word that the telephone can say, else the code and what the other system said."""
    if word := REASONS.get(report.status):
        return word
    return " ".join(f"{report.status} {report.diagnostic}".split())[:MOST_WHY]


def _id(message: UUID, what: str, report: Report) -> UUID:
    return uuid5(message, f"{what} {report.recipient.lower()}")
