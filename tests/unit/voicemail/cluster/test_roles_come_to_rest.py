"""While nothing around a node changes, its decisions come to rest: two rules that undo one another would
have it change its status ten times a second. Both pairs that did were found by the model (tests/model)."""

from functools import cache

import pytest

from tests.model.table import views
from voicemail.cluster.roles import Status, View, decide

S = Status


@cache
def becomes(view: View) -> Status:
    return decide(view).become


def walk(view: View) -> list[Status]:
    """The statuses it goes through, until one comes a second time."""
    statuses = [view.me]
    while (become := becomes(view)) not in statuses:
        statuses.append(become)
        view = view._replace(me=become)
    return [*statuses, become]


@pytest.mark.parametrize("automatic", [True, False])
def test_no_view_makes_a_node_go_round_in_circles(automatic):
    circles = [view for view in views(automatic) if len(set(walk(view)[-2:])) > 1]
    assert not circles, circles[0]


def test_a_subscriber_stays_primary_beside_a_publisher_in_recovery_that_cannot_work():
    view = View(S.PRIMARY, S.SPLIT_BRAIN_RECOVERY, publisher=False, peer_duties_work=False)
    assert decide(view).become is S.PRIMARY
    assert decide(view._replace(duties_work=False)).become is S.SPLIT_BRAIN_RECOVERY


def test_a_publisher_recovers_until_the_other_has_heard_of_it_however_soon_the_stores_are_merged():
    view = View(S.SPLIT_BRAIN_RECOVERY, S.PRIMARY, publisher=True, merged=True)
    assert decide(view).become is S.SPLIT_BRAIN_RECOVERY
    assert decide(view._replace(peer=S.SPLIT_BRAIN_RECOVERY)).become is S.PRIMARY
