import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from deploy.prompts import render
from voicemail import prompts
from voicemail.prompts import PromptBook

ENGLISH = prompts.SHIPPED / "en"
CATALOGUE = render.read_catalogue(ENGLISH)
BOOK = PromptBook()
SPOKEN = sorted(prompts.texts())
HEADER = struct.pack("<4sIHHIIHHH4sI", b"fmt ", 18, 7, 1, 8000, 8000, 1, 8, 0, b"fact", 4)  # mu-law, mono


def samples(name: str) -> np.ndarray:
    """A recording as samples of full scale 1.0, by G.711's own rule."""
    data = (BOOK.find(name) or Path()).read_bytes()
    codes = ~np.frombuffer(data[58 : 58 + int.from_bytes(data[54:58], "little")], np.uint8)
    size = ((codes & 15) * 2.0 + 33) * 2.0 ** (codes >> 4 & 7) - 33
    return np.where(codes & 128, -size, size) / 8192


def level(speech: np.ndarray) -> float:
    """dBFS of the parts of a recording that are not silence."""
    powers = (speech[: len(speech) // 80 * 80].reshape(-1, 80) ** 2).mean(axis=1)
    return float(10 * np.log10(powers[powers > powers.max() / 1000].mean()))


def test_every_prompt_of_the_catalogue_has_a_recording_of_its_present_text():
    assert render.stale(ENGLISH, CATALOGUE) == []


def test_no_recording_is_missing_from_the_catalogue():
    assert render.orphans(ENGLISH, CATALOGUE) == []
    assert BOOK.names() == CATALOGUE.keys()


def test_names_are_snake_case():
    assert [name for name in CATALOGUE if not prompts.NAME.fullmatch(name)] == []


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_recording_is_mu_law_with_right_sizes(name: str):
    found = BOOK.find(name)
    assert found
    data = found.read_bytes()
    length = int.from_bytes(data[54:58], "little")
    assert data[12:46] == HEADER
    assert data[50:54] == b"data"
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert int.from_bytes(data[46:50], "little") == length
    assert 58 + length <= len(data) <= 58 + length + 1


@pytest.mark.parametrize("name", SPOKEN)
def test_speech_is_equally_loud_everywhere_and_never_near_clipping(name: str):
    speech = samples(name)
    assert 10 ** (-12 / 20) < np.abs(speech).max() < 10 ** (-5.5 / 20)
    assert -24 < level(speech) < -17


@pytest.mark.parametrize("name", SPOKEN)
def test_speech_starts_soon_and_lasts_as_long_as_its_text(name: str):
    speech, text = samples(name), prompts.texts()[name]
    heard = np.flatnonzero(np.abs(speech) > 0.01) / 8000
    assert heard[0] < 0.1
    assert len(speech) / 8000 - heard[-1] < 0.25
    assert 0.04 * len(text) < len(speech) / 8000 < 0.2 + 0.11 * len(text)


def test_the_tone_is_one_kilohertz():
    spectrum = np.abs(np.fft.rfft(samples("tone")))
    assert len(samples("tone")) == 3200
    assert int(spectrum.argmax()) * 8000 / 3200 == 1000


def test_the_second_of_silence_is_silent():
    assert np.abs(samples("silence_1s")).max() < 0.001
    assert len(samples("silence_1s")) == 8000


def test_a_missing_prompt_is_none_and_no_error():
    assert BOOK.find("no_such_prompt") is None
    assert BOOK.find("../en/tone") is None
    assert PromptBook("xx").find("tone") is None
    assert PromptBook(folder=Path("/nonexistent")).find("tone") == ENGLISH / "tone.wav"


def test_a_recording_in_the_folder_of_a_site_comes_first(tmp_path: Path):
    with wave.open(str(tmp_path / "welcome.wav"), "wb") as own:
        own.setparams((1, 2, 8000, 0, "NONE", ""))
    (tmp_path / "house_rules.wav").write_bytes((tmp_path / "welcome.wav").read_bytes())
    book = PromptBook(folder=tmp_path)
    assert book.find("welcome") == tmp_path / "welcome.wav"
    assert book.find("house_rules") == tmp_path / "house_rules.wav"
    assert book.find("goodbye") == ENGLISH / "goodbye.wav"


def test_a_changed_text_makes_its_recording_stale():
    changed = CATALOGUE | {"goodbye": render.Speech("Farewell."), "added": render.Speech("New.")}
    assert sorted(render.stale(ENGLISH, changed)) == ["added", "goodbye"]


def test_a_removed_text_makes_its_recording_an_orphan():
    assert render.orphans(ENGLISH, {k: v for k, v in CATALOGUE.items() if k != "goodbye"}) == ["goodbye"]


def test_an_entry_may_tell_the_voice_other_words(tmp_path: Path):
    (tmp_path / "catalogue.toml").write_text(
        '[tones]\n[speech]\nx = { text = "Dr.", say = "Doctor.", take = 3 }'
    )
    assert render.read_catalogue(tmp_path) == {"x": render.Speech("Doctor.", 3)}
