"""Sound between mails and the store: in the store a WAV file of 8 kHz mono, in a mail whatever its sender
likes.

G.726 at 32 kbit/s (audio/32KADPCM, RFC 3802) packs its codes of four bits beginning with the low nibble
of each byte; FFmpeg calls that g726le. The other packing sounds like noise (1.5 dB) and cannot be told
from this one by looking. A container is told by its first bytes rather than by its media type, which mail
programs get wrong; only the formats below are ever opened, each by its name, so that no playlist and no
other file can be reached from a hostile one.
"""

import io
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from sip.errors import BadSound
from sip.wav import PCM, RATE, ULAW, Sound, file_pcm16, file_ulaw, parse, samples_pcm16, samples_ulaw
from voicemail.vpim.model import Codec, Unreadable

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler
    from av.container import InputContainer

LONGEST = 1800.0
"""Seconds of sound that are decoded unless something else is said."""

RAW = {
    "audio/32kadpcm": "g726le",
    "audio/g726-32": "g726le",
    "audio/basic": "mulaw",
    "audio/pcmu": "mulaw",
    "audio/pcma": "alaw",
}
"""Media types of sound without a header, and the format of it."""


class Mark(NamedTuple):
    """Bytes by which a format is told."""

    form: str
    """FFmpeg's name of it."""
    begins: tuple[bytes, ...]
    at: int = 0
    sure: bool = True
    """False: so short that a media type of sound without a header is believed instead."""


