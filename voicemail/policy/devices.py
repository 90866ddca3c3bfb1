"""Where users are told of messages: devices, and of what each of them tells."""

from datetime import time
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from voicemail.policy.base import DAY, Policy


class DeviceKind(StrEnum):
    MAIL = "mail"
    MISSED = "missed-call"
    """A mail for each caller who leaves no message."""
    SUMMARY = "summary"
    """A mail each day: what is new in the mailbox."""
    PHONE = "phone"
    WEBHOOK = "webhook"
    RELAY = "relay"
    """Messages themselves, with their recordings, to a mail address elsewhere."""


class Events(StrEnum):
    """Of which messages a device tells (functions.md section 5)."""

    ALL = "all"
    """Receipts and reports too."""
    VOICE = "voice"
    URGENT = "urgent"
    """Urgent voice messages."""
    DISPATCH = "dispatch"
    """Dispatch messages that nobody has accepted yet, and nothing else."""
    URGENT_DISPATCH = "urgent-dispatch"
    """Of these the urgent ones."""
    NONE = "none"
    """Of those only that another device could not tell."""


class MailFormat(StrEnum):
    TEXT = "text"
    HTML = "html"
    """With the text beside it, for readers that show no HTML."""


class Attachment(StrEnum):
    """In which form a mail carries the recording."""

    NONE = "none"
    WAV = "wav"
    MP3 = "mp3"
    OPUS = "opus"


MAIL_DEVICE = "mail"
"""Name of the device that a user's own mail address is."""
WEEK = 7 * DAY


class Device(Policy):
    """Where a user is told of messages; owner is the user."""

    KIND: ClassVar[str] = "device"
    kind: DeviceKind
    enabled: bool = False
    address: str = ""
    """Mail address ("" is the user's own), number, or http(s) address."""
    events: Events = Events.ALL
    missed_calls: bool = False
    """Of a webhook: also of callers who leave no message."""
    from_senders: tuple[str, ...] = ()
    """Patterns of numbers and mail addresses (`*`, `?`); () for everybody."""
    schedule: str = ""
    """When it may be told; "" for always. What comes at other times waits."""
    delay_minutes: int = Field(0, ge=0, le=WEEK)
    """Told so long after the message came, if it is new then."""
    repeat_minutes: int = Field(0, ge=0, le=WEEK)
    """Told again every so many minutes until the message is heard; 0 for once."""
    most_repeats: int = Field(3, ge=0, le=50)
    busy_retries: int = Field(3, ge=0, le=20)
    no_answer_retries: int = Field(2, ge=0, le=20)
    failure_retries: int = Field(2, ge=0, le=20)
    """Of mails and webhooks: only where there is a next device; else they are tried for five days."""
    retry_minutes: int = Field(5, ge=1, le=DAY)
    """Between two calls to a telephone."""
    on_failure: str = ""
    """The device that is told when this one cannot be."""
    format: MailFormat = MailFormat.TEXT
    attachment: Attachment | None = None
    """None: a WAV file where the user has recordings attached."""
    template: str = ""
    """Name of the template; "" is the kind's own."""
    at: time = time(7)
    """Of a summary: when, in the user's time zone."""
    keep: bool = True
    """Of a relay: whether a message that the mail host has taken stays in the mailbox, too."""
    secret: str = Field("", repr=False)
    """With which a webhook is signed."""

    @property
    def tells_missed(self) -> bool:
        """Whether its kind and settings make it tell of callers who leave no message."""
        return self.kind is DeviceKind.MISSED or (self.kind is DeviceKind.WEBHOOK and self.missed_calls)
