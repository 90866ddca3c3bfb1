"""What comes back to the author of a message for elsewhere, and what becomes of the copy in OUTGOING.

Ids are made of the work's, so that whoever tells it again after a crash tells it once.
"""

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

import structlog

from store.api import Store
from store.errors import NotFound, StoreError
from store.model import (
    OUTGOING,
    Envelope,
    Folder,
    Mark,
    Message,
    MessageKind,
    NewMessage,
    OutboxItem,
    Work,
    copy_id,
)
from voicemail.errors import VoicemailError
from voicemail.postroom import FULL, GONE, HELD, planned
from voicemail.primary.backoff import PATIENCE
from voicemail.recipients import UNDELIVERABLE

log = structlog.get_logger()

NON_DELIVERY, LATE_ONE = "non-delivery", "late"
"""What is told."""
LEAVING = (Work.POST, Work.REPORT)
"""For what messages of OUTGOING are kept."""
DROPPED = "dropped by an administrator"
KEPT_FOR = 2 * PATIENCE
"""After a message could first leave: for so long we may have tried, and then so long the host that took it,
before it says that it failed."""
MOST_KEPT = 60_000.0
"""Seconds of speech that are kept so (480 MB); beyond, the oldest go first."""


class CannotGo(VoicemailError):
    """It never will, for a reason of our own; `word` is for the non-delivery."""

    def __init__(self, why: str, word: str = GONE) -> None:
        super().__init__(why)
        self.word = word


@dataclass(frozen=True, slots=True)
class Posting:
    """What a row of Work.POST says."""

    to: str
    of: int = 2
    """How many rows the message has; two or more when nothing is said."""
    due: datetime | None = None
    """When it was to leave, if not at once."""

    @classmethod
    def read(cls, payload: str) -> "Posting":
        """Raises CannotGo."""
        try:
            said = json.loads(payload)
            due = datetime.fromisoformat(said["due"]) if said.get("due") else None
            if due and not due.tzinfo:
                raise ValueError("due without a time zone")
            return cls(str(said["to"]), int(said.get("of", 2)), due)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CannotGo(f"not a posting: {error!r}") from None


def receiver(item: OutboxItem) -> str:
    """Its address; "" where the row says none."""
    try:
        return Posting.read(item.payload).to
    except CannotGo:
        return ""


def told(message: Message, item: OutboxItem, mailbox: UUID, what: str, why: str) -> NewMessage:
    """What the author finds in his mailbox. Its id is made of the work's: told twice is told once. Pure."""
    e, to = message.envelope, receiver(item)
    envelope = Envelope(
        MessageKind.NON_DELIVERY,
        recipients=(to,) if to else (),
        private=e.private,
        secure=e.secure,
        about=message.id,
        why=" ".join(why.split())[:500],
        parts=e.parts,
    )
    return NewMessage(
        id=uuid5(item.id, what),
        mailbox_id=mailbox,
        caller=message.caller,
        caller_name=message.caller_name,
        recorded=message.recorded,
        seconds=message.seconds,
        cut_off=message.cut_off,
        envelope=envelope,
    )


def word_of(text: str) -> str:
    """What the telephone says of an answer, by its enhanced status code (RFC 3463). Pure."""
    words = text.replace(",", " ").split()
    if text.startswith((GONE, FULL, HELD)):
        return text.partition(",")[0]
    if any(each.startswith(("5.1.", "4.1.")) for each in words):
        return GONE
    if any(each in ("5.2.2", "4.2.2") for each in words):
        return FULL
    return HELD if any(each.startswith("5.7.") for each in words) else "refused"


async def bring_back(store: Store, item: OutboxItem, why: str) -> tuple[UUID, ...]:
    """The message, to its author, with the reason; an outside caller's to the Undeliverable list. What was
    made by it: nothing when there is nobody to be told, no message, or it was told before. Raises store
    errors."""
    return await tell(store, item, NON_DELIVERY, f"{word_of(why)}, {why}")


