"""Lists of prompts and their recordings, of every language. All of a language in one test each: there are
hundreds of recordings, and a test says which of them is at fault."""

import struct
import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from deploy.prompts import render
from sip.sounds import plays
from voicemail import prompts, words
from voicemail.prompts import PromptBook

ENGLISH = prompts.SHIPPED / "en"
CATALOGUE = render.read_catalogue(ENGLISH)
BOOK = PromptBook()
HEADER = struct.pack("<4sIHHIIHHH4sI", b"fmt ", 18, 7, 1, 8000, 8000, 1, 8, 0, b"fact", 4)  # mu-law, mono
LANGUAGES = sorted(words.LANGUAGES)

each_language = pytest.mark.parametrize("language", LANGUAGES)


@cache
def samples(language: str, name: str) -> np.ndarray:
    """A recording as samples of full scale 1.0, by G.711's own rule."""
    data = (PromptBook(language).find(name) or Path()).read_bytes()
    codes = ~np.frombuffer(data[58 : 58 + int.from_bytes(data[54:58], "little")], np.uint8)
    size = ((codes & 15) * 2.0 + 33) * 2.0 ** (codes >> 4 & 7) - 33
    return np.where(codes & 128, -size, size) / 8192


def level(speech: np.ndarray) -> float:
    """dBFS of the parts of a recording that are not silence."""
    powers = (speech[: len(speech) // 80 * 80].reshape(-1, 80) ** 2).mean(axis=1)
    return float(10 * np.log10(powers[powers > powers.max() / 1000].mean()))


def faulty(language: str, is_right: Callable[[str], bool]) -> list[str]:
    """The names of spoken prompts for which something does not hold."""
    return [name for name in sorted(prompts.texts(language)) if not is_right(name)]


@each_language
def test_every_prompt_of_the_lists_has_a_recording_of_its_present_text(language: str) -> None:
    folder = prompts.SHIPPED / language
    assert render.stale(folder, render.read_catalogue(folder)) == []


@each_language
def test_every_recording_is_in_a_list(language: str) -> None:
    listed = render.read_catalogue(prompts.SHIPPED / language)
    assert render.orphans(prompts.SHIPPED / language, listed) == []
    assert PromptBook(language).names() == listed.keys()
    assert [name for name in listed if not prompts.NAME.fullmatch(name)] == []


@each_language
def test_every_language_says_all_that_is_not_its_own_way_of_counting(language: str) -> None:
    assert everywhere(language) == everywhere("en")


def everywhere(language: str) -> set[str]:
    """Names that conversations may use: all but those of words.toml, which only `words` knows."""
    folder = prompts.SHIPPED / language
    own = prompts.read(folder / "words.toml")["speech"]
    return render.read_catalogue(folder).keys() - own.keys()


@each_language
def test_recordings_are_mu_law_with_right_sizes(language: str) -> None:
    def is_right(name: str) -> bool:
        data = (PromptBook(language).find(name) or Path()).read_bytes()
        length = int.from_bytes(data[54:58], "little")
        sizes = int.from_bytes(data[4:8], "little"), int.from_bytes(data[46:50], "little")
        right = sizes == (len(data) - 8, length) and 58 + length <= len(data) <= 58 + length + 1
        return right and data[12:46] == HEADER and data[50:54] == b"data"

    assert faulty(language, is_right) == []


@each_language
def test_speech_is_equally_loud_everywhere_and_never_near_clipping(language: str) -> None:
    def is_right(name: str) -> bool:
        speech = samples(language, name)
        return -24 < level(speech) < -17 and 10 ** (-12 / 20) < np.abs(speech).max() < 10 ** (-5.5 / 20)

    assert faulty(language, is_right) == []


@each_language
def test_speech_starts_soon_and_lasts_as_long_as_its_text(language: str) -> None:
    texts = prompts.texts(language)

    def is_right(name: str) -> bool:
        speech, text = samples(language, name), texts[name]
        heard = np.flatnonzero(np.abs(speech) > 0.01) / 8000
        soon = heard[0] < 0.1 and len(speech) / 8000 - heard[-1] < 0.3  # a faint "s"
        return bool(soon and 0.04 * len(text) < len(speech) / 8000 < 0.25 + 0.12 * len(text))

    assert faulty(language, is_right) == []


def test_the_tone_is_one_kilohertz() -> None:
    spectrum = np.abs(np.fft.rfft(samples("en", "tone")))
    assert len(samples("en", "tone")) == 3200
    assert int(spectrum.argmax()) * 8000 / 3200 == 1000


def test_the_second_of_silence_is_silent() -> None:
    assert np.abs(samples("en", "silence_1s")).max() < 0.001
    assert len(samples("en", "silence_1s")) == 8000


def test_the_music_for_who_waits_is_in_tune_and_quieter_than_speech() -> None:
    music = samples("en", "hold_music")
    assert len(music) / 8000 == pytest.approx(24 * 0.42, abs=0.05)
    first = np.abs(np.fft.rfft(music[:3360]))
    assert abs(int(first.argmax()) * 8000 / 3360 - render.pitch("d5")) < 5
    assert render.pitch("a4") == 440 and level(music) < -20
    assert np.abs(music).max() < 0.1


def test_a_missing_prompt_is_none_and_no_error() -> None:
    assert BOOK.find("no_such_prompt") is None
    assert BOOK.find("../en/tone") is None
    assert PromptBook("xx").find("tone") is None
    assert PromptBook(folder=Path("/nonexistent")).find("tone") == ENGLISH / "tone.wav"


def test_a_recording_in_the_folder_of_a_site_comes_first(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "welcome.wav"), "wb") as own:
        own.setparams((1, 2, 8000, 0, "NONE", ""))
        own.writeframes(bytes(16000))
    (tmp_path / "house_rules.wav").write_bytes((tmp_path / "welcome.wav").read_bytes())
    book = PromptBook(folder=tmp_path)
    assert book.find("welcome") == tmp_path / "welcome.wav"
    assert book.find("house_rules") == tmp_path / "house_rules.wav"
    assert book.find("goodbye") == ENGLISH / "goodbye.wav"


def test_a_recording_of_a_site_that_cannot_be_played_leaves_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "welcome.wav").write_bytes(b"rubbish")
    (tmp_path / "house_rules.wav").write_bytes(b"")
    book = PromptBook(folder=tmp_path, plays=plays)
    assert book.find("welcome") == ENGLISH / "welcome.wav"
    assert book.find("house_rules") is None


def test_a_changed_text_makes_its_recording_stale() -> None:
    changed = CATALOGUE | {"goodbye": render.Speech("Farewell."), "added": render.Speech("New.")}
    assert {"added", "goodbye"} <= {*render.stale(ENGLISH, changed)}


def test_a_removed_text_makes_its_recording_an_orphan() -> None:
    assert render.orphans(ENGLISH, {k: v for k, v in CATALOGUE.items() if k != "goodbye"}) == ["goodbye"]


def test_an_entry_may_tell_the_voice_other_words(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[tones]\n[speech]\nx = { text = "Dr.", say = "Doctor.", take = 3 }')
    assert render.read_catalogue(tmp_path) == {"x": render.Speech("Doctor.", 3)}


def test_a_name_in_two_lists_is_refused(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text('[speech]\nx = "X."')
    with pytest.raises(ValueError, match="in another list, too: x"):
        render.read_catalogue(tmp_path)
