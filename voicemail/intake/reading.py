"""What the parser's process does with a mail's bytes: voicemail/vpim, within the bounds of one mail."""

from voicemail.intake.parser import Bounds
from voicemail.intake.wire import Outcome
from voicemail.vpim import read as vpim
from voicemail.vpim.mime import Limits
from voicemail.vpim.transfer import Source


def prepare() -> None:
    """Load what reading needs, once for all forks: the codecs cost more than a mail."""
    import av.audio  # noqa: F401
    import numpy  # noqa: F401


def read(raw: Source, bounds: Bounds) -> Outcome:
    """Raises Unreadable."""
    return vpim.read(raw, Limits(size=bounds.size, seconds=bounds.longest))
