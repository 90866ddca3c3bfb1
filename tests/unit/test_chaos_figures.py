"""How the chaos runs count: what they print is only worth what this is."""

from collections import Counter

import pytest

from tests.acceptance.callers import SPEECH, Outcome
from tests.bench.callers import Seen, seen
from tests.chaos.crowd import Caller, longest_gap, longest_wait, unanswered
from tests.chaos.figures import Change, Row, Window, doubled, heard, lost, new_primary, repeats, summary
from tests.chaos.sipp import LISTEN, SWITCH, callers, outcomes
from tests.chaos.sipp import outcome as outcome_of


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
    told_of = [Change(9, 1, "Starting", "Primary", ""), Change(12, 2, "Secondary", "Primary", "")]
    assert new_primary(told_of, 10, 20) == 2
    assert new_primary(told_of, 13, 20) is None


def test_a_mail_counts_where_it_came_again() -> None:
    arrivals = {"once": [1.0], "twice": [1.0, 12.0], "oftener": [2.0, 11.0, 13.0, 14.0]}
    assert repeats(arrivals, 10, 20) == (2, 1)
    assert repeats(arrivals, 0, 10) == (0, 0)


def told(at: float, way: str, call: int, sequence: str, first: str) -> str:
    """A line of SIPp's log of short messages."""
    return f"2026-11-28\t12:00:00.000000\t{at:.6f}\t{way}\t{call}-77@10.77.0.9\tCSeq:{sequence}\t{first}"


CALLED = [
    told(1000.0, "S", 1, "1 INVITE", "INVITE sip:5000@10.77.0.1:5060 SIP/2.0"),
    told(1000.5, "S", 1, "1 INVITE", "INVITE sip:5000@10.77.0.1:5060 SIP/2.0"),
    told(1000.6, "R", 1, "1 INVITE", "SIP/2.0 100 Trying"),
    told(1000.6, "R", 1, "1 INVITE", "SIP/2.0 200 OK"),
    told(1001.0, "S", 2, "1 INVITE", "INVITE sip:5000@10.77.0.1:5060 SIP/2.0"),
    told(1001.1, "R", 2, "1 INVITE", "SIP/2.0 503 Draining"),
    told(1002.0, "S", 3, "1 INVITE", "INVITE sip:5000@10.77.0.1:5060 SIP/2.0"),
    told(1005.0, "S", 1, "2 BYE", "BYE sip:5000@10.77.0.1:7000 SIP/2.0"),
    told(1005.1, "R", 1, "2 BYE", "SIP/2.0 200 OK"),
    "2026-11-28\t12:00",
]
"""Confirmed, refused, never answered; then SIPp was killed."""


def test_sipps_log_tells_how_each_call_ended() -> None:
    calls = seen(["a", "b", "c", "d"], CALLED)
    confirmed, refused, silent = outcomes(calls, [[1001.6]], ("10.77.0.1", 5060), 900.0)
    assert (confirmed.number, confirmed.end, confirmed.began) == ("callera", "confirmed", 100.0)
    assert confirmed.answered == pytest.approx(0.6)
    assert confirmed.to_tone == pytest.approx(1.0)
    assert confirmed.spoke == pytest.approx((100.6 + LISTEN + SWITCH, 100.6 + LISTEN + SPEECH))
    assert (refused.end, refused.why) == ("refused", "SIP/2.0 503 Draining")
    assert (silent.end, silent.why) == ("refused", "no answer")


def test_a_call_of_sipp_counts_only_from_the_tone_on_and_only_when_its_bye_was_answered() -> None:
    edge = ("10.77.0.1", 5060)
    late = outcome_of("a", Seen(1000, 1000, 1005, 1005.1), [990.0, 1003.0], edge, 0.0)
    assert late.spoke == pytest.approx((1003.0, 1000 + LISTEN + SPEECH))
    assert outcome_of("a", Seen(1000, 1000, 1005, 1005.1), [990.0, 1006.0], edge, 0.0).end == "cut"
    assert outcome_of("a", Seen(1000, 1000, 1005), [1001.0], edge, 0.0).end == "cut"
    short = outcome_of("a", Seen(1000, 1000, 1001.5, 1001.6), [1001.0], edge, 0.0)
    assert heard([], short.spoke, edge[0]) == 0


def test_the_calls_of_sipp_have_numbers_of_their_own_at_each_edge_and_take_mailboxes_and_ears_in_turn() -> (
    None
):
    one, two = (callers(node, ["2001", "2002"], [10, 11, 12]) for node in (1, 2))
    assert len({caller.key for caller in one + two}) == len(one) + len(two)
    assert [(c.extension, c.ear) for c in two[:4]] == [("2001", 10), ("2002", 11), ("2001", 12), ("2002", 10)]
    assert one[0].extension == "2002"


def test_the_summary_tells_own_callers_and_sipp_apart() -> None:
    rows = [Row(1, "cut", "both", confirmed=5, sipp=2), Row(2, "cut", "both", confirmed=1, sipp=1)]
    assert summary(rows).endswith(
        "2 faults, 9 confirmed messages (6 of own callers, 3 of SIPp), 0 lost, 0 doubled"
    )
