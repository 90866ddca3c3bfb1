"""What silence means, and how much of it is borne after false alarms."""

from dataclasses import replace
from typing import Any

import pytest

from voicemail.cluster.hearing import (
    CALM,
    CLOSED,
    FRESH,
    PATIENCE,
    ROUND,
    SILENT,
    START,
    UNHEARD,
    Hearing,
)
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


# ---- beacons


def beat(number: int, run: str = "one", **more: Any) -> KeepAlive:
    return replace(PEER, run=run, beat=number, **more)


def beaconed(hearing: Hearing, *times: float, first: int = 1) -> Hearing:
    """Each came round in 10 ms."""
    for number, now in enumerate(times, first):
        hearing = hearing.beaconed(beat(number), now - 0.01, now)
    return hearing


def test_beacons_alone_keep_the_peer_heard_whatever_happens_to_its_connection() -> None:
    hearing = heard(Hearing(), 10.0, said=beat(1)).lost(10.1)
    hearing = beaconed(hearing, *(10.2 + step / 5 for step in range(100)), first=2)
    assert hearing.peer(30.0) and hearing.patience == SILENT


def test_what_came_late_on_the_connection_takes_no_place_of_later_news() -> None:
    hearing = beaconed(Hearing(), 10.0, first=8).heard(beat(7, status=S.SECONDARY), 9.0, 11.0)
    assert hearing.last == beat(8) and hearing.at == 10.0 and hearing.outdated(8.9)
    assert hearing.heard(beat(9, status=S.SECONDARY), 9.0, 11.0).last == beat(9, status=S.SECONDARY)


def test_what_a_process_said_that_has_ended_is_no_news() -> None:
    hearing = beaconed(Hearing(), 10.0).beaconed(beat(1, "two"), 10.1, 10.2)
    assert hearing.last == beat(1, "two")
    assert hearing.heard(beat(900), 9.0, 10.3).last == hearing.last
    assert hearing.beaconed(beat(900), 10.25, 10.3) == hearing


def test_a_release_that_does_not_count_is_heard_as_ever() -> None:
    hearing = heard(Hearing(), 10.0, 11.0)
    assert hearing.at == 11.0 and heard(beaconed(hearing, 11.5), 12.0).last == PEER


def test_a_closed_connection_is_a_death_only_when_no_beacon_comes_after_it() -> None:
    hearing = beaconed(Hearing(), 10.0, 10.1).lost(10.11)
    assert hearing.peer(10.1 + UNHEARD) and hearing.peer(10.11 + UNHEARD) is None
    assert beaconed(hearing, 10.3, first=3).peer(11.0)


def test_a_beacon_that_was_under_way_when_the_connection_closed_is_no_sign_of_life() -> None:
    hearing = beaconed(Hearing(), 10.0).lost(10.1).beaconed(beat(2), 10.05, 10.15)
    assert hearing.peer(10.15 + UNHEARD) and hearing.peer(10.16 + UNHEARD) is None


def test_a_slow_way_round_counts_from_its_proof() -> None:
    hearing = beaconed(Hearing(), 10.0).beaconed(beat(2), 10.1, 11.0)
    assert hearing.at == 10.1 + ROUND
    assert hearing.beaconed(beat(3), 10.0, 11.0).at == hearing.at  # never earlier than what is known


def test_being_frozen_oneself_lets_no_former_process_of_the_peer_be_heard() -> None:
    hearing = beaconed(Hearing(), 10.0).beaconed(beat(1, "two"), 10.1, 10.2).again(20.0)
    assert hearing.heard(beat(900), 20.1, 20.2).last is None
