"""The mail as it came, for a report whose receiver wants all of it back (RET=FULL, RFC 3461 section 4.3).

It lies in OUTGOING until the report is sent. Not in the report's row: that is read with all other work."""

from uuid import UUID, uuid5

from store.api import Store
from store.blob import Blob
from store.model import OUTGOING, Envelope, MessageKind, NewMessage
from voicemail.intake.letter import Letter

FULL = "FULL"
MOST = 25_000_000
"""Bytes; of a bigger mail only the header goes back."""
RATE = 8000
"""Bytes that count as a second of speech where space is counted."""


async def keep(store: Store, letter: Letter, key: UUID, raw: Blob, wait: float) -> UUID | None:
    """Where it lies; None where the header is enough. Repeating it adds nothing. Raises store errors."""
    if letter.ret != FULL or len(raw) > MOST:
        return None
    message = NewMessage(
        id=uuid5(key, "returned"),
        mailbox_id=OUTGOING,
        caller=letter.sender,
        caller_name="",
        recorded=letter.received,
        seconds=len(raw) / RATE,
        envelope=Envelope(MessageKind.OUTGOING),
    )
    await store.messages.deposit(message, raw, wait=wait)
    return message.id
