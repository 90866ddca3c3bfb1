"""What the parser's process does with a mail's bytes: voicemail/vpim, within the bounds of one mail."""

from voicemail.intake.parser import Bounds
from voicemail.intake.wire import Outcome


def read(raw: bytes, bounds: Bounds) -> Outcome:
    """Raises Unreadable."""
    raise NotImplementedError
