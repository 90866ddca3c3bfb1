"""Sound as mails carry it, and as the store keeps it."""

import io
import math

import av
import numpy as np
import pytest

from sip.wav import ULAW, file_pcm16, file_ulaw, parse, samples_pcm16, samples_ulaw
from tests.fakes.g726 import State
from tests.fakes.g726 import decode as independent
from tests.fakes.vpim_recordings import PROMPTS, RECORDINGS, recording, snr, speech
from voicemail.vpim.model import Codec, Unreadable
from voicemail.vpim.sound import decoded, encoded, form_of, g726_encoded


def tone(seconds: float = 1.0) -> bytes:
    return b"".join(
        int(8000 * math.sin(2 * math.pi * 440 * n / 8000)).to_bytes(2, "little", signed=True)
        for n in range(int(8000 * seconds))
    )


def heard(wav: bytes) -> bytes:
    return samples_pcm16(parse(wav))


def swapped(data: bytes) -> bytes:
    return bytes(octet >> 4 | (octet & 15) << 4 for octet in data)


@pytest.mark.parametrize("pcm", [speech(10), tone()], ids=["speech", "tone"])
def test_adpcm_keeps_20_db(pcm: bytes) -> None:
    sound = encoded(file_pcm16(pcm), Codec.G726)
    assert sound.media == "Audio/32KADPCM"
    assert snr(pcm, heard(decoded(sound.data, "audio/32kadpcm"))) >= 20


def test_the_other_packing_of_the_nibbles_is_noise() -> None:
    data = g726_encoded(speech(10))
    assert snr(speech(10), heard(decoded(swapped(data), "audio/32kadpcm"))) < 5


def test_ffmpegs_own_decoder_of_this_packing_agrees() -> None:
    data = g726_encoded(speech(10))
    with av.open(
        io.BytesIO(data), format="g726le", options={"code_size": "4", "sample_rate": "8000"}
    ) as file:
        file.streams.audio[0].codec_context.layout = "mono"
        plain = b"".join(frame.to_ndarray().astype("<i2").tobytes() for frame in file.decode(audio=0))
    assert snr(speech(10), plain) >= 20
    assert snr(plain, heard(decoded(data, "audio/32kadpcm"))) > 30


@pytest.mark.parametrize("prompt", ["mailbox_nearly_full.wav"])
def test_a_decoder_that_shares_nothing_with_ours_hears_the_same(prompt: str) -> None:
    pcm = samples_pcm16(parse((PROMPTS / prompt).read_bytes()))
    data = g726_encoded(pcm)
    assert snr(pcm, np.array(independent(data), "<i2").tobytes()) >= 20
    assert snr(pcm, np.array(independent(data, low_first=False), "<i2").tobytes()) < 5


def test_one_rounding_is_all_in_which_ffmpeg_differs_from_the_standard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """docs/vpim.md says what it costs. Should this fail, FFmpeg has changed, and the page with it."""

    def mixed(self: State) -> int:
        return (self.yl + (self.yu - (self.yl >> 6)) * min(self.ap >> 2, 64)) >> 6

    data = g726_encoded(speech(10)[:8000])
    ours = heard(decoded(data, "audio/32kadpcm"))
    monkeypatch.setattr(State, "scale", mixed)
    same = np.array(independent(data), "<i2").tobytes()
    assert samples_ulaw(parse(file_pcm16(same))) == samples_ulaw(parse(file_pcm16(ours)))


def test_an_odd_last_sample_is_dropped() -> None:
    assert len(g726_encoded(speech()[: 2 * 801])) == 400


@pytest.mark.parametrize(("codec", "least"), [(Codec.PCMU, 30), (Codec.WAV, 30), (Codec.G726, 20)])
def test_each_codec_comes_back(codec: Codec, least: float) -> None:
    sound = encoded(file_pcm16(speech(10)), codec)
    assert snr(speech(10), heard(decoded(sound.data, sound.media.lower()))) >= least


def test_mu_law_comes_back_as_it_was() -> None:
    wav = encoded(file_pcm16(speech()), Codec.PCMU)
    stored = decoded(wav.data, "audio/basic")
    assert parse(stored).data == wav.data
    assert decoded(stored, "application/octet-stream") == stored
    assert parse(stored).tag == ULAW and stored == file_ulaw(wav.data)


@pytest.mark.parametrize("kind", RECORDINGS)
def test_what_mail_programs_attach_is_decoded(kind: str) -> None:
    stored = parse(decoded(recording(*RECORDINGS[kind]), "application/octet-stream"))
    assert stored.tag == ULAW and stored.seconds == pytest.approx(2.0, abs=0.15)
    loud = np.abs(np.frombuffer(samples_pcm16(stored), "<i2").astype(int)).mean()
    assert loud == pytest.approx(np.abs(np.frombuffer(speech(), "<i2").astype(int)).mean(), rel=0.4)


@pytest.mark.parametrize("kind", ["wav", "mp3", "opus", "m4a", "amr"])
def test_a_recording_longer_than_the_limit_is_refused(kind: str) -> None:
    with pytest.raises(Unreadable) as refused:
        decoded(recording(*RECORDINGS[kind]), "audio/mpeg", longest=1.0)
    assert refused.value.code == "5.2.3"


@pytest.mark.parametrize("media", ["audio/basic", "audio/32kadpcm", "audio/pcma"])
def test_raw_sound_longer_than_the_limit_is_refused(media: str) -> None:
    with pytest.raises(Unreadable) as refused:
        decoded(b"\x55" * 9000, media, longest=1.0)
    assert refused.value.code == "5.2.3"


@pytest.mark.parametrize(
    ("data", "media", "code"),
    [
        (b"", "audio/basic", "5.6.0"),
        (b"hello, I am a text", "audio/x-unknown", "5.6.1"),
        (b"#EXTM3U\nhttp:", "audio/mpegurl", "5.6.1"),
        (b"#EXTM3U\n/etc/passwd\n", "audio/mpeg", "5.6.1"),
        (b"RIFF\0\0\0\0WAVEjunk", "audio/wav", "5.6.0"),
        (b"OggS" + bytes(200), "audio/ogg", "5.6.0"),
        (b"ID3" + bytes(200), "audio/mpeg", "5.6.0"),
        (b"\0\0\0\x1cftypisom" + bytes(200), "audio/mp4", "5.6.0"),
    ],
)
def test_what_cannot_be_decoded_says_why(data: bytes, media: str, code: str) -> None:
    with pytest.raises(Unreadable) as refused:
        decoded(data, media)
    assert refused.value.code == code


def test_raw_sound_is_not_taken_for_an_mp3_by_chance() -> None:
    assert form_of(b"\xff\xfb" * 100, "audio/basic") == "mulaw"
    assert form_of(b"\xff\xfb" * 100, "audio/mpeg") == "mp3"
