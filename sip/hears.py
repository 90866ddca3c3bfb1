"""Does this recording contain that prompt, and when? For tests and tours."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sip import wav
from sip.errors import BadSound

ALIKE = 0.6
"""Correlation from which a prompt counts as heard; mu-law and a change of gain leave it above 0.9."""
EDGE = 0.3
"""Seconds by which a prompt may stick out of the recording at either end (a late start, a jitter
buffer that was lost with the hang-up), up to a quarter of it."""
QUIET = 20.0
"""Where a stretch of the recording is quieter than this (RMS, of 32768), nothing is heard."""

Samples = NDArray[np.float64]


def samples(path: Path) -> Samples:
    """A WAV file as numbers. Raises BadSound."""
    return np.frombuffer(wav.samples_pcm16(wav.read(path)), "<i2").astype(np.float64)


def hears(recording: Path, prompt: Path, known: float = 0.0) -> float | None:
    """The second at which `prompt` begins in `recording`, where it fits best; None when it is not
    there. Slightly below 0 when its first words were missed. It is known not to be in the first `known`
    seconds. Raises BadSound when either cannot be read or the prompt is silent."""
    wanted = samples(prompt)
    if not wanted.any():
        raise BadSound(f"{prompt} is silent")
    skipped = max(0, int((known - EDGE) * wav.RATE) - len(wanted))
    found = find(samples(recording)[skipped:], wanted)
    return None if found is None else found + skipped / wav.RATE


def find(heard: Samples, wanted: Samples) -> float | None:
    """Normalised cross-correlation: independent of gain."""
    edge = min(int(EDGE * wav.RATE), len(wanted) // 4)
    heard = np.pad(heard, edge)
    if len(heard) < len(wanted):
        return None
    size = 1 << (len(heard) + len(wanted) - 1).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    matches = np.fft.irfft(spectrum, size)[: len(heard) - len(wanted) + 1]
    energy = np.cumsum(np.concatenate(([0.0], heard**2)))
    power = energy[len(wanted) :] - energy[: len(energy) - len(wanted)]
    floor = QUIET**2 * len(wanted)
    # By `sum`: `@` would wake the threads of BLAS, which spin for longer than this takes.
    scores = matches / np.sqrt(np.maximum(power, floor) * np.square(wanted).sum())
    best = int(np.argmax(scores))
    return (best - edge) / wav.RATE if scores[best] >= ALIKE else None
