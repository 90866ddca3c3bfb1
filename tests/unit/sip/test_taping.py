"""What ends, pauses and accompanies a recording: an engine that obeys, and a clock that jumps."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from sip import taping, wav
from sip.call import RecordLimits
from sip.endpoint import Engine
from sip.line import Line
from sip.taping import Taping
from sip.watch import Listener


class Nothing:
    """A recording that nobody looks at."""

    over = silent = stuck = False
    error = None


class Obeys:
    """An engine that does what it is told; `listener` is whose recording is looked after."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.watch = self
        self.listener: Listener

    def over(self, _path: Path, _silence: float, listener: Listener) -> Nothing:
        self.listener = listener
        return Nothing()

    async def command(self, method: Any, _number: int, *_: Any) -> None:
        self.told.append(method.__name__)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are hundredths here."""
    monkeypatch.setattr(taping, "LAST_SECONDS", 0.02)
    monkeypatch.setattr(taping, "WARNED_FROM", 0.04)
    monkeypatch.setattr(taping, "LONGEST_PAUSE", 0.02)


class Scene:
    def __init__(self, folder: Path, limits: RecordLimits) -> None:
        self.engine = Obeys()
        self.line = Line(cast(Engine, self.engine), 1)
        self.said: list[Any] = []
        path = folder / "a.wav"
        path.write_bytes(wav.file_ulaw(b""))
        self.run = asyncio.ensure_future(Taping(self.line, path, limits, self.say).run())

    async def say(self, sound: Any) -> None:
        self.said.append(sound)

    async def press(self, key: str) -> None:
        await asyncio.sleep(0)
        self.line.heard("digit", key)
        for _ in range(9):
            await asyncio.sleep(0)


async def begun(scene: Scene) -> None:
    async with asyncio.timeout(2.0):
        while not hasattr(scene.engine, "listener"):  # noqa: ASYNC110  a thread sets room aside before
            await asyncio.sleep(0)


async def test_the_warning_comes_before_the_limit_and_is_stopped_with_the_recording(
    tmp_path: Path, quick: None
) -> None:
    scene = Scene(tmp_path, RecordLimits(longest=0.05, warning="other"))
    assert await scene.run == ("limit", "")
    assert scene.said == ["other"]
    assert scene.engine.told == ["stop"]


async def test_short_recordings_are_not_warned_of(tmp_path: Path, quick: None) -> None:
    scene = Scene(tmp_path, RecordLimits(longest=0.03, warning="other"))
    assert await scene.run == ("limit", "")
    assert scene.said == []


async def test_time_stands_still_in_a_pause(tmp_path: Path) -> None:
    scene = Scene(tmp_path, RecordLimits(longest=0.03, pause="8"))
    await begun(scene)
    await scene.press("8")
    assert scene.engine.listener.resting()
    await asyncio.sleep(0.05)
    assert not scene.run.done()
    await scene.press("8")
    assert not scene.engine.listener.resting()
    assert await scene.run == ("limit", "")
    assert scene.engine.told == ["pause_recording", "go_on_recording"]


async def test_a_key_that_ends_a_recording_ends_a_pause_with_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, RecordLimits(pause="8"))
    await begun(scene)
    await scene.press("8")
    await scene.press("#")
    assert await scene.run == ("key", "#")


async def test_a_pause_that_is_too_long_ends_the_recording(tmp_path: Path, quick: None) -> None:
    scene = Scene(tmp_path, RecordLimits(pause="8"))
    await begun(scene)
    await scene.press("8")
    assert await scene.run == ("silence", "")
