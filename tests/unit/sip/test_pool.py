from itertools import islice, pairwise
from pathlib import Path

from sip.pool import LONGEST_PAUSE, SHORT_LIFE, Slot, died, hung
from sip.settings import EngineSettings, PoolSettings
from sip.worker import pauses


def test_a_worker_that_lived_is_replaced_well_within_a_second() -> None:
    slot = died(Slot(0, pid=1, born=100.0), now=200.0)
    assert slot.pid == 0
    assert slot.not_before - 200.0 < 0.2


def test_a_slot_that_dies_again_and_again_waits_longer_up_to_a_bound() -> None:
    slot, waits = Slot(0), []
    for _ in range(2000):
        born = slot.not_before
        slot = died(Slot(0, 1, born, slot.deaths, born), now=born + 0.1)
        waits.append(slot.not_before - born - 0.1)
    assert waits[0] < 0.2
    assert all(a <= b + 1e-6 for a, b in pairwise(waits))
    assert abs(waits[-1] - LONGEST_PAUSE) < 1e-6


def test_a_long_life_forgives_earlier_deaths() -> None:
    slot = died(Slot(0, 1, born=100.0, deaths=9), now=100.0 + SHORT_LIFE)
    assert slot.deaths == 1


def test_a_session_is_tried_again_ever_more_slowly_but_for_ever() -> None:
    tried = list(islice(pauses(), 2000))
    assert tried[0] == 0.1
    assert tried[-1] == 2.0


def test_each_slot_has_ports_of_its_own() -> None:
    settings = PoolSettings(3, EngineSettings(sip_port=6000, rtp_port=20000, rtp_ports=40), Path("board"))
    engines = [settings.engine_of(slot) for slot in range(3)]
    assert [engine.sip_port for engine in engines] == [6000, 6001, 6002]
    assert [engine.rtp_port for engine in engines] == [20000, 20040, 20080]


def test_a_worker_hangs_when_it_has_not_polled_for_long_since_it_was_born_and_we_were_awake() -> None:
    slot = Slot(0, pid=7, born=100.0)
    assert not hung(slot, beat=104.0, awake=0.0, now=113.9, patience=10.0)
    assert hung(slot, beat=104.0, awake=0.0, now=114.1, patience=10.0)
    assert not hung(slot, beat=104.0, awake=110.0, now=114.1, patience=10.0)
    assert not hung(slot, beat=0.0, awake=0.0, now=109.9, patience=10.0)
    assert not hung(Slot(0), beat=104.0, awake=0.0, now=200.0, patience=10.0)
