"""The values of the store. Frozen; a change makes a new one (`dataclasses.replace`)."""

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5


def clean(text: str) -> str:
    """What a caller sent must not keep his message out: PostgreSQL takes no NUL and no lone surrogate."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class User:
    """A person with a mailbox. `extension` is unique among users that are not deleted."""

    id: UUID
    extension: str
    name: str = ""
    mail: str = ""
    """Where notifications of new messages go; "" for none."""
    attach: bool = True
    """Whether the notification carries the recording."""
    pin_hash: str = field(default="", repr=False)
    language: str = "en"
    lamps: tuple[str, ...] = ()
    """Trunks on which this user's message lamp is lit, by name; empty: all that have lamps."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """A recorded greeting, or only its version where the audio was not asked for."""

    version: str
    """Another one for every recording; opaque."""
    audio: bytes | None = field(default=None, repr=False)
    """A WAV file."""


class MessageKind(StrEnum):
    """What a message is (functions.md section 4)."""

    VOICE = "voice"
    BROADCAST = "broadcast"
    """The system's, to everybody; lights no lamp."""
    READ_RECEIPT = "read receipt"
    NON_DELIVERY = "non-delivery"
    OVERRULED = "overruled"
    """Somebody else has accepted a dispatch message after the user did, in a cut; `about` is his copy."""
    OUTGOING = "outgoing"
    """Kept in OUTGOING until all of its recipients elsewhere have it."""
    QUARANTINED = "quarantined"
    """A mail that could not be understood, kept in QUARANTINE as it came, in place of the audio; `why` says
    what is wrong with it."""


UNLIT = (MessageKind.BROADCAST, MessageKind.OUTGOING, MessageKind.QUARANTINED)
"""Nobody is told of these."""
REPORTS = (MessageKind.READ_RECEIPT, MessageKind.NON_DELIVERY, MessageKind.OVERRULED)
"""These tell what became of a message that was sent."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a message's audio that somebody else spoke, or spoke at another time: an introduction
    (of the message's sender) is followed by the message that was forwarded."""

    seconds: float
    sender: UUID | None = None
    caller: str = ""
    recorded: datetime | None = None


@dataclass(frozen=True, slots=True)
class Remote:
    """Who sent a message that came by mail."""

    address: str
    """Where a reply goes."""
    name: str = ""
    message_id: str = ""
    """Message-ID of the mail, without the angle brackets."""
    receipt_to: str = ""
    """Who wants to know that it was heard (RFC 8098); "" for nobody."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a message carries besides its audio. The default is a caller's from outside."""

    kind: MessageKind = MessageKind.VOICE
    sender: UUID | None = None
    """The user who sent it, known for sure (signed in, or identified by the edge); None: an outside
    caller."""
    recipients: tuple[str, ...] = ()
    """Extensions and "list:<name>" as they were addressed, for a reply to all."""
    private: bool = False
    """Never forwarded."""
    secure: bool = False
    """Never leaves the store: heard by telephone only."""
    receipt: bool = False
    """The sender wants to know when it has been heard."""
    deliver_at: datetime | None = None
    """Shown to nobody but its sender before."""
    about: UUID | None = None
    """The message of which a receipt or a non-delivery tells."""
    why: str = ""
    """Of a non-delivery."""
    parts: tuple[Part, ...] = ()
    """In playing order; () when all of the audio is the sender's own."""
    remote: Remote | None = None
    """Set for a message that came by mail from another system."""
    dispatch: UUID | None = None
    """The same in all copies of a message that only one of its recipients shall keep (store/dispatch.py)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A thing that administrators or users set: a class of service, a schedule, a user's options. What it
    holds is read and checked by who uses it; the newest over both nodes wins, as a whole."""

    kind: str
    name: str
    """Unique within kind and owner, so that the same thing made on both nodes is one."""
    body: str
    """JSON."""
    owner: UUID | None = None
    """The user it belongs to; None: the system's."""

    @property
    def id(self) -> UUID:
        return setting_id(self.kind, self.name, self.owner)


def setting_id(kind: str, name: str, owner: UUID | None = None) -> UUID:
    """The same on both nodes."""
    return uuid5(owner or SYSTEM, f"{kind}/{name}")


ALTERNATE_EXTENSION = "alternate_extension"
"""Kind of the settings that give a user further numbers: named by the number, {"user": his id}."""

SYSTEM = UUID("5d1ac5d4-7a7e-4a6b-8f0e-2a3c9f1e6b01")
"""Owns what belongs to no user, such as its greetings and broadcast messages."""
OUTGOING = uuid5(SYSTEM, "outgoing")
"""The mailbox of messages that leave for other systems."""
QUARANTINE = uuid5(SYSTEM, "quarantine")
"""The mailbox of mails that could not be understood."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message about to be deposited. `id` is the spool's name, so a repeat cannot double it."""

    id: UUID
    mailbox_id: UUID
    caller: str
    """The number as it came; "" when withheld."""
    caller_name: str
    recorded: datetime
    """When recording began, with time zone."""
    seconds: float
    urgent: bool = False
    cut_off: bool = False
    """Delivered from the spool after a crash: the end may be missing."""
    call_id: str = ""
    envelope: Envelope = Envelope()


