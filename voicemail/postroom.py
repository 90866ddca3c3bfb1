"""What becomes of a recording from the spool: into whose mailboxes it goes, and who is told if it cannot.

Every step may be repeated after a crash: ids are made of the recording's, so nothing comes twice. Nothing
here waits longer than the store; one that is away raises Unavailable, and the recording stays in the spool.

A user who is told that something was not delivered is certainly its sender (signed in, or identified by the
edge); an outside caller's words go to the Undeliverable list instead, and never back to a number that
anybody could have claimed. For the same reason a full mailbox takes outside callers' messages that are
on their way: the caller was told before the tone, if he could be.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID, uuid5

import structlog

from sip import wav
from sip.errors import BadSound
from store.api import Store
from store.errors import NotFound
from store.model import SYSTEM, Deposit, Envelope, MessageKind, NewMessage, Part, User, copy_id
from store.notes import envelope_of
from store.spool import SpoolEntry
from voicemail import departures
from voicemail.policy.book import classes_of, options_of_all, parsed
from voicemail.policy.listening import Sort
from voicemail.policy.model import Members, Undeliverable
from voicemail.policy.quota import QuotaState, state_of
from voicemail.recipients import DEEPEST, UNDELIVERABLE, Expanded, Plan, expand, list_of, plan

log = structlog.get_logger()

MANY = 20
"""Extensions from which on all users are read instead of each."""
GONE, FULL, HELD, LATE = "gone", "full", "not allowed", "late"
"""`Envelope.why` of a non-delivery: some of them, joined by commas; what another system has said may follow.
LATE: it is tried still."""


async def post(store: Store, entry: SpoolEntry, audio: bytes, wait: float) -> Deposit | None:
    """Deposit it wherever it belongs. None when there is nobody at all to get it. Raises store errors."""
    message = _message(entry)
    if entry.forwards:
        message, audio = await _with_forwarded(store, message, audio, entry.forwards)
    if message.envelope.kind is MessageKind.BROADCAST:
        return await store.messages.deposit(replace(message, mailbox_id=SYSTEM), audio, wait=wait)
    if not entry.addressees:
        mailbox = entry.mailbox_id or await _mailbox(store, entry.extension)
        if mailbox:
            return await store.messages.deposit(replace(message, mailbox_id=mailbox), audio, wait=wait)
        return await _to_undeliverable(store, message, audio, wait)
    return await _to_all(store, entry, message, audio, wait)


async def planned(store: Store, addressees: Sequence[str]) -> Plan:
    """Whose mailboxes these addressees are, now. Raises Unavailable."""
    expanded = expand(addressees, await _members(store, addressees))
    return plan(expanded, await _found(store, expanded))


async def _members(store: Store, addressees: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Of the lists among them, and of those within: of very many that there may be. Raises Unavailable."""
    last = await store.settings.get(Undeliverable.KIND, "default")
    members: dict[str, Sequence[str]] = {
        UNDELIVERABLE: ((last and parsed(Undeliverable, last)) or Undeliverable()).members
    }
    level: Sequence[str] = (*addressees, *members[UNDELIVERABLE])
    for _ in range(DEEPEST + 1):
        names = [name for name in {list_of(each) for each in level} if name and name not in members]
        if not names:
            break
        read = {each.name: parsed(Members, each) for each in await store.settings.named(Members.KIND, names)}
        found = {name: each.members for name, each in read.items() if each}
        members |= found
        level = [each for there in found.values() for each in there]
    return members


async def _found(store: Store, expanded: Expanded) -> Mapping[str, UUID | None]:
    everybody = await store.users.all() if len(expanded.extensions) > MANY else ()
    found: dict[str, UUID | None] = {user.extension: user.id for user in everybody}
    for extension in expanded.extensions:
        if extension not in found:
            found[extension] = await _mailbox(store, extension)
    return found


async def _mailbox(store: Store, extension: str) -> UUID | None:
    user: User | None = await store.users.by_extension(extension)
    return user.id if user else None


async def _to_all(
    store: Store, entry: SpoolEntry, message: NewMessage, audio: bytes, wait: float
) -> Deposit | None:
    to, sender = await planned(store, entry.addressees), message.envelope.sender
    author = await store.users.get(sender) if sender else None
    full = await _full(store, message, to.mailboxes) if author else ()
    refusing = await _refusing(store, to.mailboxes)
    taking = [box for box in to.mailboxes if box not in full and box not in refusing]
    kept = await store.messages.send(message, taking, audio, wait=wait) if taking else None
    away = await departures.sorted_out(store, message, to.remote, entry.forwards)
    if away.going:
        left = await departures.depart(store, message, away.going, audio, wait)
        kept = kept or left
    gone = (*to.gone, *away.unknown)
    if author and (gone or full or refusing or away.held):
        held = (*away.held, *await _extensions(store, refusing))
        told = await _tell(store, author, message, audio, gone, full, held)
        kept = kept or told
    return kept or await _to_undeliverable(store, message, audio, wait)