async def tell(store: Store, item: OutboxItem, what: str, why: str) -> tuple[UUID, ...]:
    """See `bring_back`. That it is late is told to users only. Raises store errors."""
    message = item.message_id and await store.messages.get(item.message_id)
    if not message:
        return ()
    author = message.envelope.sender and await store.users.get(message.envelope.sender)
    audio = await store.messages.audio(message.id)
    new = told(message, item, author.id if author else OUTGOING, what, why)
    made: tuple[UUID, ...] = ()
    if author:
        made = () if (await store.messages.deposit(new, audio)).repeated else (new.id,)
    elif what != LATE_ONE:
        boxes = (await planned(store, (UNDELIVERABLE,))).mailboxes
        kept = await store.messages.send(new, boxes, audio)
        made = () if kept.repeated else tuple(copy_id(new.id, box) for box in boxes)
    log.warning(
        "message is not with its addressee",
        id=str(item.id),
        author=author.extension if author else message.caller,
        to=receiver(item),
        what=what,
        why=why[:200],
    )
    return made


async def clear(store: Store, item: OutboxItem, ended: Collection[UUID] = ()) -> None:
    """Take the message of OUTGOING away when this was the last that waited for it and nobody took it.
    `ended`: rows that the store may not know yet to be done. Never fails: what went must not go again."""
    try:
        message = item.message_id and await store.messages.get(item.message_id)
        if not message or message.mailbox_id != OUTGOING or message.folder is not Folder.NEW:
            return
        owing = {
            *await store.outbox.owing(Work.POST, message.id),
            *await store.outbox.owing(Work.REPORT, message.id),
        }
        if not owing - {item.id, *ended}:
            await store.messages.mark(message.id, Mark.PURGE)
    except StoreError as error:
        log.warning("message stays in OUTGOING", message_id=str(item.message_id), why=str(error))


async def taken(store: Store, item: OutboxItem) -> None:
    """Another system has it. What it may yet say of it comes with the author's words, so they are kept for a
    while (`to_clear`). Never fails."""
    try:
        message = item.message_id and await store.messages.get(item.message_id)
        if message and message.mailbox_id == OUTGOING and message.folder is Folder.NEW:
            await store.messages.mark(message.id, Mark.READ)
    except StoreError as error:
        log.warning("message is not noted as taken", message_id=str(item.message_id), why=str(error))


def to_clear(kept: Sequence[Message], owed: Collection[UUID], now: datetime) -> list[Message]:
    """Which messages of OUTGOING go for good: old ones, where nothing waits for them any more, and of those
    that were taken the oldest, while they are too many. Pure."""
    free = sorted((each for each in kept if each.id not in owed), key=_moment, reverse=True)
    going, seconds = [], 0.0
    for message in free:
        seconds += message.seconds
        too_much = message.folder is not Folder.NEW and seconds > MOST_KEPT
        if now - _moment(message) >= KEPT_FOR or too_much:
            going.append(message)
    return going


def _moment(message: Message) -> datetime:
    """When it could first leave."""
    return message.envelope.deliver_at or message.recorded


async def drop(store: Store, item_id: UUID, why: str = DROPPED) -> bool:
    """An administrator gives a piece of work up. A message for elsewhere comes back to its author first, so
    that a crash on the way forgets nobody, then its copy goes. False when it was done already, or never
    there. Raises store errors."""
    item = await store.outbox.get(item_id)
    if item and await store.outbox.result(item_id) is not None:
        return False
    made = await bring_back(store, item, why) if item and item.kind is Work.POST else ()
    if not await store.outbox.drop(item_id, why):
        await _take_back(store, made)
        return False
    if item:
        log.warning("outbox item dropped", id=str(item_id), kind=item.kind.value, **_ends(item), why=why)
    if item and item.kind in LEAVING:
        await clear(store, item)
    return True


async def _take_back(store: Store, made: Sequence[UUID]) -> None:
    """It went in this very moment."""
    for each in made:
        with suppress(NotFound):
            await store.messages.mark(each, Mark.PURGE)


def _ends(item: OutboxItem) -> dict[str, str]:
    """From where to where it was to go."""
    return {"mailbox": str(item.mailbox_id), "to": receiver(item)}
