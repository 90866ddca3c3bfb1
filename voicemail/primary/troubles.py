"""Which lamps do not take what they are sent, and when each is tried again: pure.

A PBX that does not know an extension (404), or a phone that does not answer (408) beside others that do,
is left in peace for 5 s, doubling up to an hour, whatever happens in the mailbox meanwhile: the lamp then
shows the state of that moment, which is all that a lamp has to know.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from itertools import count

from voicemail.primary.backoff import backoff
from voicemail.primary.work import Place, Trouble

MOST = 50_000
"""Lamps kept in mind; what goes beyond is tried as if it were the first time."""


class Troubles:
    """`random` gives 0 <= x < 1."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._known: dict[Place, Trouble] = {}
        self._queue: list[tuple[float, int, Place]] = []
        self._count = count()

    @property
    def all(self) -> Mapping[Place, Trouble]:
        """Those there are."""
        return self._known

    def note(self, place: Place, why: str, now: float, *, patient: bool = False) -> None:
        """It failed again. `patient`: the first failure does not count (a packet was lost)."""
        before = self._known.pop(place, None)  # the last to fail is the last in the list
        if before is None and len(self._known) >= MOST:
            return
        tries = before.tries + 1 if before else 1
        counts = tries - 1 if patient else tries
        again = now + (backoff(counts, self._random).total_seconds() if counts else 0.0)
        self._put(place, Trouble(before.since if before else now, now, tries, why, again))

    def cleared(self, place: Place) -> Trouble | None:
        """It took what it was sent, or nobody wants it any longer. Gives what was wrong with it."""
        return self._known.pop(place, None)

    def forget_lane(self, lane: str) -> None:
        """The destination was restarted, or is gone."""
        self._known = {place: trouble for place, trouble in self._known.items() if place[0] != lane}

    def rests(self, place: Place, now: float) -> float:
        """Seconds for which it is left in peace; 0 when it may be tried."""
        trouble = self._known.get(place)
        return max(0.0, trouble.again - now) if trouble else 0.0

    def hurry(self, places: Iterable[Place], now: float) -> None:
        """Try these now."""
        for place in places:
            if (trouble := self._known.get(place)) and trouble.again > now:
                self._put(place, Trouble(trouble.since, trouble.at, trouble.tries, trouble.why, now))

    def due(self, now: float) -> list[Place]:
        """What is to be tried again; each is named once for each failure."""
        found = []
        while self._queue and self._queue[0][0] <= now:
            moment, _, place = heapq.heappop(self._queue)
            if (trouble := self._known.get(place)) and trouble.again == moment:
                found.append(place)
        return found

    @property
    def next(self) -> float | None:
        """When `due` may name the next."""
        while self._queue:
            moment, _, place = self._queue[0]
            if (trouble := self._known.get(place)) and trouble.again == moment:
                return moment
            heapq.heappop(self._queue)
        return None

    def clear(self) -> None:
        self._known.clear()
        self._queue.clear()

    def _put(self, place: Place, trouble: Trouble) -> None:
        self._known[place] = trouble
        heapq.heappush(self._queue, (trouble.again, next(self._count), place))