class Folder(StrEnum):
    """Where a message is for its owner, derived from its events."""

    NEW = "new"
    SAVED = "saved"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Message:
    """A message as listed. The audio is read apart (`Messages.audio`)."""

    id: UUID
    mailbox_id: UUID
    caller: str
    caller_name: str
    recorded: datetime
    seconds: float
    urgent: bool
    cut_off: bool
    folder: Folder
    node: int
    """Number of the node that took it."""
    envelope: Envelope = Envelope()
    accepted: bool = False
    """A dispatch message that its owner has accepted."""

    @property
    def open_dispatch(self) -> bool:
        """Whether it waits for somebody to accept it."""
        return self.envelope.dispatch is not None and not self.accepted


class Mark(StrEnum):
    """What can happen to a message; the newest by (hlc, id) of each pair counts."""

    READ = "read"
    UNREAD = "unread"
    DELETE = "delete"
    UNDELETE = "undelete"
    PURGE = "purge"
    """Gone for good, on both nodes: it is listed no more and its audio is given up. Nothing undoes it."""


AGES = {Mark.READ: Folder.NEW, Mark.DELETE: Folder.SAVED, Mark.PURGE: Folder.DELETED}
"""From where each mark moves a message that has lain there for too long."""


FIRST = UUID(int=0)
"""Before all others."""


@dataclass(frozen=True, slots=True)
class Ripening:
    """How many messages of a mailbox have stood in a folder for long, and since when the oldest."""

    mailbox_id: UUID
    saved: int = 0
    saved_since: datetime | None = None
    deleted: int = 0
    deleted_since: datetime | None = None


def copy_id(message_id: UUID, mailbox_id: UUID) -> UUID:
    """The message that one of many recipients gets; the same however often it is sent."""
    return uuid5(message_id, str(mailbox_id))


class Answer(StrEnum):
    """What the owner of a copy does with a dispatch message."""

    ACCEPT = "accept"
    DECLINE = "decline"


class Outcome(StrEnum):
    """What became of an answer."""

    KEPT = "kept"
    HAD = "had"
    """He had accepted it already."""
    TAKEN = "taken"
    """Somebody else had accepted it: nothing was changed."""
    LAST = "last"
    """All others have declined, so he may not: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: whose, to which copy, and when by hybrid logical clock and node."""

    mailbox_id: UUID
    answer: Answer
    message_id: UUID
    hlc: int
    node: int


@dataclass(frozen=True, slots=True)
class Counts:
    """A mailbox in figures: the four of RFC 3842's `Voice-Message: new/old (urgent-new/urgent-old)`."""

    new: int = 0
    old: int = 0
    new_urgent: int = 0
    old_urgent: int = 0


@dataclass(frozen=True, slots=True)
class Deposit:
    """How a deposit ended. `copies` is 2 when both nodes hold it on disk, else 1."""

    id: UUID
    copies: int
    repeated: bool = False
    """It was there already; nothing was added."""


class Work(StrEnum):
    """Kinds of work in the outbox, done once by the Primary."""

    LAMP = "lamp"
    """Tell lamps the mailbox's present counts (state, not event: repeating is harmless)."""
    MAIL = "mail"
    """Tell a user of one message, at all of his notification devices; his mail address is the first."""
    NOTIFY = "notify"
    """Tell one notification device of one event; the payload says which."""
    POST = "post"
    """Send a message of OUTGOING to one address elsewhere; the payload says which."""
    REPORT = "report"
    """Send a report on a message (DSN, MDN) to an address elsewhere; the payload is what it says."""
    ALARM = "alarm"
    """Tell the administrator of an alarm by mail; the payload is a Notice."""


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """A piece of work. Its id is stable, so what is made of it (Message-ID) is stable too."""

    id: UUID
    kind: Work
    mailbox_id: UUID
    message_id: UUID | None
    created: datetime
    attempts: int = 0
    payload: str = "{}"
    """JSON; what it holds depends on the kind."""


@dataclass(frozen=True, slots=True)
class NewWork:
    """Work about to be written. An id made (uuid5) of what the work is for makes repeating it harmless."""

    id: UUID
    kind: Work
    mailbox_id: UUID
    message_id: UUID | None = None
    payload: str = "{}"
    """A JSON object."""
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work that is not done, with what this node knows of its tries."""

    item: OutboxItem
    until: datetime | None
    """It is not tried before."""
    why: str = ""
    """How the last try here ended."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An alarm as the administrator is told of it, on behalf of the server `server`."""

    alarm: str
    """Its stable name."""
    state: str
    """"raised" or "cleared"; "happened" for one that does not last."""
    severity: str
    server: str
    at: str
    """ISO 8601 with time zone."""
    to: str
    """Mail address."""
    subject: str
    text: str

    @classmethod
    def read(cls, payload: str) -> "Notice":
        """Raises ValueError for anything that is no notice. A newer release may say more."""
        try:
            said = json.loads(payload)
            read = cls(**{field.name: said[field.name] for field in fields(cls)})
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"not a notice: {error!r}") from None
        if not all(isinstance(value, str) for value in asdict(read).values()):
            raise ValueError("not a notice: something is no text")
        return read


class Told(StrEnum):
    """What became of a notice."""

    WRITTEN = "written"
    EARLIER = "told already"
    """That it stands was told within the last hour."""
    NOTHING = "nothing to clear"
    """That it stands was not told, so neither is that it is over."""
    NOT_YET = "not yet"
    """The other node's release cannot take it."""
