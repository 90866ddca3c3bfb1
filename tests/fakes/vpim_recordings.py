"""Speech, and recordings of it as mail programs attach them."""

import io
import math
from functools import cache
from pathlib import Path

import av
import numpy as np

from sip.wav import parse, samples_pcm16

PROMPTS = Path("voicemail/prompts/en")


@cache
def speech(seconds: float = 2.0) -> bytes:
    """PCM16 of a prompt."""
    return samples_pcm16(parse((PROMPTS / "address_menu.wav").read_bytes()))[: int(16000 * seconds)]


@cache
def recording(container: str, codec: str, rate: int, layout: str = "mono") -> bytes:
    """What a mail program would attach."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = layout
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.frombuffer(speech(), "<i2").reshape(1, -1), "s16", "mono")
        frame.sample_rate = 8000
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(each))
        out.mux(stream.encode(None))
    return file.getvalue()


RECORDINGS = {
    "wav": ("wav", "pcm_s16le", 44100, "stereo"),
    "mp3": ("mp3", "libmp3lame", 44100, "stereo"),
    "opus": ("ogg", "libopus", 48000, "mono"),
    "webm": ("webm", "libopus", 48000, "mono"),
    "amr": ("amr", "libopencore_amrnb", 8000, "mono"),
    "m4a": ("ipod", "aac", 16000, "mono"),
    "au": ("au", "pcm_mulaw", 8000, "mono"),
    "flac": ("flac", "flac", 8000, "mono"),
}


def snr(sent: bytes, got: bytes) -> float:
    """Decibels."""
    length = min(len(sent), len(got)) // 2
    a = np.frombuffer(sent, "<i2")[:length].astype(float)
    b = np.frombuffer(got, "<i2")[:length].astype(float)
    return math.inf if (a == b).all() else float(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()))
