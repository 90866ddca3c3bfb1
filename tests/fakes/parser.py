"""A reader of mails for the parser's process, that does what the mail's subject says: `python -m
tests.fakes.parser`."""

import re
import time
from datetime import UTC, datetime

from sip.wav import file_ulaw
from voicemail.intake.parser import Bounds, serve
from voicemail.intake.wire import Outcome
from voicemail.vpim.model import Person, Speech, Unreadable, VoiceMail


def read(raw: bytes, bounds: Bounds) -> Outcome:
    """A voice message of one second, unless the subject asks for trouble."""
    subject = (re.search(rb"^Subject: (.*)\r$", raw, re.M) or [b"", b""])[1].decode()
    match subject:
        case "spin":
            while True:
                pass
        case "sleep":
            time.sleep(bounds.wall + 60)
        case "eat":
            return Unreadable(str(len(bytearray(4 * bounds.memory))))
        case "fill":
            return _mail(raw, bytes(bounds.out + 1))
        case "crash":
            raise ZeroDivisionError("as asked")
        case "strange":
            raise Unreadable("as asked", "5.6.1")
    return _mail(raw, b"\xff" * 8000)


def _mail(raw: bytes, samples: bytes) -> VoiceMail:
    sender = (re.search(rb"^From: <(.*)>\r$", raw, re.M) or [b"", b""])[1].decode()
    name = (re.search(rb"^Message-ID: <(.*)>\r$", raw, re.M) or [b"", b""])[1].decode()
    sound = file_ulaw(samples)
    return VoiceMail(name, datetime.now(UTC), Person(sender, "Eve"), speech=(Speech(sound, 1.0),))


if __name__ == "__main__":
    serve(read)
