"""Voice messages for tests of VPIM: short, with all that a mail can carry."""

import math
from datetime import UTC, datetime, timedelta, timezone

from sip.wav import file_ulaw
from voicemail.vpim.model import Person, Speech, VoiceMail

SENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ANN = Person("1001@vm.example.com", "Ann Example")
BOB = Person("+49305551@other.example.org", "Bob Öther")


def wav(seconds: float = 1.0, level: int = 0x8F) -> bytes:
    """A rough tone of 400 Hz in mu-law; `level` is the code of its upper half."""
    period = bytes([level] * 10 + [level & 0x7F] * 10)
    return file_ulaw((period * math.ceil(seconds * 400))[: int(seconds * 8000)])


def plain(**changes: object) -> VoiceMail:
    fields: dict[str, object] = {
        "message_id": "m1@vm.example.com",
        "sent": SENT,
        "sender": ANN,
        "speech": (Speech(wav(), 1.0),),
    }
    return VoiceMail(**(fields | changes))  # type: ignore[arg-type]


def full(**changes: object) -> VoiceMail:
    """All of a voice message: names, an introduction, two forwarded ones."""
    earlier = datetime(2025, 12, 24, 18, 0, tzinfo=timezone(timedelta(hours=1)))
    fields: dict[str, object] = {
        "to": (Person("2001@other.example.org", "Carl"), Person("2002+11@other.example.org")),
        "cc": (BOB,),
        "speech": (
            Speech(wav(1.2), 1.2),
            Speech(wav(0.7), 0.7, BOB, earlier),
            Speech(wav(0.5), 0.5, Person("3003@third.example.net"), earlier),
        ),
        "spoken_name": wav(0.6),
        "spoken_subject": wav(0.8),
        "subject": "The “plan” of the day",
        "urgent": True,
        "private": True,
        "receipt_to": ANN.address,
        "language": "en-US",
        "vcard": True,
    }
    return plain(**(fields | changes))
