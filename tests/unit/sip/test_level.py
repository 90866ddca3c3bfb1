import random
from pathlib import Path

from sip import wav
from sip.level import Growth, trailing_quiet


def noise(level: int, seconds: float) -> bytes:
    source = random.Random(level)
    values = (source.gauss(0, level) for _ in range(int(seconds * 8000)))
    pcm = b"".join(int(max(-32768, min(32767, value))).to_bytes(2, "little", signed=True) for value in values)
    return wav.samples_ulaw(wav.Sound(wav.PCM, pcm, True))


SPEECH, LINE_NOISE, SILENCE = noise(2000, 1), noise(100, 1), b"\xff" * 8000


def test_silence_and_line_noise_are_quiet() -> None:
    assert trailing_quiet(SILENCE) == (1.0, True)
    assert trailing_quiet(LINE_NOISE) == (1.0, True)


def test_speech_is_not_quiet() -> None:
    assert trailing_quiet(SPEECH) == (0.0, False)


def test_quiet_is_counted_from_the_end_of_speech() -> None:
    quiet, throughout = trailing_quiet(SILENCE + SPEECH + LINE_NOISE + SILENCE)
    assert not throughout
    assert 1.75 <= quiet <= 2.0


def test_quiet_adds_up_over_several_looks_and_speech_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "growing.wav"
    growth = Growth(path, 0.0)
    seen = []
    for now, part in enumerate((SPEECH, SILENCE, SILENCE, b"", SPEECH, SILENCE), 1):
        before = path.read_bytes() if path.exists() else bytes(wav.HEADER)
        path.write_bytes(before + part)
        growth.look(float(now))
        seen.append((growth.quiet, growth.stalled))
    growth.close()
    assert seen == [(0.0, 0), (1.0, 0), (2.0, 0), (2.0, 1.0), (0.0, 0), (1.0, 0)]
