"""Keys as tones in the audio (ITU-T Q.23, Q.24), for telephones that agreed on no telephone events. Pure.

A window of 26 ms is looked at for every 13 ms. It holds a key when one tone of each group makes up nearly all
of its power, and neither is much louder than the other: speech and music hardly ever do so for long. A key
counts once two windows in a row hold it, which takes a tone of 40 ms, as Q.24 asks; and again only after
four windows in a row without it, a pause of 40 ms, so that a short drop does not double it.

What costs is not the arithmetic but to come to it: a process that sleeps in between finds its caches cold,
and pays for each different step rather than for each number. So there are few steps, for all callers and
windows at once. And none by BLAS (`@`, dot): its threads share even such small work, and wait for more of it
by spinning, which was 90 % of what this cost once.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

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
BEGINS, ENDS = 2, 4
"""Windows in a row that begin a key, or end it."""
OFF = (0.988, 1.0, 1.012)
"""Telephones may be so far off the frequencies, and a bit more."""

_TURNS = 2 * np.pi / RATE * np.outer([hertz * off for hertz in (*LOW, *HIGH) for off in OFF], range(WINDOW))
_WAVES = np.stack((np.cos(_TURNS), np.sin(_TURNS)), 1).reshape(-1, WINDOW).astype(np.float32)
_LEAST = WINDOW * QUIETEST**2
"""Power of a window, summed up, below which nothing is a key."""


class Inband:
    """The tones of one caller."""

    def __init__(self, ring: NDArray[np.int16], written: int = 0) -> None:
        """The caller's samples (8 kHz) come into `ring`, from its beginning again when its end is reached.
        Those `written` already, in all, are somebody else's."""
        self._ring, self._next = ring, written
        self._last, self._alike, self._held = "", 0, ""

    def windows(self, written: int) -> NDArray[np.int16]:
        """Those that have become complete, now that so many samples were written in all. Where nobody looked
        for so long that they are being overwritten, the oldest are left out."""
        ring = self._ring
        self._next = max(self._next, written - len(ring) * 3 // 4)
        start, many = self._next % len(ring), max(0, (written - self._next - WINDOW) // STEP + 1)
        self._next += many * STEP
        if start + WINDOW + many * STEP > len(ring):
            ring, start = np.concatenate((ring[start:], ring[:start])), 0
        return np.ndarray((many, WINDOW), np.int16, ring, 2 * start, (2 * STEP, 2))

    def pressed(self, keys: Iterable[str]) -> str:
        """Keys that have come to count with what the next windows hold, in order."""
        return "".join(map(self._seen, keys))

    def _seen(self, key: str) -> str:
        self._alike = self._alike + 1 if key == self._last else 1
        self._last = key
        if self._alike < (BEGINS if key else ENDS) or key == self._held:
            return ""
        self._held = key
        return key


def hear(callers: Sequence[tuple[Inband, int]]) -> list[str]:
    """What each (one at least) has pressed since the last time, of whom so much was written in all."""
    new = [caller.windows(written) for caller, written in callers]
    keys = iter(keys_in(np.concatenate(new, dtype=np.float32)))
    return [caller.pressed(islice(keys, len(its))) for (caller, _), its in zip(callers, new, strict=True)]


def keys_in(windows: NDArray[np.float32]) -> list[str]:
    """The key whose tones each of these windows (rows) is; "" for none."""
    power = np.einsum("wk,wk->w", windows, windows).tolist()
    if max(power, default=0.0) < _LEAST:
        return [""] * len(power)
    waves = np.einsum("wk,tk->wt", windows, _WAVES).reshape(len(windows), -1, 2)
    tones = np.einsum("wtc,wtc->wt", waves, waves).tolist()
    return [_key(*each) if _may_be_key(*each) else "" for each in zip(tones, power, strict=True)]


def _may_be_key(tones: list[float], power: float) -> bool:
    """Nearly always False: the louder of two tones that make up a key has half of their power."""
    return power >= _LEAST and max(tones) * 4 / WINDOW >= PURE * power


def _key(tones: list[float], power: float) -> str:
    best = [max(tones[at : at + len(OFF)]) for at in range(0, len(tones), len(OFF))]
    low, high = max(best[:4]), max(best[4:])
    pure = (low + high) * 2 / WINDOW >= PURE * power
    even = low <= TWIST * high and high <= TWIST * low
    return KEYS[best[:4].index(low)][best[4:].index(high)] if pure and even else ""
