"""WAV files: what the recorder leaves behind, and what the player can take. No I/O beyond one file.

Everything is 8 kHz mono. Three encodings are read (PCM16, A-law, mu-law); mu-law and PCM16 are
written. The recorder's own files have a header of 56 bytes (RIFF, fmt, fact, data).
"""

import os
import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sip.errors import BadSound

RATE = 8000
HEADER = 56
"""Bytes before the audio in a file of the recorder and in those made here."""
PCM, ALAW, ULAW, EXTENSIBLE = 1, 6, 7, 0xFFFE
PLAYABLE = 800
"""Samples below which a file is joined with silence first: the player asserts that its buffer holds
a packet (160 samples), and aborts the process where it does not."""
SILENCE = b"\xff"


@dataclass(frozen=True, slots=True)
class Sound:
    """The audio of a WAV file: `tag` is the encoding, `data` whole samples."""

    tag: int
    data: bytes
    plain: bool
    """Whether the library can play the file as it stands."""

    @property
    def samples(self) -> int:
        return len(self.data) // (2 if self.tag == PCM else 1)

    @property
    def seconds(self) -> float:
        return self.samples / RATE


def parse(data: bytes) -> Sound:
    """Reads a WAV file. A data chunk that is cut short gives what there is. Raises BadSound."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise BadSound("not a WAV file" if data else "an empty file")
    tag, position, plain = 0, 12, True
    while position + 8 <= len(data):
        name, size = (
            data[position : position + 4],
            int.from_bytes(data[position + 4 : position + 8], "little"),
        )
        body = position + 8
        if name == b"fmt ":
            tag, plain = _format(data[body : body + size])
        elif name == b"data":
            return _audio(tag, data, body, size, plain)
        position = body + size + size % 2
    raise BadSound("no audio in it")


def _format(fmt: bytes) -> tuple[int, bool]:
    if len(fmt) < 16:
        raise BadSound("its format is cut short")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", fmt[:16])
    plain = tag != EXTENSIBLE
    if not plain and len(fmt) >= 26:
        tag = int.from_bytes(fmt[24:26], "little")
    if (tag, bits) not in ((PCM, 16), (ALAW, 8), (ULAW, 8)) or (channels, rate) != (1, RATE):
        raise BadSound(f"encoding {tag}, {bits} bits, {channels} channels, {rate} Hz")
    return tag, plain


def _audio(tag: int, data: bytes, start: int, size: int, plain: bool) -> Sound:
    if not tag:
        raise BadSound("audio before its format")
    audio = data[start : start + size] if size else data[start:]
    if tag == PCM and len(audio) % 2:
        audio, plain = audio[:-1], False
    if not audio:
        raise BadSound("no audio in it")
    sound = Sound(tag, audio, plain and len(audio) == size)
    return sound if sound.samples >= PLAYABLE else Sound(tag, audio, False)


def read(path: Path) -> Sound:
    """The audio of a file. Raises BadSound, also when it cannot be read."""
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise BadSound(error.strerror or "cannot be read") from None


def is_sound(data: bytes) -> bool:
    """Whether there is anything to play in these bytes."""
    try:
        return parse(data).samples > 0
    except BadSound:
        return False


def plain(path: Path) -> bool:
    """Whether the player may open this file as it stands. It aborts the process on some others."""
    try:
        return read(path).plain
    except BadSound:
        return False


# ---- files of the recorder


def closed(path: Path) -> bool:
    """Whether the sizes in the header are right: the recorder writes them last, some ms after it
    was dropped, in another thread."""
    with open(path, "rb") as file:
        header = file.read(HEADER)
        size = os.fstat(file.fileno()).st_size
    return len(header) == HEADER and int.from_bytes(header[52:], "little") == size - HEADER


def repair(path: Path) -> bool:
    """Set the sizes in the header of a recording that a crash left behind, and fsync it. False when
    it is no file of the recorder or holds no audio. Harmless on a complete file."""
    with open(path, "r+b") as file:
        header = file.read(HEADER)
        size = os.fstat(file.fileno()).st_size
        if len(header) < HEADER or header[:4] != b"RIFF" or header[48:52] != b"data" or size == HEADER:
            return False
        for offset, value in ((4, size - 8), (44, size - HEADER), (52, size - HEADER)):
            file.seek(offset)
            file.write(value.to_bytes(4, "little"))
        file.flush()
        os.fsync(file.fileno())
    return True


def seconds(path: Path) -> float:
    """The length of a file; 0 when there is nothing to play in it."""
    try:
        return read(path).seconds
    except BadSound:
        return 0.0


# ---- encodings


def _ulaw_value(code: int) -> int:
    """ITU-T G.711, mu-law, to 16 bits."""
    code = ~code & 0xFF
    value = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -value if code & 0x80 else value


def _alaw_value(code: int) -> int:
    """ITU-T G.711, A-law, to 16 bits."""
    code ^= 0x55
    exponent, value = code >> 4 & 7, (code & 0x0F) << 4
    value = value + 8 if not exponent else (value + 0x108) << exponent - 1
    return value if code & 0x80 else -value


ULAW_VALUES = tuple(_ulaw_value(code) for code in range(256))
ALAW_VALUES = tuple(_alaw_value(code) for code in range(256))


@lru_cache(maxsize=2)
def _halves(tag: int) -> tuple[bytes, bytes]:
    values = ULAW_VALUES if tag == ULAW else ALAW_VALUES
    return bytes(value & 0xFF for value in values), bytes(value >> 8 & 0xFF for value in values)


@lru_cache(maxsize=1)
def _nearest_ulaw() -> bytes:
    """The mu-law code of each 16-bit value, indexed by its unsigned form."""
    codes = sorted((value, code) for code, value in enumerate(ULAW_VALUES) if code != 0x7F)
    table, at = bytearray(65536), 0
    for value in range(-32768, 32768):
        while at + 1 < len(codes) and abs(codes[at + 1][0] - value) < abs(codes[at][0] - value):
            at += 1
        table[value & 0xFFFF] = codes[at][1]
    return bytes(table)


def samples_pcm16(sound: Sound) -> bytes:
    """Little-endian PCM16 samples."""
    if sound.tag == PCM:
        return sound.data
    low, high = _halves(sound.tag)
    pcm = bytearray(2 * len(sound.data))
    pcm[0::2], pcm[1::2] = sound.data.translate(low), sound.data.translate(high)
    return bytes(pcm)


def samples_ulaw(sound: Sound) -> bytes:
    """Mu-law samples."""
    if sound.tag == ULAW:
        return sound.data
    table = _nearest_ulaw()
    return bytes(map(table.__getitem__, array("H", samples_pcm16(sound))))


def file_pcm16(samples: bytes) -> bytes:
    """A WAV file of PCM16 samples."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, RATE, 2 * RATE, 2, 16)
    return _file(fmt, samples)


def file_ulaw(samples: bytes) -> bytes:
    """A WAV file of mu-law samples, laid out as the recorder does."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, ULAW, 1, RATE, RATE, 1, 8)
    return _file(fmt + struct.pack("<4sII", b"fact", 4, len(samples)), samples)


def _file(chunks: bytes, samples: bytes) -> bytes:
    pad = b"\0" * (len(samples) % 2)
    size = 4 + len(chunks) + 8 + len(samples) + len(pad)
    head = struct.pack("<4sI4s", b"RIFF", size, b"WAVE")
    return head + chunks + struct.pack("<4sI", b"data", len(samples)) + samples + pad


def to_pcm16(data: bytes) -> bytes:
    """Any WAV file that we read, as PCM16, which every mail program plays. Raises BadSound."""
    return file_pcm16(samples_pcm16(parse(data)))


def join(sounds: Iterable[Sound]) -> bytes:
    """One mu-law file of several sounds without gaps, long enough for the player."""
    samples = b"".join(samples_ulaw(sound) for sound in sounds)
    return file_ulaw(samples.ljust(PLAYABLE, SILENCE))
