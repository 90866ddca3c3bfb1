"""What a caller hears while we ring somebody."""

import math
import os
import tempfile
from array import array
from pathlib import Path

from sip import wav

RING_HZ, RINGS, CYCLE = 425, 1.0, 5.0
"""One second of tone in five, as most networks have it (ITU-T E.180 supplement 2)."""
LOUDNESS = 3000


def ringing(folder: Path) -> Path:
    """One cycle of ringing tone, made on first use. Raises OSError."""
    path = folder / "ringing.wav"
    if not path.exists():
        handle, name = tempfile.mkstemp(".part", "ringing-", folder)
        with os.fdopen(handle, "wb") as file:
            file.write(wav.file_pcm16(_samples()))
        Path(name).rename(path)
    return path


def _samples() -> bytes:
    step = 2 * math.pi * RING_HZ / wav.RATE
    tone = (int(LOUDNESS * math.sin(step * n)) for n in range(int(RINGS * wav.RATE)))
    return array("h", [*tone, *[0] * int((CYCLE - RINGS) * wav.RATE)]).tobytes()
