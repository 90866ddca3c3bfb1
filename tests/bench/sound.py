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
REACH = 2 * RATE
"""Bytes in which the next frame is looked for."""
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
    """Where a recording (a WAV file) holds what was sent. What is before and after it is not looked at.

    The jitter buffer may add and drop samples between two frames, after which all that follows is
    shifted: so the next frame is looked for at any place."""
    wanted, data = frames(sent), wav.parse(recording).data
    right = gaps = newest = end = 0
    start = None
    for index, frame in enumerate(wanted):
        place = data.find(frame, end, end + REACH)
        if place < 0:
            continue
        if start is None:
            start = place - index * FRAME
        else:
            gaps += max(-(-(place - end) // FRAME), index - newest - 1)
        right, newest, end = right + 1, index, place + FRAME
    if start is None:
        return Match(len(wanted), len(wanted), -len(sent) / RATE)
    return Match(len(wanted), max(gaps, len(wanted) - right), (end - start - len(sent)) / RATE)