async def _to_undeliverable(store: Store, message: NewMessage, audio: bytes, wait: float) -> Deposit | None:
    """To those who get what nobody else can; None when nobody does."""
    boxes = (await planned(store, (UNDELIVERABLE,))).mailboxes
    if not boxes:
        return None
    if message.envelope.dispatch:  # for those to see that nobody gets it: all of them
        message = replace(message, envelope=replace(message.envelope, dispatch=None))
    log.warning("message sent to the undeliverable list", message_id=str(message.id), copies=len(boxes))
    return await store.messages.send(message, boxes, audio, wait=wait)


async def _full(store: Store, message: NewMessage, mailboxes: Sequence[UUID]) -> tuple[UUID, ...]:
    """Those that take no more, and have not got this one in an earlier try."""
    full = []
    for box, cos in (await classes_of(store, mailboxes)).items():
        takes = await state_of(store, box, cos.quota) is not QuotaState.NO_RECEIVE
        if not takes and not await store.messages.get(copy_id(message.id, box)):
            full.append(box)
    return tuple(full)


async def _refusing(store: Store, mailboxes: Sequence[UUID]) -> frozenset[UUID]:
    """Those whose owners take no messages."""
    options = await options_of_all(store, mailboxes)
    return frozenset(box for box, each in options.items() if Sort.VOICE in each.rejects)


async def _extensions(store: Store, mailboxes: Iterable[UUID]) -> tuple[str, ...]:
    users = [await store.users.get(box) for box in mailboxes]
    return tuple(sorted(user.extension for user in users if user))


async def _tell(
    store: Store,
    author: User,
    message: NewMessage,
    audio: bytes,
    gone: Sequence[str],
    full: Sequence[UUID],
    held: Sequence[str] = (),
) -> Deposit:
    """A non-delivery to the author: who did not get it, why, and what had been said."""
    missed = (*gone, *held, *await _extensions(store, full))
    why = ", ".join(word for word, those in ((GONE, gone), (HELD, held), (FULL, full)) if those)
    log.warning("message not delivered to all", message_id=str(message.id), missed=missed, why=why)
    envelope = Envelope(
        MessageKind.NON_DELIVERY,
        recipients=missed,
        about=message.id,
        why=why,
        private=message.envelope.private,
        secure=message.envelope.secure,
    )
    report = replace(
        message, id=uuid5(message.id, "non-delivery"), mailbox_id=author.id, envelope=envelope, urgent=False
    )
    return await store.messages.deposit(report, audio)


async def _with_forwarded(
    store: Store, message: NewMessage, audio: bytes, forwarded: UUID
) -> tuple[NewMessage, bytes]:
    """The introduction, if there is one, and the message behind it. One that is gone leaves what is said."""
    envelope = message.envelope
    spoken = (Part(message.seconds, envelope.sender, message.caller, message.recorded),) if audio else ()
    try:
        old, sound = await store.messages.get(forwarded), await store.messages.audio(forwarded)
        whole = wav.join(wav.parse(each) for each in (audio, sound) if each)
    except (NotFound, BadSound):
        old, whole = None, audio
    if not old:
        log.error("a message to be forwarded is gone", message_id=str(message.id), forwarded=str(forwarded))
        return message, audio or wav.file_ulaw(wav.SILENCE * wav.PLAYABLE)
    own = (Part(old.seconds, old.envelope.sender, old.caller, old.recorded),)
    parts = (*spoken, *(old.envelope.parts or own))
    seconds = message.seconds + old.seconds
    return replace(message, seconds=seconds, envelope=replace(envelope, parts=parts)), whole


def _message(entry: SpoolEntry) -> NewMessage:
    return NewMessage(
        id=entry.id,
        mailbox_id=SYSTEM,
        caller=entry.caller,
        caller_name=entry.caller_name,
        recorded=entry.recorded,
        seconds=entry.seconds or 0.0,
        urgent=entry.urgent,
        cut_off=not entry.complete,
        call_id=entry.call_id,
        envelope=_envelope(entry),
    )


def _envelope(entry: SpoolEntry) -> Envelope:
    """What cannot be read must not keep the message out: it is delivered, and goes no further from there."""
    try:
        return envelope_of(entry.envelope)
    except ValueError as error:
        log.error("envelope cannot be read", message_id=str(entry.id), why=str(error))
        return Envelope(private=True, secure=True)
