"""Reports on messages of ours that left: what was not delivered, or not yet, and what was heard (RFC 3464,
RFC 8098).

A report goes to whom the message was from, so its recipient is the author, and its Message-ID says that it
is about a mail of ours. A message that left is kept for some days after others took it (primary/returns.py);
of a report that comes later still, the author hears who did not get one, without what he said in it. The
original that a report carries is not used: many hosts cut it (Postfix after 50 kB), and anybody could have
put words into it. Ids are made of what a report says: it counts once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

import structlog

from sip import wav
from store.api import Store
from store.errors import NotFound
from store.model import OUTGOING, Envelope, Message, MessageKind, NewMessage, Remote, User
from voicemail.intake.decide import number_of, our_mail
from voicemail.intake.letter import MAIL
from voicemail.postroom import FULL, GONE, LATE
from voicemail.receipts import SILENCE
from voicemail.vpim.model import Action, Report

log = structlog.get_logger()

MOST_WHY = 200
NOT_DELIVERED = (Action.FAILED, Action.PROCESSED_ERROR)
TOLD = {
    **dict.fromkeys(NOT_DELIVERED, "non-delivery"),
    Action.DELAYED: "late",
    Action.DISPLAYED: "read receipt",
}
"""What the author gets, by what happened; of nothing else is he told."""
REASONS = {"5.1.1": GONE, "5.1.10": GONE, "5.2.1": GONE, "4.2.2": FULL, "5.2.2": FULL}
"""Enhanced status codes that have words of their own on the telephone."""


@dataclass(frozen=True, slots=True)
class About:
    """Who is told of a report, and what it is about; None once the message is gone."""

    author: User
    message: Message | None = None


async def about(store: Store, report: Report, domains: Sequence[str], author: User | None) -> About | None:
    """`author` is whom the report is addressed to, if he is a user. None when it is about no mail of ours, or
    there is nobody to be told. Raises store errors."""
    known = our_mail(report, domains)
    message = await _message(store, known) if known else None
    sender = message.envelope.sender if message else None
    wrote = (await store.users.get(sender) if sender else None) or (author if known else None)
    return About(wrote, message) if wrote else None


async def _message(store: Store, known: UUID) -> Message | None:
    """Of OUTGOING, by its own id or by that of the work of sending it."""
    message = await store.messages.get(await store.outbox.message_of(known) or known)
    return message if message and message.mailbox_id == OUTGOING else None


async def take(store: Store, report: Report, on: About, now: datetime, wait: float) -> str:
    """Tell the author, once, if there is something to be told; what was done, for the log. Raises store
    errors."""
    what = TOLD.get(report.action)
    if what is None:
        return f"nothing to be told: {report.action}"
    if report.action is Action.DISPLAYED:
        told, sound = read_receipt(report, on, now), SILENCE
    else:
        told, sound = non_delivery(report, on, now), await _said(store, on.message)
    kept = await store.messages.deposit(told, sound, wait=wait)
    return f"{what} for {on.author.extension}" + (" (repeated)" if kept.repeated else "")


async def _said(store: Store, message: Message | None) -> bytes:
    try:
        sound = await store.messages.audio(message.id) if message else b""
    except NotFound:
        return SILENCE
    return sound or SILENCE


def non_delivery(report: Report, on: About, now: datetime) -> NewMessage:
    """What the author gets: who has not got it, or not yet, why, and his own words while they are kept."""
    message = on.message
    envelope = Envelope(
        MessageKind.NON_DELIVERY,
        recipients=(report.recipient,),
        about=message.id if message else None,
        why=reason(report),
        private=bool(message and message.envelope.private),
        secure=bool(message and message.envelope.secure),
    )
    seconds = message.seconds if message else wav.PLAYABLE / wav.RATE
    id_ = _id(TOLD[report.action], report, on)
    return NewMessage(id_, on.author.id, on.author.extension, on.author.name, now, seconds, envelope=envelope)


def read_receipt(report: Report, on: About, now: datetime) -> NewMessage:
    """From whoever heard it."""
    heard_by = Remote(report.recipient) if report.recipient else None
    envelope = Envelope(
        MessageKind.READ_RECEIPT, about=on.message.id if on.message else None, remote=heard_by
    )
    seconds = wav.PLAYABLE / wav.RATE
    id_ = _id("read", report, on)
    return NewMessage(id_, on.author.id, number_of(report.recipient), "", now, seconds, envelope=envelope)


def reason(report: Report) -> str:
    """A word that the telephone can say, else the code and what the other system said."""
    if report.action is Action.DELAYED:
        return LATE
    if word := REASONS.get(report.status):
        return word
    return " ".join(f"{report.status} {report.diagnostic}".split())[:MOST_WHY]


def _id(what: str, report: Report, on: About) -> UUID:
    return uuid5(MAIL, f"{what} {report.about.lower()} {report.recipient.lower()} {on.author.id}")
