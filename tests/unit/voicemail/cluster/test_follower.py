from dataclasses import replace

import pytest

from store.replica import NEAR, PeerState, SubscriptionState
from voicemail.cluster.follower import Delivery, Following, Idle, ago, idle, merged, wanted
from voicemail.cluster.hearing import Hearing
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status


def peer(database: bool = True) -> KeepAlive:
    return KeepAlive(2, Status.SECONDARY, 0, database=database)


@pytest.mark.parametrize("status", Status)
def test_deposits_wait_for_a_peer_that_is_heard_and_near_whatever_its_status(status: Status) -> None:
    assert wanted(KeepAlive(2, status, 0), PeerState(True, NEAR - 1, 0))


@pytest.mark.parametrize(
    "said, state",
    [
        (None, PeerState(True, 0, 1)),
        (peer(database=False), PeerState(True, 0, 1)),
        (peer(), PeerState(False, 0, 1)),
        (peer(), PeerState(True, None, 0)),
        (peer(), PeerState(True, NEAR, 1)),
    ],
)
def test_otherwise_they_do_not_wait(said: KeepAlive | None, state: PeerState) -> None:
    assert not wanted(said, state)


def subscription(running: bool = False, errors: int = 3, enabled: bool = True) -> SubscriptionState:
    return SubscriptionState(enabled, running, ready=True, errors=errors, heard=None)


def test_a_database_that_does_not_even_try_is_idle_since_its_last_failure() -> None:
    first = idle(None, subscription(), True, 1.0)
    assert first == Idle(1.0, 3)
    assert idle(first, subscription(), True, 9.0) == first
    assert idle(first, subscription(errors=4), True, 9.0) == Idle(9.0, 4)


@pytest.mark.parametrize("state", [None, subscription(running=True), subscription(enabled=False)])
def test_a_database_that_fetches_or_is_not_meant_to_is_not_idle(state: SubscriptionState | None) -> None:
    assert idle(Idle(1.0, 3), state, True, 9.0) is None


def test_a_database_that_nobody_answers_is_not_idle_however_long_that_lasts() -> None:
    """Or a peer that was down for some seconds would be copied from anew, instead of followed on."""
    assert idle(Idle(1.0, 3), subscription(), False, 90.0) is None
    assert idle(None, subscription(), True, 90.5) == Idle(90.5, 3)


def test_what_was_written_before_a_look_is_delivered_when_the_peer_is_past_it() -> None:
    delivery = Delivery()
    assert delivery.seen(1.0, written=100, flushed=0) is None
    assert delivery.seen(2.0, written=200, flushed=99) is None
    assert delivery.seen(3.0, written=300, flushed=199) == 1.0
    assert delivery.seen(4.0, written=300, flushed=200) == 2.0
    assert delivery.seen(5.0, written=300, flushed=300) == 5.0
    assert delivery.seen(6.0, written=301, flushed=0) == 5.0  # it has gone; what it had it has


def test_a_peer_that_is_behind_for_a_day_is_followed_in_little_memory() -> None:
    delivery, rate = Delivery(), 10
    for look in range(100_000):
        delivery.seen(float(look), written=rate * look, flushed=-1)
    assert len(delivery._marks) < 1000
    until = delivery.seen(1e5, written=rate * 100_000, flushed=rate * 50_000)
    assert until is not None and 48_000 < until <= 50_000


MERGED = Following(receiving=True, delivered_at=20.0)
CUT_ENDED = 10.0


def heard(delivered_ago: float | None, delivered: bool = False, at: float = 21.0) -> Hearing:
    said = KeepAlive(2, Status.PRIMARY, 1, delivered_ago=delivered_ago, delivered=delivered)
    return Hearing(last=said, at=at, calm=CUT_ENDED)


def test_both_are_merged_when_each_has_what_the_other_took_until_the_end_of_the_silence() -> None:
    assert merged(MERGED, heard(11.0), 21.1)
    assert merged(replace(MERGED, delivered_at=10.0), heard(11.0), 21.1)


@pytest.mark.parametrize(
    "following, hearing",
    [
        (replace(MERGED, receiving=False), heard(0.5)),
        (replace(MERGED, delivered_at=None), heard(0.5)),
        (replace(MERGED, delivered_at=9.9), heard(0.5)),  # our backlog is still on its way
        (MERGED, heard(11.1)),  # the peer's is
        (MERGED, heard(None)),
        (MERGED, heard(0.5, at=15.0)),  # silent again
        (MERGED, Hearing()),
    ],
)
def test_otherwise_they_are_not_merged(following: Following, hearing: Hearing) -> None:
    assert not merged(following, hearing, 21.1)


def test_a_node_of_the_release_before_is_taken_at_its_word() -> None:
    assert merged(MERGED, heard(None, delivered=True), 21.1)


def test_a_moment_is_told_by_how_long_ago_it_was() -> None:
    assert ago(None, 5.0) is None and ago(3.25, 5.0) == 1.75
