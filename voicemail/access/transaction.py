"""A mail in the making, between MAIL and the end of DATA."""

from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime

from aiosmtpd.smtp import Envelope

from voicemail.access.params import Sender
from voicemail.intake.letter import Recipient, Trust


@dataclass
class Mail(Envelope):
    """`sender` None before MAIL; `mailboxes` are what the recipients count as (Desk.receives)."""

    sender: Sender | None = None
    trust: Trust | None = None
    recipients: list[Recipient] = field(default_factory=list)
    mailboxes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()


def received_line(called: str, source: str, name: str, how: str, identifier: str, now: datetime) -> bytes:
    """The Received line of a mail (RFC 5321 section 4.4). `called` is what the client calls itself, fit for a
    header (params.greeting_name); `how` is ESMTP, ESMTPS, ESMTPA or ESMTPSA (RFC 3848)."""
    who = f"from {called} ([{source}])"
    return f"Received: {who} by {name} with {how} id {identifier}; {format_datetime(now)}\r\n".encode()
