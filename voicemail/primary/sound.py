"""A recording as mails carry it: WAV for anything that plays, MP3 and Opus for less to carry. Pure: the same
recording always gives the same bytes."""

import io
from dataclasses import dataclass

import av
import numpy as np

from sip import wav
from sip.errors import BadSound
from voicemail.policy.devices import Attachment

RATE = 16_000
"""Of MP3: players exist that do not play its lower rates."""
BIT_EXACT = 0x800000
"""AV_CODEC_FLAG_BITEXACT: no version of the encoder, no random serial number in the file."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A file to attach: `audio/<subtype>`."""

    data: bytes
    subtype: str
    suffix: str


@dataclass(frozen=True, slots=True)
class _Form:
    container: str
    codec: str
    rate: int
    bits: int
    subtype: str
    suffix: str


FORMS = {
    Attachment.MP3: _Form("mp3", "libmp3lame", RATE, 32_000, "mpeg", "mp3"),
    Attachment.OPUS: _Form("ogg", "libopus", 8_000, 16_000, "ogg", "opus"),
}


def carried(audio: bytes, form: Attachment) -> Carried:
    """`audio` is a WAV file as stored (8 kHz mono). Takes some 3 ms a second of it. Raises BadSound."""
    whole = wav.to_pcm16(audio)
    if form is Attachment.WAV:
        return Carried(whole, "x-wav", "wav")
    samples = np.frombuffer(wav.parse(whole).data, "<i2")
    if not samples.size:
        raise BadSound("no audio in it")
    wanted = FORMS[form]
    try:
        return Carried(_encoded(samples, wanted), wanted.subtype, wanted.suffix)
    except av.FFmpegError as error:
        raise BadSound(f"cannot be encoded: {error}") from None


def _encoded(samples: "np.ndarray[tuple[int], np.dtype[np.int16]]", form: _Form) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=form.container, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(form.codec, rate=form.rate)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate, stream.layout = form.bits, "mono"
        stream.codec_context.flags |= BIT_EXACT
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = wav.RATE
        resampler = av.AudioResampler(stream.codec_context.format.name, "mono", form.rate)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            piece.pts = None
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return out.getvalue()