MARKS = (
    Mark("wav", (b"RIFF",)),
    Mark("ogg", (b"OggS",)),
    Mark("amr", (b"#!AMR",)),
    Mark("flac", (b"fLaC",)),
    Mark("au", (b".snd",)),
    Mark("matroska", (b"\x1aE\xdf\xa3",)),
    Mark("mp4", (b"ftyp",), at=4),
    Mark("mp3", (b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3"), sure=False),
    Mark("aac", (b"\xff\xf1", b"\xff\xf9"), sure=False),
)
RATED = {"g726le": {"code_size": "4", "sample_rate": "8000"}, "mulaw": {"sample_rate": "8000"}}
RATED["alaw"] = RATED["mulaw"]
BYTES_A_SECOND = {"g726le": RATE // 2, "mulaw": RATE, "alaw": RATE}
SUFFIXES = (
    ".wav", ".mp3", ".ogg", ".oga", ".opus", ".amr", ".m4a", ".mp4", ".3gp", ".aac", ".au", ".ulaw", ".726",
    ".flac", ".webm", ".weba", ".mka",
)  # fmt: skip
"""File names of sound."""
FIRST = 64 * 1024
"""Bytes of a WAV file in which its format is found: the whole is not copied for that."""
BY_SUFFIX = {".726": "audio/32kadpcm", ".ulaw": "audio/basic"}


@dataclass(frozen=True, slots=True)
class Encoded:
    """Sound as a mail carries it."""

    media: str
    suffix: str
    data: bytes = field(repr=False)
    seconds: float


def encoded(wav: bytes, codec: Codec) -> Encoded:
    """A WAV file of the store for a mail. Raises BadSound."""
    sound = parse(wav)
    match codec:
        case Codec.PCMU:
            return Encoded("Audio/Basic", ".ulaw", samples_ulaw(sound), sound.seconds)
        case Codec.WAV:
            return Encoded("Audio/X-Wav", ".wav", file_pcm16(samples_pcm16(sound)), sound.seconds)
        case _:
            data = g726_encoded(samples_pcm16(sound))
            return Encoded("Audio/32KADPCM", ".726", data, 2 * len(data) / RATE)


def g726_encoded(pcm: bytes) -> bytes:
    """PCM16 samples (8 kHz mono) as G.726-32, first sample in the low nibble; an odd last one is dropped
    (RFC 3802). Raises BadSound when nothing is left."""
    import av  # not before somebody wants it: every worker would carry it
    import numpy as np

    samples = np.frombuffer(pcm[: len(pcm) // 4 * 4], "<i2")
    if not samples.size:
        raise BadSound("no audio in it")
    coder = av.CodecContext.create("g726le", "w")
    coder.sample_rate, coder.layout, coder.format, coder.bit_rate = RATE, "mono", "s16", 32000
    coder.options = {"code_size": "4"}
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1).astype(np.int16), "s16", "mono")
    frame.sample_rate = RATE
    return b"".join(bytes(packet) for each in (frame, None) for packet in coder.encode(each))


def decoded(data: bytes, media: str, longest: float = LONGEST) -> bytes:
    """Any sound as a WAV file of mu-law, 8 kHz mono. `media` is the media type in lower case, `longest`
    in seconds.

    Raises Unreadable: 5.6.1 a format that we do not know, 5.6.0 damaged or empty, 5.2.3 longer than that
    (noticed while decoding, so that a small file of many hours costs nothing)."""
    if not data:
        raise Unreadable(f"no sound in a part of type {media}")
    form = form_of(data, media)
    if form is None:
        raise Unreadable(f"sound of type {media} is not supported", "5.6.1")
    if form in BYTES_A_SECOND:
        _bounded(len(data) / BYTES_A_SECOND[form], longest)
    samples = _known(data, form, longest)
    if samples is None:
        out = io.BytesIO()
        out.writelines(_blocks(data, form, longest))
        samples = out.getvalue()
    if not samples:
        raise Unreadable(f"no sound in a part of type {media}")
    return file_ulaw(samples)


def form_of(data: bytes, media: str) -> str | None:
    """FFmpeg's name of the format, None when it is none of ours."""
    trusted = (each for each in MARKS if each.sure or media not in RAW)
    told = (each.form for each in trusted if data.startswith(each.begins, each.at))
    return next(told, RAW.get(media))


def _known(data: bytes, form: str, longest: float) -> bytes | None:
    """Mu-law samples of what needs no decoder, None of everything else."""
    if form == "mulaw":
        return data
    try:
        if form != "wav" or parse(data[:FIRST]).tag != ULAW:
            return None
        sound = parse(data)
    except BadSound:
        return None
    _bounded(sound.seconds, longest)
    return sound.data


def _blocks(data: bytes, form: str, longest: float) -> Iterator[bytes]:
    """Mu-law samples of each second or so of what the decoder gives."""
    import av

    resampler, waiting, length = av.AudioResampler("s16", "mono", RATE), av.AudioFifo(), 0.0
    try:
        _weighed(data, form, longest)
        with _opened(data, form) as container:
            for frame in container.decode(audio=0):
                length += frame.samples / max(1, frame.sample_rate)
                _bounded(length, longest)
                frame.pts = None
                waiting.write(frame)
                if waiting.samples >= frame.sample_rate:
                    yield from _resampled(resampler, waiting.read())
            yield from _resampled(resampler, waiting.read())
            yield from _resampled(resampler, None)
    except (av.FFmpegError, ValueError, RuntimeError, MemoryError) as error:
        raise Unreadable(f"sound of format {form} cannot be decoded: {str(error)[:100]}") from None


def _weighed(data: bytes, form: str, longest: float) -> None:
    """Adds up what the packets say of their length, which costs a tenth of decoding them; not all do."""
    length = 0.0
    with _opened(data, form) as container:
        for packet in container.demux(audio=0):
            length += float((packet.duration or 0) * packet.time_base) if packet.time_base else 0.0
            _bounded(length, longest + 1)


def _opened(data: bytes, form: str) -> "InputContainer":
    import av

    container = av.open(io.BytesIO(data), "r", form, options=dict(RATED.get(form, {})))
    if not container.streams.audio:
        container.close()
        raise Unreadable(f"no sound in a file of format {form}")
    if form in RATED:
        container.streams.audio[0].codec_context.layout = "mono"
    return container


def _resampled(resampler: "AudioResampler", frame: "AudioFrame | None") -> Iterator[bytes]:
    import numpy as np

    codes = np.frombuffer(_ulaw_codes(), np.uint8)
    for each in resampler.resample(frame):
        yield codes[each.to_ndarray().reshape(-1).view(np.uint16)].tobytes()


@lru_cache(maxsize=1)
def _ulaw_codes() -> bytes:
    """The mu-law code of each 16-bit sample, by its unsigned form."""
    return samples_ulaw(Sound(PCM, array("H", range(65536)).tobytes(), True))


def _bounded(seconds: float, longest: float) -> None:
    if seconds > longest:
        raise Unreadable(f"more than {longest:.0f} seconds of sound", "5.2.3")
