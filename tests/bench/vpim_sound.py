"""What a message loses on its way through VPIM, stage by stage: signal to noise ratio, in decibels.

    .venv/bin/python tests/bench/vpim_sound.py --prompts 20

The longest prompts of each language are sent as the store has them (mu-law) and compared with what the
other side has. Beside our encoder: one written from ITU-T G.726, and one that takes that of the 16 codes
which comes nearest to the sample. It prints figures and judges none.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from sip.wav import PCM, Sound, file_pcm16, parse, samples_pcm16, samples_ulaw
from tests.fakes.g726 import State, decode
from tests.fakes.vpim_recordings import snr
from voicemail.vpim.model import Codec
from voicemail.vpim.sound import decoded, encoded, g726_encoded

LEVELS = (-124, 80, 178, 246, 300, 349, 400)
"""Decision levels of the quantiser at 32 kbit/s (ITU-T G.726, table 8)."""
FEW = 6
"""Prompts for what takes long."""


def by_the_book(pcm: bytes) -> bytes:
    """G.726-32, low nibble first, by the standard's own decision levels."""
    state = State()
    return packed(state_codes(state, pcm, quantised))


def nearest(pcm: bytes) -> bytes:
    """The same with the code that comes nearest."""
    return packed(state_codes(State(), pcm, closest))


def state_codes(state: State, pcm: bytes, choose: Callable[[State, int], int]) -> Iterator[int]:
    for wanted in np.frombuffer(pcm, "<i2").tolist():
        code = choose(state, wanted)
        state.sample(code)
        yield code


def quantised(state: State, wanted: int) -> int:
    sez = sum(state.fmult(b >> 2, dq) for b, dq in zip(state.b, state.dq, strict=True))
    se = (sez + sum(state.fmult(a >> 2, sr) for a, sr in zip(state.a, state.sr, strict=True))) >> 1
    d = (wanted >> 2) - se
    exponent = max(0, abs(d).bit_length() - 1)
    log = (exponent << 7) + (((abs(d) << 7) >> exponent) & 127) - (state.scale() >> 2)
    magnitude = sum(log >= level for level in LEVELS)
    return magnitude if d >= 0 and magnitude else 15 - magnitude


def closest(state: State, wanted: int) -> int:
    return min(range(16), key=lambda code: abs(deepcopy(state).sample(code) - wanted))


def packed(codes: Iterator[int]) -> bytes:
    all_of_them = list(codes)
    return bytes(low | high << 4 for low, high in zip(all_of_them[::2], all_of_them[1::2], strict=False))


def heard(data: bytes) -> bytes:
    """By the decoder that shares nothing with ours."""
    return np.array(decode(data), "<i2").tobytes()


def by_ffmpeg(pcm: bytes) -> bytes:
    command = ["ffmpeg", "-v", "error", "-i", "-", "-c:a", "g726le", "-b:a", "32k", "-f", "g726le", "-"]
    return subprocess.run(command, input=file_pcm16(pcm), capture_output=True, check=True).stdout


def louder(pcm: bytes, factor: float) -> bytes:
    scaled = np.frombuffer(pcm, "<i2").astype(float) * factor
    return np.clip(np.round(scaled), -32768, 32767).astype("<i2").tobytes()


def samples(wav: bytes) -> bytes:
    return samples_pcm16(parse(wav))


def level(pcm: bytes) -> float:
    """Decibels below full scale, of the mean power."""
    values = np.frombuffer(pcm, "<i2").astype(float)
    return float(10 * np.log10((values**2).mean() / 32768**2))


def longest(language: str, count: int) -> list[bytes]:
    """WAV files, longest first."""
    files = sorted(Path("voicemail/prompts", language).glob("*.wav"), key=lambda path: -path.stat().st_size)
    return [path.read_bytes() for path in files[:count]]


def show(what: str, values: list[float]) -> None:
    print(f"{what:<58} {min(values):5.1f} {statistics.median(values):5.1f} {max(values):5.1f}", flush=True)


def main(count: int) -> None:
    prompts = [wav for language in ("en", "de") for wav in longest(language, count // 2)]
    sent = [samples(wav) for wav in prompts]
    ours = [g726_encoded(pcm) for pcm in sent]
    back = [decoded(encoded(wav, Codec.G726).data, "audio/32kadpcm") for wav in prompts]
    pieces = [pcm[: 2 * 16000] for pcm in sent[:: max(1, count // FEW)]]
    print(f"{len(prompts)} prompts{'':<46}   least  mid  most")
    show("level, dB below full scale", [level(pcm) for pcm in sent])
    again = [samples_pcm16(parse_ulaw(louder(pcm, 0.97))) for pcm in sent]
    show("mu-law alone", [snr(louder(pcm, 0.97), got) for pcm, got in zip(sent, again, strict=True)])
    show("mu-law to mu-law by way of our G.726 (a message)", ratios(sent, map(samples, back)))
    show("our G.726, decoded by ITU-T's book, no mu-law behind", ratios(sent, map(heard, ours)))
    show("ffmpeg's program instead of our encoder", ratios(sent, (heard(by_ffmpeg(pcm)) for pcm in sent)))
    print(f"two seconds of {len(pieces)} of them")
    show("our G.726", ratios(pieces, (heard(g726_encoded(pcm)) for pcm in pieces)))
    show("an encoder by ITU-T's book", ratios(pieces, (heard(by_the_book(pcm)) for pcm in pieces)))
    show("the nearest of the 16 codes, always", ratios(pieces, (heard(nearest(pcm)) for pcm in pieces)))
    for decibels in (-12, -6, 6):
        moved = [louder(pcm, 10 ** (decibels / 20)) for pcm in pieces]
        values = ratios(moved, (heard(g726_encoded(pcm)) for pcm in moved))
        show(f"our G.726 at {decibels:+d} dB", values)


def parse_ulaw(pcm: bytes) -> Sound:
    """After mu-law."""
    return Sound(7, samples_ulaw(Sound(PCM, pcm, True)), True)


def ratios(sent: list[bytes], got: "Iterator[bytes] | map[bytes]") -> list[float]:
    return [snr(one, other) for one, other in zip(sent, got, strict=True)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--prompts", type=int, default=20)
    main(parser.parse_args().prompts)
