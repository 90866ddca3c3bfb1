"""A node whose workers all hang: no program has ended, yet nothing answers."""

import pytest

from voicemail.cluster.answering import Answering
from voicemail.cluster.keeper import GRACE
from voicemail.cluster.roles import Status

S = Status


def after(status: Status, *looks: tuple[float, bool]) -> Answering:
    """Looked at in this status at these moments."""
    answering = Answering(0.0)
    for now, ready in looks:
        answering = answering.seen(ready, status, now)
    return answering


@pytest.mark.parametrize("status", [S.PRIMARY, S.SECONDARY, S.REPLICATING_DATA, S.SPLIT_BRAIN_RECOVERY])
def test_a_node_whose_workers_all_hang_has_as_long_as_a_restart_takes(status):
    hung = after(status, (100.0, True), (100.1, False), (100.0 + GRACE, False))
    assert hung.works(100.0 + GRACE)
    assert not hung.works(100.1 + GRACE)


def test_one_worker_that_answers_again_is_enough():
    assert after(S.PRIMARY, (100.0, True), (104.0, False), (104.5, True)).works(104.5 + GRACE)


def test_a_node_that_gave_up_works_again_as_soon_as_one_is_ready():
    hung = after(S.NOT_FUNCTIONING, (100.0, True), (130.0, False))
    assert not hung.works(130.0)
    assert hung.seen(True, S.NOT_FUNCTIONING, 130.1).works(130.1)


def test_waiting_in_not_functioning_does_not_bring_it_back():
    assert not after(S.NOT_FUNCTIONING, *((100.0 + second, False) for second in range(60))).works(160.0)


def test_a_start_may_take_as_long_as_it_takes():
    assert after(S.STARTING, (100.0, False), (160.0, False)).works(160.0 + GRACE)


def test_a_deactivated_node_is_not_blamed_for_its_rest_when_it_is_activated():
    rested = after(S.DEACTIVATED, (100.0, False), (3700.0, False))
    assert rested.seen(False, S.STARTING, 3700.1).works(3700.1)
