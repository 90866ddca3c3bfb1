"""What a caller hears while we ring somebody, and in place of words that are missing."""

import math
import os
import tempfile
from array import array
from pathlib import Path

from sip import wav

RING_HZ, RINGS, CYCLE = 425, 1.0, 5.0
"""One second of tone in five, as most networks have it (ITU-T E.180 supplement 2)."""
MISSING_HZ, MISSING = 660, 0.15
LOUDNESS = 3000


def ringing(folder: Path) -> Path:
    """One cycle of ringing tone, made on first use. Raises OSError."""
    return _made(folder / "ringing.wav", RING_HZ, RINGS, CYCLE)


def missing(folder: Path) -> Path:
    """A short tone: somebody is there, and something should have been said. Made on first use. Raises
    OSError."""
    return _made(folder / "missing.wav", MISSING_HZ, MISSING, 2 * MISSING)


def _made(path: Path, hertz: float, sounds: float, seconds: float) -> Path:
    if not path.exists():
        handle, name = tempfile.mkstemp(".part", f"{path.stem}-", path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(wav.file_pcm16(_samples(hertz, sounds, seconds)))
        Path(name).rename(path)
    return path


def _samples(hertz: float, sounds: float, seconds: float) -> bytes:
    step = 2 * math.pi * hertz / wav.RATE
    tone = (int(LOUDNESS * math.sin(step * n)) for n in range(int(sounds * wav.RATE)))
    return array("h", [*tone, *[0] * int((seconds - sounds) * wav.RATE)]).tobytes()
