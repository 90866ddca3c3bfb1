"""A sender learns that his message was heard.

Done where the mark is made, before it: the receipt's id is made of the message's, so that both nodes, a
repeat, or a crash between the two make the same one, and a message that counts as read always has its
receipt. Had the Primary to find them, it would have to search all marks, those made in a cut as well. A
message that only grew old (aging) was not heard, so nobody is told.
"""

from datetime import datetime
from uuid import UUID, uuid5

import structlog

from sip import wav
from store.api import Store
from store.model import Deposit, Envelope, Folder, Mark, Message, MessageKind, NewMessage, User
from voicemail.policy.book import OPTIONS, parsed
from voicemail.policy.model import UserOptions

log = structlog.get_logger()

SILENCE = wav.file_ulaw(wav.SILENCE * wav.PLAYABLE)


async def before_mark(
    store: Store, message: Message, mark: Mark, reader: User, now: datetime
) -> Deposit | None:
    """To be called before a new message is marked: creates the receipt that its sender asked for, where the
    mark says that it was heard. Raises store errors; while the store is away it must not be marked either."""
    sender = message.envelope.sender
    wanted = message.envelope.receipt and message.folder is Folder.NEW and mark is Mark.READ
    if not wanted or sender is None or sender == reader.id or not await _tells(store, reader):
        return None
    kept = await store.messages.deposit(_receipt(message, sender, reader, now), SILENCE)
    log.info("read receipt", message_id=str(message.id), repeated=kept.repeated)
    return kept


async def _tells(store: Store, reader: User) -> bool:
    found = await store.settings.get(UserOptions.KIND, OPTIONS, reader.id)
    return ((found and parsed(UserOptions, found)) or UserOptions()).send_receipts


def _receipt(message: Message, sender: UUID, reader: User, now: datetime) -> NewMessage:
    return NewMessage(
        id=uuid5(message.id, "read"),
        mailbox_id=sender,
        caller=reader.extension,
        caller_name=reader.name,
        recorded=now,
        seconds=wav.PLAYABLE / wav.RATE,
        envelope=Envelope(MessageKind.READ_RECEIPT, sender=reader.id, about=message.id),
    )
