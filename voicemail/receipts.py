"""A sender learns that his message was heard.

Done where the mark is made, before it: the receipt's id is made of the message's, so that both nodes, a
repeat, or a crash between the two make the same one, and a message that counts as read always has its
receipt. Had the Primary to find them, it would have to search all marks, those made in a cut as well.

A message that is saved only since it is old was not heard; a setting of its owner remembers that, so that
its sender still learns when it is heard, deleted, or deleted by aging.
"""

import json
from contextlib import suppress
from datetime import datetime
from uuid import UUID, uuid5

import structlog

from sip import wav
from store.api import Store
from store.errors import NotFound
from store.model import (
    REPORTS,
    Deposit,
    Envelope,
    Folder,
    Mark,
    Message,
    MessageKind,
    NewMessage,
    NewWork,
    Remote,
    Setting,
    User,
    Work,
)
from voicemail import departures
from voicemail.policy.book import options_of
from voicemail.policy.elsewhere import answerable, domain_of, location_of
from voicemail.policy.listening import Sort

log = structlog.get_logger()

DISPOSITIONS = {Mark.READ: "displayed", Mark.DELETE: "deleted"}
UNHEARD = "unheard"
"""Kind of a user's settings, named by the ids of saved messages that nobody has heard."""
SILENCE = wav.file_ulaw(wav.SILENCE * wav.PLAYABLE)


async def before_mark(
    store: Store, message: Message, mark: Mark, reader: User, now: datetime
) -> Deposit | None:
    """To be called before a message is marked: creates the receipt that its sender asked for, where the mark
    says that it was heard, or deleted unheard. Raises store errors; while the store is away it must not be
    marked either."""
    if mark not in DISPOSITIONS or not asked_for(message) or not await _is_unheard(store, message):
        return None
    kept = None
    if message.envelope.remote:
        await _tell_elsewhere(store, message, message.envelope.remote, DISPOSITIONS[mark], reader)
    elif mark is Mark.READ:
        kept = await _tell_here(store, message, reader, now)
    if message.folder is not Folder.NEW:
        await _forget(store, message)
    return kept


async def unplayable(store: Store, message: Message, reader: User) -> None:
    """It was to be played, and cannot be: its sender on another system, if he asked, is told that rather than
    that it was heard. Raises store errors."""
    remote = message.envelope.remote
    if not remote or not asked_for(message) or not await _is_unheard(store, message):
        return
    if await store.messages.get(message.id):  # somebody else may have made it go for good a moment ago
        await _tell_elsewhere(store, message, remote, "processed/error", reader)


async def grows_old(store: Store, message: Message) -> None:
    """To be called before a new message is saved although nobody heard it: its sender waits still. Raises
    store errors."""
    if asked_for(message):
        await store.settings.put(Setting(UNHEARD, str(message.id), "{}", message.mailbox_id))


async def expires(store: Store, message: Message) -> None:
    """To be called before a saved message is deleted since it is old: a sender on another system who asked is
    told that, if nobody has heard it. Raises store errors."""
    if not asked_for(message) or not await _is_unheard(store, message):
        return
    owner = await store.users.get(message.mailbox_id)
    if owner and message.envelope.remote:
        await _tell_elsewhere(store, message, message.envelope.remote, "deleted/expired", owner)
    await _forget(store, message)


def asked_for(message: Message) -> bool:
    """Whether its sender wants to know what becomes of it, as far as the message says. Pure."""
    envelope = message.envelope
    return bool(envelope.remote.receipt_to) if envelope.remote else envelope.receipt


async def _is_unheard(store: Store, message: Message) -> bool:
    """A new one, or one that was saved since it is old."""
    if message.folder is Folder.NEW:
        return True
    aged = message.folder is Folder.SAVED
    return aged and bool(await store.settings.get(UNHEARD, str(message.id), message.mailbox_id))


async def _forget(store: Store, message: Message) -> None:
    with suppress(NotFound):
        await store.settings.remove(UNHEARD, str(message.id), message.mailbox_id)


async def _tell_here(store: Store, message: Message, reader: User, now: datetime) -> Deposit | None:
    sender = message.envelope.sender
    if sender is None or sender == reader.id or not await _tells(store, reader):
        return None
    if Sort.REPORTS in (await options_of(store, sender)).rejects:
        return None
    kept = await store.messages.deposit(_receipt(message, sender, reader, now), SILENCE)
    log.info("read receipt", message_id=str(message.id), repeated=kept.repeated)
    return kept


async def _tell_elsewhere(
    store: Store, message: Message, remote: Remote, disposition: str, reader: User
) -> None:
    """The sender on another system who asked gets a disposition notification (RFC 8098), one for each message
    whatever else becomes of it. Only where its location is known and has receipts, and only to the sender's
    own system: anybody's address could have been given."""
    to, home = remote.receipt_to, domain_of(remote.address)
    if not answerable(to) or domain_of(to) != home or message.envelope.kind in REPORTS:
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
