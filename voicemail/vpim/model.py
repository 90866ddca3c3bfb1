"""What the writer takes and the reader gives. Sound is always a WAV file of 8 kHz mono (sip/wav.py)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from voicemail.errors import VoicemailError

UNDATED = datetime(1970, 1, 1, tzinfo=UTC)
"""`sent` of a mail that was read and names no time that could be understood."""


class Codec(StrEnum):
    """How a location wants the sound: what RFC 3801 demands of all, or what it agreed on besides."""

    G726 = "g726"
    """audio/32KADPCM (RFC 3802)."""
    PCMU = "pcmu"
    """audio/basic."""
    WAV = "wav"
    """audio/x-wav, PCM16."""


@dataclass(frozen=True, slots=True)
class Person:
    """One end of a mail: RFC 5321 address (local@domain) and the name shown with it."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Speech:
    """One stretch of the message: its sound, and of whom and when it is if it was forwarded (RFC 3801
    section 4.4.3: a message/rfc822 part); `sender` None: of the mail's own sender."""

    sound: bytes = field(repr=False)
    seconds: float
    sender: Person | None = None
    sent: datetime | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """What is used of a vCard (RFC 2426)."""

    name: str = ""
    """FN, else made of N."""
    numbers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VoiceMail:
    """A voice message as a mail carries it, to be written or as it was read."""

    message_id: str
    """Without the angle brackets; "" when the mail had none."""
    sent: datetime
    sender: Person
    to: tuple[Person, ...] = ()
    """All that the header names; () when not all are known (blind recipients)."""
    cc: tuple[Person, ...] = ()
    speech: tuple[Speech, ...] = ()
    """In playing order: an introduction before what is forwarded."""
    spoken_name: bytes | None = field(default=None, repr=False)
    spoken_subject: bytes | None = field(default=None, repr=False)
    subject: str = ""
    urgent: bool = False
    private: bool = False
    receipt_to: str = ""
    """Who wants an MDN (RFC 8098); "" for nobody."""
    reply_to: str = ""
    """Instead of the sender; "" for the sender."""
    language: str = ""
    vcard: bool = False
    """To be written: whether one goes with it. Read: whether one came."""
    hops: int = 0
    """Received lines of a mail that was read (loop guard)."""
    is_vpim: bool = True
    """Read: the mail said that it is a Multipart/Voice-Message; else a mail with a recording attached."""
    unanswerable: bool = False
    """Read: from non-mail-user, a caller nobody can answer (RFC 3801 section 4.2.1)."""

    card: Card | None = None
    """Read: what the sender's vCard says."""
    automatic: bool = False
    """Read: a program sent it by itself (RFC 3834), so no receipt and no report answers it."""

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.speech)


class Action(StrEnum):
    """What a report says became of a message (RFC 3464 `Action`; RFC 8098 `Disposition`)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    DISPLAYED = "displayed"
    DELETED = "deleted"
    EXPIRED = "deleted/expired"
    """By aging, unheard."""
    PROCESSED_ERROR = "processed/error"


DISPOSITIONS = (Action.DISPLAYED, Action.DELETED, Action.EXPIRED, Action.PROCESSED_ERROR)
"""What only a receiver does."""


@dataclass(frozen=True, slots=True)
class Report:
    """A delivery status notification (RFC 3464) or a disposition notification (RFC 8098)."""

    action: Action
    recipient: str
    """Whose copy it is about: an address."""
    about: str = ""
    """Message-ID of the message, without brackets; "" when the report does not say."""
    status: str = ""
    """Enhanced status code (RFC 3463); "" in an MDN."""
    diagnostic: str = ""
    envelope_id: str = ""
    """ENVID of RFC 3461, if the sender had given one."""
    more: "tuple[Report, ...]" = ()
    """Read: what the same report says of other recipients."""

    @property
    def is_disposition(self) -> bool:
        return self.action in DISPOSITIONS


class Unreadable(VoicemailError):
    """A mail that is no voice message: `code` is the enhanced status code (RFC 3463) of the report on it."""

    def __init__(self, why: str, code: str = "5.6.0") -> None:
        super().__init__(why)
        self.code = code
