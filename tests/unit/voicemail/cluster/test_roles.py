"""The whole space of views, and two nodes that follow the table from every pair of statuses.

Each property takes a table of rules, so the last test can ask that every single rule is needed.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import pytest

from tests.fakes.roles import TURNS, Conditions, first, model
from voicemail.cluster.roles import (
    IDLE,
    OUT_OF_SERVICE,
    RULES,
    SERVICES,
    SERVING,
    Rule,
    Status,
    View,
    answers_calls,
    has_duties,
    next_epoch,
    runs,
)
from voicemail.cluster.rules_page import decisions

S = Status
LIVE = tuple(status for status in S if status is not S.DEACTIVATED)
STEPS = 8

Decision = tuple[View, Status]
Says = Callable[[View, Status], bool]


def in_service(v: View) -> bool:
    """A node that could do anything, with another one about."""
    return v.me is not S.DEACTIVATED and v.calls_work and not v.alone


def started(v: View) -> bool:
    return v.me is not S.NOT_FUNCTIONING and (v.me is not S.STARTING or v.ready)


BY_VIEW: dict[str, Says] = {
    "a deactivated node stays so": lambda v, now: v.me is not S.DEACTIVATED or now is S.DEACTIVATED,
    "only an administrator deactivates": lambda v, now: now is not S.DEACTIVATED or v.me is S.DEACTIVATED,
    "a node without calls is out of service": lambda v, now: (
        v.calls_work or v.me is S.DEACTIVATED or now is S.NOT_FUNCTIONING
    ),
    "a node that can take calls is in service": lambda v, now: not in_service(v) or now not in OUT_OF_SERVICE,
    "a node that is not ready goes on starting": lambda v, now: (
        not in_service(v) or started(v) or now is S.STARTING
    ),
    "a node that is ready and knows of its peer starts no longer": lambda v, now: (
        not in_service(v) or not started(v) or not v.sought or now is not S.STARTING
    ),
    "a node alone is Primary": lambda v, now: (
        not (v.alone and v.calls_work and started(v)) or v.me is S.DEACTIVATED or now is S.PRIMARY
    ),
    "silence makes no Primary before the peer was sought": lambda v, now: (
        not in_service(v) or v.peer is not None or v.sought or now is not S.PRIMARY
        or has_duties(v.me, v.publisher)
    ),
    "what a frozen node was it stays": lambda v, now: (
        not in_service(v) or v.peer is not None or v.sought or v.me not in SERVING or now is v.me
    ),
    "an operator's wish moves the Primary, but only to a node that can": lambda v, now: (
        not (in_service(v) and v.duties_work and v.me is S.PRIMARY and v.peer_wanted)
        or now is (S.SECONDARY if v.peer_duties_work else S.PRIMARY)
    ),
    "who is asked for takes what is free": lambda v, now: (
        not (in_service(v) and v.duties_work and v.wanted and v.sought)
        or v.peer in (S.PRIMARY, S.SPLIT_BRAIN_RECOVERY) or (v.peer_wanted and not v.publisher)
        or now is S.PRIMARY
    ),
    "while the other is asked for nobody else takes the work": lambda v, now: (
        not (in_service(v) and started(v) and v.peer_wanted and v.peer_duties_work)
        or v.wanted or v.me is S.SPLIT_BRAIN_RECOVERY or now in IDLE
    ),
    "what was just given is not taken back": lambda v, now: (
        not v.just_gave or v.wanted or v.alone or v.peer not in SERVING or now is not S.PRIMARY
    ),
    "nor left to nobody": lambda v, now: (
        not (in_service(v) and started(v) and v.gave and v.sought) or v.peer not in (None, *OUT_OF_SERVICE)
        or now is S.PRIMARY
    ),
    "a peer that does not get ready is replaced": lambda v, now: (
        not (in_service(v) and started(v) and v.automatic and v.peer_late) or v.just_gave
        or now is S.PRIMARY
    ),
    "a silent peer is replaced": lambda v, now: (
        not (in_service(v) and started(v) and v.automatic and v.peer is None and v.sought)
        or now is S.PRIMARY
    ),
    "a peer out of service is replaced": lambda v, now: (
        not (in_service(v) and started(v) and v.automatic and v.sought and v.peer in OUT_OF_SERVICE)
        or now is S.PRIMARY
    ),
    "with automatic change off nobody takes over": lambda v, now: (
        v.automatic or v.alone or v.me not in IDLE or v.peer is S.SECONDARY or v.wanted or v.gave
        or not has_duties(now, v.publisher)
    ),
    "with automatic change off a Primary keeps its degraded duties": lambda v, now: (
        v.automatic or not in_service(v) or v.me is not S.PRIMARY or v.peer_wanted
        or v.peer in (S.PRIMARY, S.SPLIT_BRAIN_RECOVERY) or now is S.PRIMARY
    ),
    "a degraded Primary hands over to a peer that can": lambda v, now: (
        not (in_service(v) and v.automatic and v.me is S.PRIMARY and v.peer in SERVING)
        or v.duties_work or not v.peer_duties_work or now is S.SECONDARY
    ),
    "two Primaries recover": lambda v, now: (
        not (in_service(v) and v.duties_work and v.me is v.peer is S.PRIMARY)
        or now is S.SPLIT_BRAIN_RECOVERY
    ),
    "the other node follows the publisher into recovery": lambda v, now: (
        not (in_service(v) and v.duties_work and v.me is S.PRIMARY and v.peer is S.SPLIT_BRAIN_RECOVERY)
        or now is (S.PRIMARY if v.publisher or not v.peer_duties_work else S.SPLIT_BRAIN_RECOVERY)
    ),
    "recovery lasts until the stores are merged": lambda v, now: (
        not (in_service(v) and v.duties_work and v.peer_duties_work and v.peer in SERVING)
        or v.me is not S.SPLIT_BRAIN_RECOVERY or v.merged or now is S.SPLIT_BRAIN_RECOVERY
    ),
    "after recovery the publisher is Primary": lambda v, now: (
        not (in_service(v) and v.duties_work and v.merged and v.peer in SERVING and v.peer_duties_work)
        or v.me is not S.SPLIT_BRAIN_RECOVERY or (v.publisher and v.peer is S.PRIMARY)
        or now is (S.PRIMARY if v.publisher else S.SECONDARY)
    ),
    "a node that comes back shows what it still misses": lambda v, now: (
        not (in_service(v) and started(v) and v.duties_work and v.peer is S.PRIMARY)
        or v.me not in (S.STARTING, S.REPLICATING_DATA)
        or now is (S.SECONDARY if v.merged else S.REPLICATING_DATA)
    ),
    "a healthy Primary with no other Primary stays": lambda v, now: (
        not (in_service(v) and v.duties_work and v.me is S.PRIMARY) or v.peer_wanted
        or v.peer in (S.PRIMARY, S.SPLIT_BRAIN_RECOVERY) or now is S.PRIMARY
    ),
    "a Secondary of a Primary stays": lambda v, now: (
        not (in_service(v) and v.me is S.SECONDARY and v.peer is S.PRIMARY) or now is S.SECONDARY
    ),
}  # fmt: skip


def broken_by_view(rules: Sequence[Rule], among: Iterable[View]) -> set[str]:
    """The properties that some decision breaks."""
    decided = [(view, first(rules, view).become) for view in among]
    return {name for name, holds in BY_VIEW.items() if not all(holds(*one) for one in decided)}


def settles(rules: Sequence[Rule], around: Conditions) -> bool:
    """From every pair of statuses, in every order: in the end one node has duties, and nothing moves."""
    for start in itertools.product(LIVE, repeat=2):
        for turns in TURNS:
            *_, last, end = model(start, around, rules).walk(turns, STEPS)
            if end.on_duty != 1 or last.now != end.now:
                return False
    return True


DEGRADED = (Conditions(duties_work=(False, True)), Conditions(duties_work=(True, False)))
WALKS: dict[str, Callable[[Sequence[Rule]], bool]] = {
    "two healthy nodes settle": lambda rules: settles(rules, Conditions()),
    "also without a merge": lambda rules: settles(rules, Conditions(merged=False)),
    "also with one or both degraded": lambda rules: all(
        settles(rules, Conditions(duties_work=work, merged=merged))
        for work in ((False, True), (True, False), (False, False))
        for merged in (True, False)
    ),
    "also with automatic change off": lambda rules: all(
        settles(rules, Conditions(automatic=False, duties_work=work))
        for work in ((True, True), (False, True), (True, False))
    ),
    "also when one of them takes no calls": lambda rules: all(
        settles(rules, Conditions(calls_work=work)) for work in ((False, True), (True, False))
    ),
    "a degraded node does not keep the duties": lambda rules: all(
        not has_duties(model(start, around, rules).walk(turns, STEPS)[-1].now[degraded], degraded == 0)
        for degraded, around in enumerate(DEGRADED)
        for start in itertools.product(LIVE, repeat=2)
        for turns in TURNS
    ),
    "cut off, both are Primary": lambda rules: all(
        model(start, Conditions(linked=False), rules).walk("together", STEPS)[-1].now == (S.PRIMARY,) * 2
        for start in itertools.product(LIVE, repeat=2)
    ),
    "a settled pair does not swap": lambda rules: all(
        model(pair, Conditions(merged=merged), rules).step(turns).now == pair
        for pair in ((S.PRIMARY, S.SECONDARY), (S.SECONDARY, S.PRIMARY))
        for merged in (True, False)
        for turns in TURNS
    ),
    "when both start at once the publisher is Primary": lambda rules: all(
        model((S.STARTING, S.STARTING), Conditions(), rules).walk(turns, STEPS)[-1].now
        == (S.PRIMARY, S.SECONDARY)
        for turns in TURNS
    ),
    "two that were Primary both recover, then the publisher is Primary": lambda rules: all(
        S.SPLIT_BRAIN_RECOVERY in {one.now[1] for one in walked}
        and walked[-1].now == (S.PRIMARY, S.SECONDARY)
        for turns in TURNS
        for walked in [model((S.PRIMARY, S.PRIMARY), Conditions(), rules).walk(turns, STEPS)]
    ),
}


@pytest.mark.parametrize("name", BY_VIEW)
def test_in_the_whole_space_of_views(name: str) -> None:
    holds = BY_VIEW[name]
    wrong = [
        f"{rule.become}: {rule.because}: {view}" for view, rule in decisions() if not holds(view, rule.become)
    ]
    assert wrong[:3] == []


@pytest.mark.parametrize("name", WALKS)
def test_of_two_nodes(name: str) -> None:
    assert WALKS[name](RULES)


MERGED = "the stores are merged and it is the publisher"


def tells_of_the_merge(rules: Sequence[Rule]) -> bool:
    """Whoever reads the history learns that a recovery ended because of the merge: that nothing is missing.
    Other rules would decide the same and say only that no node was Primary, or that one was asked for."""
    ends = [
        View(S.SPLIT_BRAIN_RECOVERY, peer, publisher=True, wanted=wanted, peer_wanted=peer_wanted)
        for peer in SERVING - {S.PRIMARY}
        for wanted in (False, True)
        for peer_wanted in (False, True)
    ]
    return all(first(rules, view)[:2] == (S.PRIMARY, MERGED) for view in ends)


def test_the_end_of_a_recovery_tells_of_the_merge() -> None:
    assert tells_of_the_merge(RULES)


@pytest.mark.parametrize("left_out", RULES, ids=lambda rule: f"{rule.become}-{rule.because}")
def test_every_rule_is_needed(left_out: Rule) -> None:
    rest = [rule for rule in RULES if rule is not left_out]
    touched = [view for view, rule in decisions() if rule is left_out]
    assert touched, "no view comes to this rule"
    if left_out.because == MERGED:
        assert not tells_of_the_merge(rest)
    elif left_out is RULES[-1]:
        with pytest.raises(StopIteration):
            broken_by_view(rest, touched)
    else:
        assert broken_by_view(rest, touched) or any(not holds(rest) for holds in WALKS.values())


def test_every_service_has_its_statuses() -> None:
    for always in ("database", "role manager", "metrics", "edge"):
        assert SERVICES[always] == set(S)
    for program in ("workers", "presence", "primary"):
        assert SERVICES[program] == set(S) - {S.DEACTIVATED}
    assert SERVICES["calls"] == set(S) - OUT_OF_SERVICE == {status for status in S if answers_calls(status)}
    assert SERVICES["duties"] == {S.PRIMARY, S.SPLIT_BRAIN_RECOVERY}
    assert all(runs(name, status) is (status in where) for name, where in SERVICES.items() for status in S)


def test_in_recovery_only_the_publisher_has_duties() -> None:
    assert {status for status in S if has_duties(status, True)} == {S.PRIMARY, S.SPLIT_BRAIN_RECOVERY}
    assert {status for status in S if has_duties(status, False)} == {S.PRIMARY}


def test_epochs_rise_and_no_two_nodes_take_the_same() -> None:
    for seen in range(20):
        assert {next_epoch(seen, 1) % 2, next_epoch(seen, 2) % 2} == {0, 1}
        assert all(seen < next_epoch(seen, number) <= seen + 2 for number in (1, 2))
