"""Ids sort by time; the hybrid clock never goes back."""

import threading
from datetime import UTC, datetime

from store.ids import HybridClock, made_at, uuid7


def test_a_uuid7_has_the_version_and_variant_of_rfc_9562() -> None:
    made = uuid7()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")


def test_uuid7_sorts_by_time_and_tells_it() -> None:
    early = uuid7(lambda: 1_000, lambda n: b"\xff" * n)
    late = uuid7(lambda: 1_001, lambda n: b"\x00" * n)
    assert early < late
    assert made_at(late) == datetime(1970, 1, 1, 0, 0, 1, 1000, tzinfo=UTC)


def test_the_clock_goes_on_when_the_time_goes_back() -> None:
    times = iter([100, 50, 50, 200])
    clock = HybridClock(lambda: next(times))
    assert [clock.now() for _ in range(4)] == [100, 101, 102, 200]


def test_what_was_observed_is_exceeded() -> None:
    clock = HybridClock(lambda: 100)
    clock.observe(5_000)
    clock.observe(70)
    assert clock.now() == 5_001


def test_threads_never_get_the_same_time() -> None:
    clock = HybridClock(lambda: 1)
    got: list[int] = []

    def take() -> None:
        got.extend(clock.now() for _ in range(500))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 2000
