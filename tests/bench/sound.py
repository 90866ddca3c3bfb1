"""Noise that can be recognised, and how much of it a recording holds.

Every 20 ms of each noise occur nowhere else, so a recorded frame tells which noise it is of, and which
part of it. mu-law goes through the mixer unchanged (but for its two zeros, which are not used).
"""

import random
from dataclasses import dataclass

from sip import wav

FRAME = 160
"""Bytes of 20 ms."""
RATE = 8000
ZEROS = bytes((0x7F, 0xFF))


def noise(seed: int, seconds: float) -> bytes:
    """mu-law samples, the same for the same seed."""
    swap = bytes.maketrans(ZEROS, b"\x20\xa0")
    return random.Random(seed).randbytes(int(seconds * RATE)).translate(swap)


def frames(data: bytes) -> list[bytes]:
    return [data[i : i + FRAME] for i in range(0, len(data) - FRAME + 1, FRAME)]


@dataclass(frozen=True, slots=True)
class Match:
    """How much of what was sent was kept."""

    sent: int
    bad: int
    """Frames lost, replaced, added or out of order."""
    off: float
    """Seconds by which the noise in the recording is longer than what was sent."""


def compare(recording: bytes, sent: bytes) -> Match:
    """Where a recording (a WAV file) holds what was sent. What is before and after it is not looked at."""
    wanted = frames(sent)
    where = {frame: index for index, frame in enumerate(wanted)}
    data = wav.parse(recording).data
    start = _begins(data, wanted)
    kept = [where.get(frame, -1) for frame in frames(data[start:])]
    known = [place for place, index in enumerate(kept) if index >= 0]
    if not known:
        return Match(len(wanted), len(wanted), -len(sent) / RATE)
    inside = kept[known[0] : known[-1] + 1]
    right, newest = 0, -1
    for index in inside:
        if index > newest:
            right, newest = right + 1, index
    bad = max(len(wanted) - right, len(inside) - right)
    return Match(len(wanted), bad, (len(inside) - len(wanted)) * FRAME / RATE)


def _begins(data: bytes, wanted: list[bytes]) -> int:
    """Where in the first frame of `data` the frames of the noise begin; 0 when none is found."""
    found = (data.find(frame) for frame in wanted[::10])
    return next((place % FRAME for place in found if place >= 0), 0)
