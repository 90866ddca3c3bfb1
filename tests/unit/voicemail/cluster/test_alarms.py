"""Each alarm is raised once and cleared once; what happens is told once."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from store.model import Work
from voicemail.cluster.alarm_kinds import BY_NAME, KINDS, TAKEOVER, table
from voicemail.cluster.alarms import Memory, State, by_itself, judge
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.manager import Change
from voicemail.cluster.roles import RULES, Status
from voicemail.cluster.snapshot import Snapshot

PEER = KeepAlive(2, Status.SECONDARY, 2, schema=2, workers=4)
OTHER = replace(PEER, status=Status.PRIMARY)
CALM = Snapshot(
    now=1000.0,
    wall=1.8e9,
    name="vm1",
    peer_name="vm2",
    status=Status.PRIMARY,
    on_duty=True,
    peer=PEER,
    clock_ahead=0.01,
    database=True,
    schema=2,
    workers_wanted=4,
    workers=4,
    ports=16,
    receiving=True,
    apply_errors=3,
    single_copies=0,
    disk_free=500 * 10**9,
    disk_size=10**12,
    least_free=200 * 10**6,
    outbox={},
)


class Watched:
    """A node that is looked at once a second."""

    def __init__(self) -> None:
        self.last, self.memory = CALM, Memory()
        self.told: list[tuple[str, str]] = []

    def look(self, seconds: float = 1.0, **changes: Any) -> list[tuple[str, str]]:
        after = replace(self.last, **{"changes": ()} | changes, now=self.last.now + seconds)
        alarms, self.memory = judge(self.last, after, self.memory)
        self.last = after
        new = [(alarm.kind.name, str(alarm.state)) for alarm in alarms]
        self.told += new
        return new

    def looks(self, seconds: float, **changes: Any) -> None:
        step = 1.0 if seconds < 1000 else 9.0
        for _ in range(int(seconds / step) + 1):
            self.look(step, **changes)


STANDING: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("no_connection_to_peer", {"peer": None}, {}),
    ("no_primary", {"status": Status.SECONDARY}, {}),
    ("critical_service_down", {"failed": ("primary",)}, {}),
    ("mail_receiver_down", {"failed": ("smtp",)}, {}),
    ("critical_service_down", {"status": Status.NOT_FUNCTIONING, "because": "x", "peer": OTHER}, {}),
    ("no_server_takes_calls", {"taking_calls": False, "peer": None}, {}),
    ("no_server_takes_calls", {"taking_calls": False, "peer": replace(PEER, taking_calls=False)}, {}),
    ("no_server_takes_calls", {"taking_calls": False, "peer": replace(PEER, status=Status.DEACTIVATED)}, {}),
    ("no_server_takes_calls", {"status": Status.DEACTIVATED, "peer": None}, {}),
    ("no_server_takes_calls", {"workers": 0, "peer": replace(PEER, workers=0)}, {}),
    ("no_server_takes_calls", {"taking_calls": False, "peer": None, "peer_name": ""}, {}),
    ("peer_impaired", {"peer": replace(PEER, status=Status.NOT_FUNCTIONING)}, {}),
    ("peer_impaired", {"peer": replace(PEER, database=False, duties_work=False)}, {}),
    ("disk_full", {"disk_free": 199 * 10**6, "disk_size": 10**9}, {}),
    ("disk_close_to_capacity", {"disk_free": 99 * 10**9}, {"disk_free": 121 * 10**9}),
    (
        "disk_close_to_capacity",
        {"disk_free": 399 * 10**6, "disk_size": 10**9},
        {"disk_free": 501 * 10**6, "disk_size": 10**9},
    ),
    ("single_copies_waiting", {"single_copies": 1}, {}),
    ("replication_stuck", {"slot_lost": True}, {}),
    ("replication_stuck", {"receiving": False}, {}),
    ("replication_room_short", {"retained": 81, "room": 19}, {"retained": 69, "room": 31}),
    ("extension_conflicts", {"conflicts": 1}, {"conflicts": 0}),
    ("clock_differs", {"clock_ahead": -2.1}, {"clock_ahead": -0.9}),
    ("workers_all_busy", {"busy": 16}, {"busy": 15}),
    ("workers_missing", {"workers": 3}, {}),
    (
        "outbox_backlog",
        {"outbox": {Work.LAMP: (400, 0), Work.MAIL: (101, 9)}},
        {"outbox": {Work.LAMP: (99, 0)}},
    ),
    ("calls_stopped_for_long", {"taking_calls": False}, {}),
    ("upgrade_unfinished", {"peer": replace(PEER, schema=3)}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "bad", "good"), STANDING)
def test_an_alarm_is_raised_once_when_it_has_held_and_cleared_once_when_it_has_gone(
    name: str, bad: dict[str, Any], good: dict[str, Any]
) -> None:
    node, kind = Watched(), BY_NAME[name]
    assert node.look() == []
    if kind.after:
        node.looks(kind.after - 2, **bad)
        assert (name, "raised") not in node.told
    node.looks(kind.after + 12, **bad)
    assert node.told.count((name, "raised")) == 1
    assert (name, "cleared") not in node.told
    well = {key: getattr(CALM, key) for key in bad} | good
    node.looks(kind.calm - 2, **well)
    assert (name, "cleared") not in node.told
    node.looks(kind.calm + 12, **well)
    assert Counter(node.told)[name, "raised"] == Counter(node.told)[name, "cleared"] == 1
    assert not node.memory.raised and not node.memory.turning


@pytest.mark.parametrize(
    ("name", "bad", "between"),
    [
        ("disk_full", {"disk_free": 199 * 10**6}, {"disk_free": 240 * 10**6}),
        ("disk_close_to_capacity", {"disk_free": 99 * 10**9}, {"disk_free": 115 * 10**9}),
        ("replication_room_short", {"retained": 81, "room": 19}, {"retained": 75, "room": 25}),
        ("clock_differs", {"clock_ahead": 2.1}, {"clock_ahead": 1.5}),
        ("outbox_backlog", {"outbox": {Work.LAMP: (501, 0)}}, {"outbox": {Work.LAMP: (400, 0)}}),
    ],
)
def test_a_level_that_swings_around_its_limit_is_told_once(
    name: str, bad: dict[str, Any], between: dict[str, Any]
) -> None:
    node = Watched()
    node.looks(BY_NAME[name].after + 2, **bad)
    for _ in range(5):
        node.looks(60, **between)
        node.looks(60, **bad)
    assert [state for told, state in node.told if told == name] == ["raised"]


def test_a_condition_that_flickers_is_neither_raised_nor_cleared() -> None:
    node = Watched()
    for _ in range(20):
        node.looks(3, busy=16)
        node.look(busy=15)
    assert node.told == []
    node.looks(6, busy=16)
    for _ in range(20):
        node.looks(20, busy=15)
        node.look(busy=16)
    assert node.told == [("workers_all_busy", "raised")]


def test_a_gap_between_two_looks_proves_nothing() -> None:
    node = Watched()
    node.look(single_copies=1)
    node.look(3600.0, single_copies=1)
    assert node.told == []


def test_rows_that_cannot_be_applied_are_told_while_failures_grow() -> None:
    node = Watched()
    for failures in range(4, 40):
        node.look(apply_errors=failures)
    assert node.told == [("replication_stuck", "raised")]
    node.looks(15)
    assert node.told[1:] == [("replication_stuck", "cleared")]


def test_failures_while_the_other_server_is_away_are_no_alarm_of_replication() -> None:
    node = Watched()
    for failures in range(4, 60):
        node.look(apply_errors=failures, peer=None)
    assert node.told == [("no_connection_to_peer", "raised")]


def test_a_server_that_is_alone_misses_nobody() -> None:
    node = Watched()
    node.looks(120, peer_name="", peer=None, receiving=None)
    assert node.told == []


@pytest.mark.parametrize("peer", [None, replace(PEER, taking_calls=False)])
def test_one_server_that_takes_calls_is_enough(peer: KeepAlive | None) -> None:
    node = Watched()
    node.looks(60, peer=peer)
    node.looks(60, peer=PEER, taking_calls=False)
    assert "no_server_takes_calls" not in {name for name, _ in node.told}


def test_a_cluster_that_is_being_started_is_not_told_to_refuse_calls() -> None:
    node = Watched()
    node.looks(8, status=Status.STARTING, workers=0, peer=None, sought=False)
    node.looks(8, status=Status.STARTING, workers=0, peer=None)
    node.looks(8, status=Status.PRIMARY, workers=1)
    assert "no_server_takes_calls" not in {name for name, _ in node.told}


def test_an_external_database_is_not_replicated() -> None:
    node = Watched()
    node.looks(120, receiving=None, apply_errors=None, single_copies=None)
    assert node.told == []


# ---- what happens


def change(was: Status, now: Status, because: str = "the other node is silent") -> dict[str, Any]:
    return {"changes": (Change(0.0, was, now, because, 1),), "status": now, "because": because}


S = Status
WAITS = {"status": S.SECONDARY, "on_duty": False, "peer": replace(PEER, status=S.PRIMARY)}
TAKES = change(S.SECONDARY, S.PRIMARY)


def names(told: list[tuple[str, str]]) -> list[str]:
    return [name for name, state in told if state == State.HAPPENED]


def test_a_failover_has_begun_and_succeeds_when_the_work_is_done() -> None:
    node = Watched()
    node.look(**WAITS)
    assert names(node.look(**TAKES, peer=None)) == ["auto_failover_started"]
    assert names(node.look()) == []
    assert names(node.look(on_duty=True)) == ["auto_failover_succeeded"]
    node.looks(60)
    assert len(names(node.told)) == 2


def test_a_failover_fails_when_the_work_is_not_done_in_time() -> None:
    node = Watched()
    node.look(**WAITS)
    node.look(**TAKES, peer=None)
    node.looks(TAKEOVER + 5)
    assert names(node.told) == ["auto_failover_started", "auto_failover_failed"]


def test_a_failover_fails_when_the_new_primary_goes_down() -> None:
    node = Watched()
    node.look(**WAITS)
    node.look(**TAKES, peer=None)
    node.look(**change(S.PRIMARY, S.NOT_FUNCTIONING, "no call can be answered here"))
    assert names(node.told) == ["auto_failover_started", "auto_failover_failed"]


def test_a_change_of_less_than_a_second_is_told_too() -> None:
    node = Watched()
    node.look(**WAITS)
    there = Change(0.0, S.SECONDARY, S.PRIMARY, "the other node is silent", 3)
    back = Change(0.0, S.PRIMARY, S.SPLIT_BRAIN_RECOVERY, "both have been Primary", 3)
    told = node.look(changes=(there, back), status=S.SPLIT_BRAIN_RECOVERY, peer=PEER, publisher=False)
    assert names(told) == ["auto_failover_started", "split_brain_detected"]


def test_a_change_by_an_operator_is_no_failover() -> None:
    node = Watched()
    node.look(**WAITS)
    node.look(**change(S.SECONDARY, S.PRIMARY, "an operator made it Primary"), on_duty=True, peer=PEER)
    assert node.told == []


def test_the_reasons_of_operators_are_known_as_such() -> None:
    ordered = [rule.because for rule in RULES if not by_itself(rule.because)]
    assert len(ordered) >= 2
    assert all(("operator" in because or "administrator" in because) for because in ordered)
    assert by_itself("the other node is silent") and len(ordered) < len(RULES) / 2


def test_a_start_is_no_failover() -> None:
    node = Watched()
    node.look(**change(S.STARTING, S.PRIMARY), peer=None)
    assert names(node.told) == []


@pytest.mark.parametrize(
    ("publisher", "told"), [(True, "auto_failback_succeeded"), (False, "auto_failover_started")]
)
def test_the_publisher_takes_the_work_back(publisher: bool, told: str) -> None:
    node = Watched()
    node.look(**WAITS, publisher=publisher)
    because = "no node is Primary and it is the publisher"
    assert names(node.look(**change(S.SECONDARY, S.PRIMARY, because), peer=PEER)) == [told]


@pytest.mark.parametrize(
    ("now", "peer", "told"),
    [
        (S.PRIMARY, PEER, "split_brain_recovery_succeeded"),
        (S.SECONDARY, PEER, "split_brain_recovery_succeeded"),
        (S.PRIMARY, None, "split_brain_recovery_failed"),
        (S.NOT_FUNCTIONING, PEER, "split_brain_recovery_failed"),
    ],
)
def test_a_split_brain_is_told_with_its_end(now: Status, peer: KeepAlive | None, told: str) -> None:
    node = Watched()
    assert names(node.look(**change(S.PRIMARY, S.SPLIT_BRAIN_RECOVERY))) == ["split_brain_detected"]
    assert names(node.look(**change(S.SPLIT_BRAIN_RECOVERY, now), peer=peer)) == [told]


def test_a_refused_connection_is_told() -> None:
    node = Watched()
    assert names(node.look(refused=2)) == ["peer_refused"]
    assert names(node.look()) == []
    assert names(node.look(refused=0)) == []  # counted anew


def test_every_kind_is_tested_here() -> None:
    happened = {
        "auto_failover_started", "auto_failover_succeeded", "auto_failover_failed",
        "auto_failback_succeeded", "split_brain_detected", "split_brain_recovery_succeeded",
        "split_brain_recovery_failed", "peer_refused",
    }  # fmt: skip
    assert happened == {kind.name for kind in KINDS if kind.holds is None}
    assert {name for name, _, _ in STANDING} == {kind.name for kind in KINDS if kind.holds}
    assert len(BY_NAME) == len(KINDS)
    assert table().count("\n") == len(KINDS) + 2
