import itertools

import pytest

from store.replica import NEAR, PeerState
from voicemail.cluster.follower import may_subscribe, wanted
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status


def peer(database: bool = True, subscribed: bool = False) -> KeepAlive:
    return KeepAlive(2, Status.SECONDARY, 0, subscribed=subscribed, database=database)


@pytest.mark.parametrize("status", Status)
def test_deposits_wait_for_a_peer_that_is_heard_and_near_whatever_its_status(status: Status) -> None:
    assert wanted(KeepAlive(2, status, 0), PeerState(True, NEAR - 1, "0/0"))


@pytest.mark.parametrize(
    "said, state",
    [
        (None, PeerState(True, 0, "0/1")),
        (peer(database=False), PeerState(True, 0, "0/1")),
        (peer(), PeerState(False, 0, "0/1")),
        (peer(), PeerState(True, None, "0/0")),
        (peer(), PeerState(True, NEAR, "0/1")),
    ],
)
def test_otherwise_they_do_not_wait(said: KeepAlive | None, state: PeerState) -> None:
    assert not wanted(said, state)


def test_nobody_subscribes_to_a_peer_that_is_silent_or_has_no_database() -> None:
    for publisher, subscribed in itertools.product((True, False), repeat=2):
        assert not may_subscribe(publisher, None)
        assert not may_subscribe(publisher, peer(False, subscribed))


def test_the_publisher_subscribes_first() -> None:
    assert may_subscribe(True, peer()) and not may_subscribe(False, peer())
    assert may_subscribe(False, peer(subscribed=True))
