"""Keys as tones in the audio."""

import numpy as np
import pytest

from sip.inband import HIGH, KEYS, LOW, Inband, hear
from sip.wav import RATE

ALL = "".join(KEYS)


def tone(key: str, seconds: float, level: float = 0.25, twist: float = 1.0, off: float = 0.0) -> np.ndarray:
    """Of one key; `level` of full scale for each tone, `off` as a part of the frequencies."""
    row = next(number for number, keys in enumerate(KEYS) if key in keys)
    when = np.arange(round(seconds * RATE)) / RATE * (1 + off) * 2 * np.pi
    low, high = np.sin(when * LOW[row]), np.sin(when * HIGH[KEYS[row].index(key)])
    return 32767 * level * (low + high * twist)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))


def noisy(*pieces: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """PCM16."""
    random = np.random.default_rng(7)
    whole = np.concatenate(pieces)
    whole = whole + random.normal(0, 32767 * noise, len(whole))
    return whole.clip(-32768, 32767).astype(np.int16)


class Said:
    """What one caller says, as it comes into a ring."""

    def __init__(self, sound: np.ndarray, before: int = 0, ring: int = 8000) -> None:
        """`before` samples were somebody else's."""
        self.sound, self.ring, self.written = sound, np.zeros(ring, np.int16), before
        self.ear = Inband(self.ring, before)

    def come(self, samples: int) -> tuple[Inband, int]:
        piece, self.sound = self.sound[:samples], self.sound[samples:]
        self.ring[np.arange(self.written, self.written + len(piece)) % len(self.ring)] = piece
        self.written += len(piece)
        return self.ear, self.written


def heard(*pieces: np.ndarray, noise: float = 0.0, chunk: int = 800, before: int = 0) -> str:
    said, keys = Said(noisy(*pieces, noise=noise), before), ""
    while len(said.sound):
        keys += hear([said.come(chunk)])[0]
    return keys


@pytest.mark.parametrize("key", ALL)
def test_each_key_is_heard_once_however_long_it_is_held(key: str) -> None:
    for seconds in (0.05, 0.1, 2.0):
        assert heard(silence(0.1), tone(key, seconds), silence(0.1)) == key


def test_keys_one_after_the_other_are_all_heard_in_whatever_pieces_they_come() -> None:
    pieces = [piece for key in "11234*#" for piece in (tone(key, 0.05), silence(0.04))]
    for chunk in (1, 80, 160, 800, 3000):
        assert heard(*pieces, chunk=chunk) == "11234*#"
    for before in (7000, 7900, 7999, 8000, 123456):
        assert heard(*pieces, before=before) == "11234*#"


def test_a_key_that_follows_at_once_is_another_one() -> None:
    assert heard(tone("1", 0.1), tone("2", 0.1)) == "12"


def test_a_short_drop_does_not_double_a_key() -> None:
    assert heard(tone("5", 0.1), silence(0.008), tone("5", 0.1)) == "5"


@pytest.mark.parametrize(
    "changes", [{"level": 0.02}, {"twist": 0.45}, {"twist": 2.2}, {"off": 0.015}, {"off": -0.015}]
)
def test_tones_as_lines_change_them_are_heard(changes: dict[str, float]) -> None:
    assert heard(tone("7", 0.08, **changes)) == "7"


def test_tones_in_some_noise_are_heard() -> None:
    assert heard(tone("9", 0.1), silence(0.1), tone("0", 0.1), noise=0.03) == "90"


@pytest.mark.parametrize(
    "sound",
    [
        silence(0.5),
        tone("5", 0.02),
        tone("5", 0.1, level=0.003),
        tone("5", 0.1, twist=0.2),
        tone("5", 0.1, off=0.05),
        32767 * 0.3 * np.sin(np.arange(4000) * 2 * np.pi * 697 / RATE),
        tone("1", 0.3) + tone("9", 0.3),
        np.random.default_rng(1).normal(0, 6000, RATE),
    ],
)
def test_what_is_no_key_is_none(sound: np.ndarray) -> None:
    assert heard(sound) == ""


def test_prompts_that_are_spoken_are_no_keys() -> None:
    from sip import wav
    from voicemail.prompts import SHIPPED

    spoken = sorted((SHIPPED / "en").glob("*_menu.wav"))
    assert len(spoken) > 20
    for path in spoken:
        sound = np.frombuffer(wav.samples_pcm16(wav.read(path)), "<i2")
        assert heard(sound) == "", path.name


def test_callers_are_heard_apart() -> None:
    pieces = [[piece for key in keys for piece in (tone(key, 0.06), silence(0.06))] for keys in ("159", "0#")]
    said = [Said(noisy(*each)) for each in (*pieces, [silence(1.0)])]
    keys = ["", "", ""]
    while any(len(each.sound) for each in said):
        new = hear([each.come(at) for each, at in zip(said, (800, 790, 810), strict=True)])
        keys = [old + more for old, more in zip(keys, new, strict=True)]
    assert keys == ["159", "0#", ""]


def test_what_came_before_is_somebody_else_s() -> None:
    said = Said(noisy(tone("5", 0.5)))
    _, written = said.come(4000)
    assert hear([(Inband(said.ring, written), written)]) == [""]


def test_after_a_long_time_without_a_look_the_latest_are_heard() -> None:
    pieces = [tone("1", 0.1), silence(0.1), tone("2", 0.1), silence(0.9), tone("3", 0.1), silence(0.1)]
    assert heard(*pieces, chunk=sum(map(len, pieces))) == "3"


def test_nothing_new_is_no_error() -> None:
    said = Said(noisy(silence(0.01)))
    assert hear([said.come(0)]) == hear([said.come(80)]) == [""]
