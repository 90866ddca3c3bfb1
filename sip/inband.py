"""Keys as tones in the audio (ITU-T Q.23, Q.24), for telephones that agreed on no telephone events. Pure.

A window of 26 ms is looked at every 13 ms. It holds a key when one tone of each group makes up nearly all of
its power, and neither is much louder than the other: speech and music hardly ever do so for long. A key
counts once two windows in a row hold it, which takes a tone of 40 ms, as Q.24 asks; and again only after
four windows in a row without it, a pause of 40 ms, so that a short drop does not double it.
"""

import numpy as np
from numpy.typing import NDArray

from sip.wav import RATE

LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")
WINDOW, STEP = 205, 102
"""Samples."""
QUIETEST = 200.0
"""Root mean square below which nothing is a key: -44 dBFS."""
PURE = 0.85
"""Part of the power that is the two tones'."""
TWIST = 6.3
"""How many times the power of one tone may be the other's: 8 dB."""
FLOOD = RATE
"""Samples kept at most of what comes in one go."""
BEGINS, ENDS = 2, 4
"""Windows in a row that begin a key, or end it."""
OFF = (0.988, 1.0, 1.012)
"""Telephones may be so far off the frequencies, and a bit more."""

_TURNS = np.outer([hertz * off for hertz in (*LOW, *HIGH) for off in OFF], np.arange(WINDOW)) / RATE
_WAVES = np.exp(-2j * np.pi * _TURNS)


class Inband:
    """The tones of one caller."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.int16)
        self._last, self._alike, self._held = "", 0, ""

    def feed(self, pcm: bytes) -> str:
        """Keys that have come to count with these samples (PCM16, 8 kHz, little-endian), in order."""
        samples = np.concatenate((self._rest, np.frombuffer(pcm[: len(pcm) & ~1], "<i2")))[-FLOOD:]
        pressed, start = "", 0
        while start + WINDOW <= len(samples):
            pressed += self._seen(key_in(samples[start : start + WINDOW]))
            start += STEP
        self._rest = samples[start:]
        return pressed

    def _seen(self, key: str) -> str:
        self._alike = self._alike + 1 if key == self._last else 1
        self._last = key
        if self._alike < (BEGINS if key else ENDS) or key == self._held:
            return ""
        self._held = key
        return key


def key_in(window: NDArray[np.int16]) -> str:
    """The key whose tones these samples are; "" for none."""
    plain = window.astype(np.float64)
    power = float(plain @ plain)
    if power < WINDOW * QUIETEST**2:
        return ""
    tones = (np.abs(_WAVES @ plain) ** 2).reshape(8, len(OFF)).max(axis=1)
    row, column = int(tones[:4].argmax()), int(tones[4:].argmax())
    low, high = float(tones[row]), float(tones[4 + column])
    pure = (low + high) * 2 / WINDOW >= PURE * power
    even = low <= TWIST * high and high <= TWIST * low
    return KEYS[row][column] if pure and even else ""
