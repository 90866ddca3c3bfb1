"""What silence means, and how much of it is borne after false alarms."""

from dataclasses import replace

import pytest

from voicemail.cluster.hearing import CALM, CLOSED, FRESH, PATIENCE, SILENT, START, Hearing
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import Status

S = Status
PEER = KeepAlive(number=1, status=S.PRIMARY, epoch=1, awake=7.0)


def heard(hearing: Hearing, *times: float, said: KeepAlive = PEER) -> Hearing:
    for now in times:
        hearing = hearing.heard(said, 0.0, now)
    return hearing


def test_a_silence_that_the_peer_lived_through_makes_the_next_one_need_more() -> None:
    one = heard(Hearing(), 10.0, 13.0)
    assert one.patience == PATIENCE[1]
    assert one.peer(13.0 + PATIENCE[1]) is PEER and one.peer(13.1 + PATIENCE[1]) is None
    two = heard(one, 22.0)
    assert two.patience == PATIENCE[2] and heard(two, 60.0).patience == PATIENCE[2]


def test_a_silence_that_was_borne_costs_nothing_more() -> None:
    assert heard(Hearing(), 10.0, 13.0, 18.0, 23.0, 28.0).patience == PATIENCE[1]


@pytest.mark.parametrize("said", [replace(PEER, awake=8.0), replace(PEER, awake=8.0, status=S.STARTING)])
def test_a_peer_that_was_restarted_or_frozen_costs_no_trust(said: KeepAlive) -> None:
    assert heard(heard(Hearing(), 10.0), 13.0, said=said).patience == SILENT


def test_nor_does_a_silence_longer_than_the_longest_patience() -> None:
    assert heard(Hearing(), 10.0, 10.1 + PATIENCE[-1]).patience == SILENT


def test_calm_restores_the_first_trust_and_any_silence_is_no_calm() -> None:
    hearing = heard(Hearing(), 10.0, 13.0)
    steady = heard(hearing, *(13.0 + second for second in range(1, int(CALM) + 1)))
    assert steady.patience == PATIENCE[1] and heard(steady, 13.1 + CALM).patience == SILENT
    broken = heard(hearing, *(13.0 + 3 * turn for turn in range(1, 120)))
    assert broken.patience == PATIENCE[1]


def test_a_closed_connection_is_evidence_until_it_proved_none() -> None:
    closed = heard(Hearing(), 10.0).lost(10.0)
    assert closed.peer(9.9 + CLOSED) is PEER and closed.peer(10.1 + CLOSED) is None
    again = heard(closed, 11.0).lost(11.1)
    assert again.resets and again.peer(11.2 + CLOSED) is PEER
    assert again.peer(11.1 + PATIENCE[1]) is None
    dead = heard(closed, 11.0, said=replace(PEER, awake=10.9)).lost(11.1)
    assert dead.peer(11.2 + CLOSED) is None


def test_a_connection_that_closes_after_a_silence_tells_of_no_death() -> None:
    hearing = heard(Hearing(), 10.0, 13.0)
    assert hearing.lost(13.1 + FRESH).peer(14.0 + FRESH) is PEER


def test_whatever_the_patience_a_silent_peer_is_not_there_for_other_purposes() -> None:
    hearing = heard(Hearing(), 10.0, 13.0)
    assert hearing.recent(13.0 + SILENT) is PEER and hearing.recent(13.1 + SILENT) is None


def test_lines_of_a_connection_older_than_the_newest_are_outdated() -> None:
    hearing = Hearing(since=5.0).heard(PEER, 6.0, 10.0)
    assert hearing.outdated(5.9) and not hearing.outdated(6.0) and not hearing.outdated(7.0)
    assert hearing.again(20.0).outdated(19.9)


def test_being_frozen_oneself_costs_no_trust_and_restores_none() -> None:
    assert Hearing().again(20.0).patience == SILENT
    tried = heard(Hearing(), 10.0, 13.0).again(20.0)
    assert tried.patience == PATIENCE[1] and heard(tried, 40.0).patience == PATIENCE[1]


def test_a_peer_is_late_when_it_has_been_starting_for_too_long() -> None:
    starting = replace(PEER, status=S.STARTING)
    hearing = heard(Hearing(), 10.0, 11.0, 12.0, said=starting)
    assert not hearing.late(10.0 + START) and hearing.late(10.1 + START)
    assert not heard(hearing, 13.0).late(100.0)
