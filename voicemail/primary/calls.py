"""How often a user was called lately, kept in the store: whoever takes over counts on.

It is a setting of the user's, written before each call. In a cut both nodes count alone.
"""

import json
from datetime import datetime, timedelta
from uuid import UUID

from store.api import Store
from store.model import Setting

KIND, NAME = "device_calls", "calls"
HOUR = timedelta(hours=1)

Calls = dict[str, datetime]
"""By piece of work: when it called last."""


def read(body: str, now: datetime) -> Calls:
    """The calls of the last hour. What cannot be read counts as none."""
    try:
        said = {str(key): datetime.fromisoformat(value) for key, value in json.loads(body).items()}
        return {key: at for key, at in said.items() if now - HOUR < at <= now}
    except (ValueError, TypeError, AttributeError):
        return {}


class CallBook:
    """`most` calls to one user within an hour."""

    def __init__(self, store: Store, most: int) -> None:
        self._store, self._most = store, most

    async def may(self, user: UUID, item: UUID, now: datetime) -> bool:
        """Whether one more call may be made, which then counts. A piece of work that calls again (no
        port was free, or its node died) counts once. Raises Unavailable, NotYet."""
        found = await self._store.settings.get(KIND, NAME, user)
        calls = read(found.body, now) if found else {}
        if str(item) not in calls and len(calls) >= self._most:
            return False
        kept = {key: at.isoformat() for key, at in (calls | {str(item): now}).items()}
        await self._store.settings.put(Setting(KIND, NAME, json.dumps(kept), user))
        return True
