"""What an order costs, before it is done."""

from dataclasses import replace

import pytest

from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status
from voicemail.supervise.operator import Situation, cost_of_deactivating, cost_of_draining, takes_calls

ME, PEER = KeepAlive(1, Status.PRIMARY, 1, busy=0), KeepAlive(2, Status.SECONDARY, 1)
CALM = Situation("vm1", ME, "vm2", PEER)
NOT_TAKING = (
    None,
    replace(PEER, taking_calls=False),
    replace(PEER, status=Status.DEACTIVATED),
    replace(PEER, status=Status.STARTING),
    replace(PEER, status=Status.NOT_FUNCTIONING),
)


def test_nothing_is_asked_when_the_other_server_takes_the_calls() -> None:
    assert cost_of_draining(CALM) == ""
    assert cost_of_deactivating(CALM) == ""


@pytest.mark.parametrize("status", [Status.REPLICATING_DATA, Status.SPLIT_BRAIN_RECOVERY])
def test_a_server_that_merges_takes_calls(status: Status) -> None:
    assert takes_calls(replace(PEER, status=status))


@pytest.mark.parametrize("theirs", NOT_TAKING)
def test_the_last_server_that_takes_calls_is_not_drained_silently(theirs: KeepAlive | None) -> None:
    now = replace(CALM, theirs=theirs)
    assert cost_of_draining(now) == "vm1 is the last server that takes calls: all callers will be refused"
    assert cost_of_deactivating(now) == "no other server takes calls: callers will be refused"


def test_draining_what_is_drained_costs_nothing() -> None:
    assert cost_of_draining(replace(CALM, mine=replace(ME, taking_calls=False), theirs=None)) == ""


@pytest.mark.parametrize(("busy", "told"), [(1, "1 call in progress"), (3, "3 calls in progress")])
def test_deactivating_tells_how_many_calls_it_ends(busy: int, told: str) -> None:
    now = replace(CALM, mine=replace(ME, busy=busy))
    assert cost_of_deactivating(now) == f"{told} on vm1 will be ended"
    assert cost_of_draining(now) == "", "calls in progress go on"
