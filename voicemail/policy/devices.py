"""Where users are told of messages: devices, and of what each of them tells."""

import re
from collections.abc import Iterator
from datetime import time
from enum import StrEnum
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from voicemail.policy.base import DAY, Policy
from voicemail.policy.numbers import dialable


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


TEMPLATE = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")
SHORTEST_SECRET = 16


def device_mistakes(device: Device) -> Iterator[str]:
    """Why it cannot be set, each in words. Nobody but an administrator sets a webhook, so it may lead
    anywhere."""
    if device.template and not TEMPLATE.fullmatch(device.template):
        yield f"template: {device.template!r} is no name: use small letters, digits, - and _"
    match device.kind:
        case DeviceKind.PHONE:
            if device.address and not dialable(device.address):
                yield f"address: {device.address!r} is no number"
        case DeviceKind.RELAY if not device.address:
            yield "address: a relay needs one"
        case DeviceKind.WEBHOOK:
            if why := why_no_webhook(device.address):
                yield f"address: {device.address!r}: {why}"
            if len(device.secret) < SHORTEST_SECRET:
                yield f"secret: a webhook is signed with one of {SHORTEST_SECRET} characters at least"
        case _:
            if device.address and ("@" not in device.address[1:-1] or not device.address.isprintable()):
                yield f"address: {device.address!r} is no mail address"


def why_no_webhook(address: str) -> str:
    """Why nothing can be posted there; "" when it can."""
    if not address.isascii() or not address.isprintable() or " " in address or len(address) > 2000:
        return "not an address (ASCII, no blanks)"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "write https://host/path"
    return "no name and password in it, please" if "@" in parts.netloc else ""
