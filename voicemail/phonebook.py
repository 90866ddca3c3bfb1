"""Who has which extension, also while the store is away: users seen are remembered, per worker."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from store.api import Users
from store.errors import StoreError
from store.model import User

log = structlog.get_logger()

WITHIN = 0.7
"""Seconds a call that rings waits for the store before memory has to do."""
ALL_FRESH = 30.0
"""Seconds for which the list of everybody is used without reading it again."""


class Phonebook:
    """Remembers up to `most` users; the one longest unseen is forgotten first."""

    def __init__(self, users: Users, most: int = 5000, clock: Callable[[], float] = time.monotonic) -> None:
        self._users, self._most, self._clock = users, most, clock
        self._seen: dict[str, User] = {}
        self._all: tuple[float, Sequence[User]] | None = None

    async def everybody(self) -> Sequence[User]:
        """All users, by extension, as they were half a minute ago at most. Raises Unavailable."""
        if self._all is None or self._clock() - self._all[0] > ALL_FRESH:
            self._all = (self._clock(), await self._users.all())
        return self._all[1]

    async def find(self, number: str) -> User | None:
        """The user with this number; None when there is none, or nobody can tell."""
        return (await self.find_first((number,))).get(number)

    async def find_first(self, numbers: Iterable[str], within: float = WITHIN) -> dict[str, User | None]:
        """Look numbers up, in order, until one is a user's. A number that is missing in the answer is
        one that nobody can tell anything about now. Never takes longer than `within` seconds."""
        found: dict[str, User | None] = {}
        wanted = list(dict.fromkeys(filter(None, numbers)))
        try:
            async with asyncio.timeout(within):
                for number in wanted:
                    found[number] = self._remember(number, await self._users.by_extension(number))
                    if found[number]:
                        break
        except (StoreError, TimeoutError) as error:
            log.warning(
                "users cannot be looked up", why=str(error) or "no answer", remembered=len(self._seen)
            )
            found |= {number: self._seen[number] for number in wanted if number in self._seen}
        return found

    def _remember(self, number: str, user: User | None) -> User | None:
        self._seen.pop(number, None)
        if user:
            self._seen[number] = user
            while len(self._seen) > self._most:
                del self._seen[next(iter(self._seen))]
        return user
