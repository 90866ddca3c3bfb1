import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip import wav
from sip.errors import BadSound

SPEECH = bytes(range(256)) * 8


def wav_of(tag: int, bits: int, data: bytes, rate: int = 8000, channels: int = 1) -> bytes:
    block = channels * bits // 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, rate * block, block, bits)
    chunks = fmt + struct.pack("<4sI", b"data", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def left_by_a_crash(path: Path, samples: bytes) -> None:
    data = bytearray(wav.file_ulaw(samples))
    for offset in (4, 44, 52):
        data[offset : offset + 4] = bytes(4)
    path.write_bytes(data)


def test_a_file_made_here_is_laid_out_like_the_recorders_own(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav.file_ulaw(SPEECH))
    assert wav.closed(path)
    assert wav.seconds(path) == len(SPEECH) / 8000


def test_what_a_crash_left_is_open_until_it_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    left_by_a_crash(path, SPEECH)
    assert not wav.closed(path)
    assert wav.repair(path)
    assert wav.closed(path)
    assert path.read_bytes() == wav.file_ulaw(SPEECH)


def test_repairing_a_complete_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav.file_ulaw(SPEECH))
    assert wav.repair(path)
    assert path.read_bytes() == wav.file_ulaw(SPEECH)


@pytest.mark.parametrize("content", [b"", b"RIFF", bytes(200), wav.file_ulaw(b""), wav.file_pcm16(bytes(20))])
def test_what_is_no_recording_is_not_repaired(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert not wav.repair(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(("tag", "bits"), [(1, 16), (6, 8), (7, 8)])
def test_each_encoding_is_read(tag: int, bits: int) -> None:
    sound = wav.parse(wav_of(tag, bits, SPEECH))
    assert (sound.tag, sound.data, sound.plain) == (tag, SPEECH, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"not a sound at all, but long enough for a header of a sound, is it not?",
        wav_of(7, 8, b""),
        wav_of(1, 16, SPEECH, rate=16000),
        wav_of(1, 16, SPEECH, channels=2),
        wav_of(17, 4, SPEECH),
        wav_of(1, 8, SPEECH),
        b"RIFF\0\0\0\0WAVEdata\x10\0\0\0" + bytes(16),
    ],
)
def test_what_is_no_sound_of_ours_is_told_apart(data: bytes) -> None:
    assert not wav.is_sound(data)
    with pytest.raises(BadSound):
        wav.to_pcm16(data)


def test_a_sound_cut_short_gives_what_is_there_but_is_not_for_the_player() -> None:
    whole = wav_of(7, 8, SPEECH)
    sound = wav.parse(whole[:-100])
    assert sound.data == SPEECH[:-100]
    assert not sound.plain


def test_a_sound_that_would_abort_the_player_is_not_plain() -> None:
    assert not wav.parse(wav_of(7, 8, bytes(200))).plain
    assert wav.parse(wav.join([wav.parse(wav_of(7, 8, bytes(200)))])).plain


def test_unknown_chunks_are_passed_over() -> None:
    plain = wav_of(7, 8, SPEECH)
    odd = plain[:12] + b"LIST\x05\0\0\0abcde\0" + plain[12:]
    assert wav.parse(odd).data == SPEECH


def test_mu_law_survives_the_way_through_pcm() -> None:
    codes = bytes(code for code in range(256) if code != 0x7F)
    linear = wav.parse(wav.to_pcm16(wav_of(7, 8, codes * 4)))
    assert wav.samples_ulaw(linear) == codes * 4


@pytest.mark.parametrize(("code", "value"), [(0xFF, 0), (0x80, 32124), (0x00, -32124), (0xEF, 132 * 2 - 132)])
def test_mu_law_values_are_those_of_the_recommendation(code: int, value: int) -> None:
    assert wav.ULAW_VALUES[code] == value


@pytest.mark.parametrize(("code", "value"), [(0xD5, 8), (0x55, -8), (0xAA, 32256), (0x2A, -32256)])
def test_a_law_values_are_those_of_the_recommendation(code: int, value: int) -> None:
    assert wav.ALAW_VALUES[code] == value


def test_joined_sounds_follow_each_other_without_a_gap() -> None:
    first, second = wav.parse(wav_of(7, 8, b"\x10" * 1000)), wav.parse(wav_of(7, 8, b"\x20" * 500))
    assert wav.parse(wav.join([first, second])).data == b"\x10" * 1000 + b"\x20" * 500


def test_joined_sounds_may_differ_in_encoding() -> None:
    loud = (8031).to_bytes(2, "little") * 1000
    joined = wav.parse(wav.join([wav.parse(wav_of(1, 16, loud)), wav.parse(wav_of(7, 8, b"\xff" * 9))]))
    pcm = wav.samples_pcm16(joined)
    assert abs(int.from_bytes(pcm[:2], "little", signed=True) - 8031) < 300
    assert pcm[-18:] == bytes(18)


@given(st.binary(max_size=300))
def test_junk_is_never_more_than_a_bad_sound(junk: bytes) -> None:
    wav.is_sound(junk)


@given(st.binary(max_size=60), st.integers(0, 80))
def test_a_damaged_header_is_never_more_than_a_bad_sound(junk: bytes, place: int) -> None:
    whole = wav_of(1, 16, SPEECH[:400])
    wav.is_sound(whole[:place] + junk + whole[place + len(junk) :])


@given(st.binary(min_size=2, max_size=2000).map(lambda data: data[: len(data) // 2 * 2]))
def test_any_samples_come_back_as_they_went_in(samples: bytes) -> None:
    assert wav.parse(wav.file_pcm16(samples)).data == samples
