from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from voicemail.primary.backoff import FIRST, MOST, PATIENCE, backoff

randoms = st.floats(0, 1, exclude_max=True)


@given(st.integers(-1, 10_000), randoms)
def test_it_is_never_below_five_seconds_nor_above_an_hour(attempts: int, random: float) -> None:
    assert FIRST <= backoff(attempts, lambda: random) <= MOST


def test_it_doubles_up_to_the_most() -> None:
    waits = [backoff(n, lambda: 0.0).total_seconds() for n in range(1, 13)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 2700, 2700]
    assert backoff(9, lambda: 0.999, timedelta(minutes=1)) <= timedelta(minutes=1)


def test_what_failed_together_is_repeated_apart() -> None:
    assert len({backoff(1, lambda r=r: r / 10) for r in range(10)}) == 10


def test_patience_is_five_days() -> None:
    assert timedelta(days=5) == PATIENCE
