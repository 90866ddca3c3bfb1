"""What a user hears of messages, and in which order (functions.md section 3, playback)."""

from enum import StrEnum


class Says(StrEnum):
    """What is said of a message besides its sound. Kind, urgency and privacy always are."""

    PLACE = "place"
    """First, next, last."""
    SENDER = "sender"
    """By name, else the extension of a colleague, else "an outside caller"."""
    NUMBER = "number"
    """The number it came from."""
    TIME = "time"
    LENGTH = "length"


class Sort(StrEnum):
    """Types of messages."""

    VOICE = "voice"
    REPORTS = "reports"
    """Read receipts, non-deliveries and the like."""


class Order(StrEnum):
    """Within a type, and urgent or not."""

    OLDEST = "oldest"
    NEWEST = "newest"
