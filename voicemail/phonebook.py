"""Who has which extension, also while the store is away: users seen are remembered, per worker."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from store.api import Users
from store.errors import StoreError
from store.model import User

log = structlog.get_logger()

WITHIN = 0.7
"""Seconds a call that rings waits for the store before memory has to do."""
ALL_FRESH = 30.0
"""Seconds for which the list of everybody is used without reading it again."""
EXTENSION = re.compile(r"\+?[0-9*#]{1,20}")


def may_be_extension(number: str) -> bool:
    """Whether it looks like a mailbox's number: with the store away, only such are believed."""
    return EXTENSION.fullmatch(number) is not None


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

    async def look_up(
        self, numbers: Iterable[str], also: Iterable[str] = (), within: float = WITHIN
    ) -> "LookedUp":
        """Look numbers up, in order, until one is a user's; then all of `also`. A number that is missing in
        the answer is one that nobody can tell anything about now. Never takes longer than `within`
        seconds."""
        found: dict[str, User | None] = {}
        wanted, more = _different(numbers), _different(also)
        try:
            async with asyncio.timeout(within):
                for number in wanted:
                    found[number] = self._remember(number, await self._users.by_extension(number))
                    if found[number]:
                        break
                for number in more:
                    if number not in found:
                        found[number] = self._remember(number, await self._users.by_extension(number))
        except (StoreError, TimeoutError) as error:
            log.warning(
                "users cannot be looked up", why=str(error) or "no answer", remembered=len(self._seen)
            )
            seen = {number: self._seen[number] for number in (*wanted, *more) if number in self._seen}
            return LookedUp(seen | found, away=True)
        return LookedUp(found, away=False)

    def _remember(self, number: str, user: User | None) -> User | None:
        self._seen.pop(number, None)
        if user:
            self._seen[number] = user
            while len(self._seen) > self._most:
                del self._seen[next(iter(self._seen))]
        return user


@dataclass(frozen=True, slots=True)
class LookedUp:
    """`found` has the user of each number, None where nobody has it."""

    found: Mapping[str, User | None]
    away: bool
    """The store did not answer; what is found was seen earlier."""


def _different(numbers: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, numbers)))
