"""A tape that is stretched plays in two pieces, and loses nothing between them."""

from pathlib import Path

import numpy as np
import pytest

from sip import wav
from tests.fakes.call import FILE, Barges, Clock, ScriptedCall, Step
from voicemail.conversation.desk import Sounds
from voicemail.conversation.tape import FIRST, Tape

QUIET_AT = FIRST - 0.8


def speech(seconds: float) -> bytes:
    """Noise with a short pause at QUIET_AT."""
    samples = (9000 * np.sin(np.arange(int(seconds * wav.RATE)) * 0.3)).astype(np.int16)
    pause = int(QUIET_AT * wav.RATE)
    samples[pause - 600 : pause + 600] = 0
    return wav.file_pcm16(samples.tobytes())


def tape(folder: Path, clock: Clock, seconds: float, speed: float) -> Tape:
    return Tape(speech(seconds), Sounds(folder), clock.now, speed=speed)


async def play(tape: Tape, clock: Clock, *keys: Step, in_piece: int = 0) -> tuple[str, list[float]]:
    """The key, and how long the pieces were. `keys` are pressed into the piece of this number."""
    call = ScriptedCall([], clock=clock, answered=True)
    call.on_sound = lambda sound: call.script.extend(keys if len(call.heard) == in_piece + 1 else ())
    return await tape.play(call, "4568"), list(call.lengths.values())


@pytest.mark.parametrize("speed", [0.5, 0.75, 1.25, 1.5, 2.0])
async def test_the_pieces_meet_where_it_is_quiet_and_are_the_whole(tmp_path: Path, speed: float) -> None:
    clock = Clock()
    slow = tape(tmp_path, clock, 60.0, speed)
    key, pieces = await play(slow, clock)
    assert (key, slow.at, slow.heard) == ("", 60.0, True)
    assert pieces == pytest.approx([QUIET_AT / speed, (60 - QUIET_AT) / speed], abs=0.15)
    assert not list(tmp_path.iterdir())


async def test_a_key_in_either_piece_stops_it_where_it_was(tmp_path: Path) -> None:
    clock = Clock()
    fast = tape(tmp_path, clock, 60.0, 2.0)
    assert (await play(fast, clock, Barges("8", FILE, 5.0)))[0] == "8"
    assert fast.at == 10.0 and not fast.heard
    fast.restart()
    key, pieces = await play(fast, clock, Barges("8", FILE, 3.0), in_piece=1)
    assert (key, len(pieces)) == ("8", 2)
    assert fast.at == pytest.approx(QUIET_AT + 6.0, abs=0.1) and not fast.heard
    assert not list(tmp_path.iterdir())


async def test_what_is_short_or_as_fast_as_it_was_plays_in_one_piece(tmp_path: Path) -> None:
    clock = Clock()
    assert len((await play(tape(tmp_path, clock, FIRST, 1.5), clock))[1]) == 1
    assert len((await play(tape(tmp_path, clock, 60.0, 1.0), clock))[1]) == 1
