"""When to try again, pure."""

from collections.abc import Callable
from datetime import datetime, timedelta

FIRST = timedelta(seconds=5)
MOST = timedelta(hours=1)
PATIENCE = timedelta(days=5)
"""Work is given up no sooner than this after it was created (RFC 5321 section 4.5.4.1: 4-5 days)."""
LEAST_TRIES = 10
"""Nor before it was tried so often here, which takes more than an hour: work may have been written long
before it came due, or have waited while no server was up."""


def out_of_patience(created: datetime, now: datetime, attempts: int) -> bool:
    """Whether work that has just failed again, after `attempts` failures before, is tried no more."""
    return now - created >= PATIENCE and attempts + 1 >= LEAST_TRIES


def backoff(attempts: int, random: Callable[[], float], most: timedelta = MOST) -> timedelta:
    """How long to wait after the failed attempt number `attempts` (from 1): 5 s, doubling, lengthened
    by up to a third at random (`random` gives 0 <= x < 1), so that what failed together is not
    repeated together; at most `most`."""
    shortest: timedelta = min(FIRST * 2 ** min(max(attempts, 1) - 1, 20), most * 0.75)
    return shortest * (1 + random() / 3)
