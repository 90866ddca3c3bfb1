"""What is kept of broadcasts beside the message itself, for those who play them and who clear them away."""

import json
from datetime import datetime

BROADCAST = "broadcast"
"""Kind of the settings that end broadcasts: named by the message's id, {"until": moment}."""
HEARD = "broadcast_heard"
"""Kind of a user's settings, named by the ids of broadcasts he has heard."""


def over(body: str | None, now: datetime) -> bool:
    """Whether a broadcast has ended; one whose end nobody set, or cannot be read, has not."""
    try:
        return bool(body) and datetime.fromisoformat(json.loads(body or "")["until"]) <= now
    except (ValueError, TypeError, KeyError):
        return False
