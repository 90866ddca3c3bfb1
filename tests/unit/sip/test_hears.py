from pathlib import Path

import numpy as np
import pytest

from sip import wav
from sip.errors import BadSound
from sip.hears import hears


def write(path: Path, samples: np.ndarray, ulaw: bool = False) -> Path:
    data = wav.file_pcm16(samples.astype("<i2").tobytes())
    path.write_bytes(wav.join([wav.parse(data)]) if ulaw else data)
    return path


@pytest.fixture
def voices() -> list[np.ndarray]:
    source = np.random.default_rng(1)
    return [np.convolve(source.normal(0, 3000, 6000), np.ones(4) / 4) for _ in range(2)]


def test_a_prompt_is_found_at_its_second_quieter_and_in_mu_law(
    tmp_path: Path, voices: list[np.ndarray]
) -> None:
    prompt, other = voices
    heard = np.concatenate((np.zeros(4000), other, np.zeros(800), prompt * 0.4, np.zeros(1000)))
    recording = write(tmp_path / "heard.wav", heard, ulaw=True)
    second = hears(recording, write(tmp_path / "prompt.wav", prompt))
    assert second == pytest.approx((4000 + len(other) + 800) / 8000, abs=0.001)


def test_what_was_not_said_is_not_heard(tmp_path: Path, voices: list[np.ndarray]) -> None:
    prompt, other = voices
    recording = write(tmp_path / "heard.wav", np.concatenate((other, other)))
    assert hears(recording, write(tmp_path / "prompt.wav", prompt)) is None


def test_a_prompt_longer_than_the_recording_is_not_heard(tmp_path: Path, voices: list[np.ndarray]) -> None:
    recording = write(tmp_path / "heard.wav", voices[0][:3000])
    assert hears(recording, write(tmp_path / "prompt.wav", voices[0])) is None


def test_a_silent_prompt_cannot_be_looked_for(tmp_path: Path) -> None:
    silence = write(tmp_path / "silence.wav", np.zeros(4000))
    with pytest.raises(BadSound):
        hears(silence, silence)
