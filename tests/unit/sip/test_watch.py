"""When a growing recording may have to end."""

import threading
import time
from pathlib import Path

import pytest

from sip import wav
from sip.watch import STALLED, Listener, Watch, Watched

SILENCE = b"\xff" * wav.RATE


class Scene:
    """A recording of a caller who says nothing, looked at once a second."""

    def __init__(self, path: Path, silence: float = 0.0) -> None:
        self.path, self.held, self.told, self.now = path, False, 0, 0.0
        path.write_bytes(bytes(wav.HEADER))
        self.watched = Watched(path, silence, Listener(self.tell, lambda: self.held), 0.0)

    def tell(self) -> None:
        self.told += 1

    def pass_seconds(self, seconds: float, growing: bool = False) -> None:
        for _ in range(int(seconds)):
            if growing:
                with self.path.open("ab") as file:
                    file.write(SILENCE)
            self.now += 1.0
            self.watched.look(self.now)


@pytest.mark.parametrize("growing", [True, False])
def test_silence_is_told_whether_or_not_packets_come(tmp_path: Path, growing: bool) -> None:
    scene = Scene(tmp_path / "a.wav", silence=3.0)
    scene.pass_seconds(2, growing)
    assert (scene.watched.silent, scene.told) == (False, 0)
    scene.pass_seconds(1, growing)
    assert (scene.watched.silent, scene.told) == (True, 1)


def test_without_a_limit_silence_goes_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.wav")
    scene.pass_seconds(60, growing=True)
    assert scene.told == 0


def test_a_recording_that_does_not_grow_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.wav")
    scene.pass_seconds(STALLED - 1)
    assert not scene.watched.stuck
    scene.pass_seconds(1)
    assert (scene.watched.stuck, scene.told) == (True, 1)


def test_on_hold_it_need_not_grow_and_afterwards_has_its_time_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.wav")
    scene.held = True
    scene.pass_seconds(3 * STALLED)
    scene.held = False
    scene.pass_seconds(STALLED - 1)
    assert scene.told == 0
    scene.pass_seconds(1)
    assert scene.watched.stuck


def test_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a.wav")
    scene.path.unlink()
    scene.pass_seconds(1)
    assert isinstance(scene.watched.error, OSError)
    assert scene.told == 1


def test_the_thread_looks_until_the_recording_is_over(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(wav.HEADER))
    told = threading.Event()
    watched = Watch(every=0.001).over(path, 0.001, Listener(told.set, lambda: False))
    assert told.wait(5.0)
    watched.over = True
    ends = time.monotonic() + 5.0
    while watched.growth.open and time.monotonic() < ends:
        pass
    assert not watched.growth.open
