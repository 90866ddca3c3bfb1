"""Mails that could not be understood, kept in the store as they came, until an operator decides.

A line with the envelope stands in front of the mail, so that it can be tried again as if it came now.
"""

from uuid import UUID, uuid5

import structlog

from store.api import Store
from store.blob import Behind, Blob
from store.model import QUARANTINE, Envelope, MessageKind, NewMessage, Remote
from voicemail.intake.letter import Letter, read, written

log = structlog.get_logger()

LINE = b"X-Voicemail-Envelope: "
MOST_SHOWN = 20
"""Recipients that the list shows."""


def wrapped(letter: Letter, raw: Blob) -> Blob:
    """To be kept; `unwrapped` gives both back."""
    return Behind(LINE + written(letter).encode() + b"\r\n", raw)


def unwrapped(kept: bytes) -> tuple[Letter | None, bytes]:
    """Envelope and mail; no envelope where it cannot be read."""
    head, _, raw = kept.partition(b"\r\n")
    if not head.startswith(LINE):
        return None, kept
    try:
        return read(head.removeprefix(LINE)), raw
    except ValueError:
        return None, raw


async def deposit(
    store: Store, letter: Letter, key: UUID, raw: Blob, message_id: str, why: str, wait: float
) -> None:
    """Keep the original. Repeating it adds nothing. Raises store errors."""
    envelope = Envelope(
        MessageKind.QUARANTINED,
        recipients=letter.addresses[:MOST_SHOWN],
        why=why,
        remote=Remote(letter.sender, message_id=message_id) if letter.sender else None,
    )
    message = NewMessage(
        id=quarantined_id(key),
        mailbox_id=QUARANTINE,
        caller=letter.sender,
        caller_name="",
        recorded=letter.received,
        seconds=0.0,
        envelope=envelope,
    )
    kept = await store.messages.deposit(message, wrapped(letter, raw), wait=wait)
    log.warning(
        "mail quarantined", letter=str(letter.id), message_id=str(message.id), why=why, repeated=kept.repeated
    )


def quarantined_id(key: UUID) -> UUID:
    """Of the message that a mail becomes in quarantine."""
    return uuid5(key, "quarantine")
