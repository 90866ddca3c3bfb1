"""The values of the store. Frozen; a change makes a new one (`dataclasses.replace`)."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


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


class Mark(StrEnum):
    """What can happen to a message; the newest by (hlc, id) of each pair counts."""

    READ = "read"
    UNREAD = "unread"
    DELETE = "delete"
    UNDELETE = "undelete"


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
    """Send the notification mail of one message."""


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """A piece of work. Its id is stable, so what is made of it (Message-ID) is stable too."""

    id: UUID
    kind: Work
    mailbox_id: UUID
    message_id: UUID | None
    created: datetime
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class PinPolicy:
    """How many wrong PINs lock sign-in, counted over both nodes."""

    failures: int = 3
    window_minutes: int = 30
    lock_minutes: int = 30


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in attempt, committed before the PIN is compared.

    `allowed` is False when the attempts of both nodes within the window leave none: then the PIN
    must not be compared at all.
    """

    id: UUID
    user_id: UUID
    allowed: bool
