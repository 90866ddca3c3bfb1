"""The values of the store. Frozen; a change makes a new one (`dataclasses.replace`)."""

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from uuid import UUID


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
