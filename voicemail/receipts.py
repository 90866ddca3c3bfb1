"""A sender learns that his message was heard.

Done where the mark is made, before it: the receipt's id is made of the message's, so that both nodes, a
repeat, or a crash between the two make the same one, and a message that counts as read always has its
receipt. Had the Primary to find them, it would have to search all marks, those made in a cut as well. A
message that only grew old (aging) was not heard, so nobody is told.
"""

import json
from datetime import datetime
from uuid import UUID, uuid5

import structlog

from sip import wav
from store.api import Store
from store.model import (
    Deposit,
    Envelope,
    Folder,
    Mark,
    Message,
    MessageKind,
    NewMessage,
    NewWork,
    Remote,
    User,
    Work,
)
from voicemail import departures
from voicemail.policy.book import options_of
from voicemail.policy.elsewhere import answerable, domain_of, location_of
from voicemail.policy.listening import Sort

log = structlog.get_logger()

DISPOSITIONS = {Mark.READ: "displayed", Mark.DELETE: "deleted"}
REPORTS = (MessageKind.READ_RECEIPT, MessageKind.NON_DELIVERY)
"""Never answered."""
SILENCE = wav.file_ulaw(wav.SILENCE * wav.PLAYABLE)


async def before_mark(
    store: Store, message: Message, mark: Mark, reader: User, now: datetime
) -> Deposit | None:
    """To be called before a new message is marked: creates the receipt that its sender asked for, where the
    mark says that it was heard. Raises store errors; while the store is away it must not be marked either."""
    if message.envelope.remote:
        await _tell_elsewhere(store, message, message.envelope.remote, mark, reader)
        return None
    sender = message.envelope.sender
    wanted = message.envelope.receipt and message.folder is Folder.NEW and mark is Mark.READ
    if not wanted or sender is None or sender == reader.id or not await _tells(store, reader):
        return None
    if Sort.REPORTS in (await options_of(store, sender)).rejects:
        return None
    kept = await store.messages.deposit(_receipt(message, sender, reader, now), SILENCE)
    log.info("read receipt", message_id=str(message.id), repeated=kept.repeated)
    return kept


async def _tell_elsewhere(store: Store, message: Message, remote: Remote, mark: Mark, reader: User) -> None:
    """The sender on another system who asked gets a disposition notification (RFC 8098), one for each message
    whatever else becomes of it: heard, or deleted unheard. Only where its location is known and has
    receipts, and only to the sender's own system: anybody's address could have been given."""
    disposition = DISPOSITIONS.get(mark) if message.folder is Folder.NEW else None
    to, home = remote.receipt_to, domain_of(remote.address)
    if not disposition or not answerable(to) or domain_of(to) != home or message.envelope.kind in REPORTS:
        return
    location = location_of(to, await departures.locations(store))
    if not location or not location.receipts or not await _tells(store, reader):
        return
    said = {
        "kind": "mdn",
        "to": to,
        "original_id": remote.message_id,
        "recipients": [reader.extension],
        "status": "",
        "why": "",
        "headers": "",
        "envid": "",
        "ret": "",
        "disposition": disposition,
    }
    work = NewWork(uuid5(message.id, "disposition"), Work.REPORT, reader.id, message.id, json.dumps(said))
    await store.outbox.add([work])
    log.info("disposition notification", message_id=str(message.id), disposition=disposition)


async def _tells(store: Store, reader: User) -> bool:
    return (await options_of(store, reader.id)).send_receipts


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
