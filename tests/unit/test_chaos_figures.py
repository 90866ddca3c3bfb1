"""How the chaos runs count: what they print is only worth what this is."""

from collections import Counter

from tests.acceptance.callers import Outcome
from tests.chaos.crowd import Caller, longest_gap, longest_wait, unanswered
from tests.chaos.figures import Change, Window, doubled, heard, lost, new_primary, repeats


def outcome(began: float, answered: float = 0.0) -> Outcome:
    return Outcome("1", "confirmed" if answered else "refused", began=began, answered=answered)


def test_a_message_that_one_node_lacks_is_lost_and_one_that_a_node_has_twice_is_doubled() -> None:
    held = [Counter(a=1, b=2, c=1), Counter(a=1, b=1)]
    assert lost(["a", "b", "c", "d"], held) == ["c", "d"]
    assert doubled(["a", "b", "c"], held) == ["b"]


def test_a_gap_lasts_from_the_first_refusal_to_the_next_answer() -> None:
    tried = [outcome(0, 0.1), outcome(1), outcome(2), outcome(3, 0.5), outcome(4, 0.1)]
    assert longest_gap(tried, 9) == 2.5
    assert longest_gap(tried[:3], 9) == 8
    assert longest_gap(tried[3:], 9) == 0


def test_a_caller_waits_from_the_first_try_to_the_answer_of_either_edge() -> None:
    second, neither = (
        Caller([(1, outcome(5)), (2, outcome(7, 0.25))]),
        Caller([(1, outcome(5)), (2, outcome(7))]),
    )
    assert longest_wait([second, neither]) == 2.25
    assert unanswered([second, neither]) == [neither]


def test_what_was_said_to_a_frozen_node_does_not_count_as_heard() -> None:
    windows = [Window(10, 15, 20, deaf="node"), Window(30, 35, 40)]
    assert heard(windows, (9, 12), "node") == 1
    assert heard(windows, (9, 12), "other") == 3
    assert heard(windows, (31, 33), "node") == 2


def test_the_new_primary_is_the_first_after_the_fault() -> None:
    seen = [Change(9, 1, "Starting", "Primary", ""), Change(12, 2, "Secondary", "Primary", "")]
    assert new_primary(seen, 10, 20) == 2
    assert new_primary(seen, 13, 20) is None


def test_a_mail_counts_where_it_came_again() -> None:
    arrivals = {"once": [1.0], "twice": [1.0, 12.0], "oftener": [2.0, 11.0, 13.0, 14.0]}
    assert repeats(arrivals, 10, 20) == (2, 1)
    assert repeats(arrivals, 0, 10) == (0, 0)
