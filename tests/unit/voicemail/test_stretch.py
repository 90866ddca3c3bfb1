"""Speech at another speed: as much shorter, at the same pitch."""

import numpy as np
import pytest

from voicemail.stretch import FASTEST, LOUDEST, SLOWEST, louder, stretched

RATE = 8000
TONE = (8000 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.int16)


def pitch(samples: np.ndarray) -> float:
    """Hz of the loudest part."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


@pytest.mark.parametrize("speed", [SLOWEST, 0.75, 1.25, 1.5, FASTEST])
def test_it_gets_shorter_and_keeps_its_pitch(speed: float) -> None:
    heard = stretched(TONE, speed)
    assert len(heard) == pytest.approx(len(TONE) / speed, rel=0.02)
    assert pitch(heard) == pytest.approx(440, abs=8)
    assert np.abs(heard).max() == pytest.approx(8000, rel=0.1)


def test_nothing_is_done_at_the_usual_speed_and_nothing_to_nothing() -> None:
    assert stretched(TONE, 1.0) is TONE
    assert not len(stretched(TONE[:0], 1.5))
    assert len(stretched(TONE[:10], 1.5)) < 100


def test_other_speeds_are_refused() -> None:
    with pytest.raises(ValueError, match="2.5 is no speed"):
        stretched(TONE, 2.5)


def test_louder_is_louder_and_never_cut_off() -> None:
    assert np.abs(louder(TONE, 6)).max() == pytest.approx(16000, rel=0.01)
    assert np.abs(louder(TONE, -6)).max() == pytest.approx(4000, rel=0.01)
    loud = louder(TONE, 12)
    assert 0.8 * LOUDEST < np.abs(loud).max() < LOUDEST
    assert pitch(loud) == pytest.approx(440, abs=8)
