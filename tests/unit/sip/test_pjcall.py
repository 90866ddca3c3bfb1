"""What a call does that never becomes one."""

from pathlib import Path
from typing import Any, cast

import pytest

from sip import pjcall, sounds, wav
from sip.endpoint import Engine
from sip.enginecall import EngineCall
from sip.errors import EngineError
from sip.invite import Invite
from sip.pjcall import PjCall
from sip.settings import EngineSettings


class Obeys:
    """An engine that does what it is told, and to which nobody answers."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def command(self, method: Any, number: int, *arguments: Any) -> None:
        self.told.append(method.__name__)


def call_of(engine: Obeys) -> PjCall:
    return PjCall(cast(Engine, engine), 1, Invite("id", "5000", "4930555"), lambda *_: None)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pjcall, "ANSWER_PATIENCE", 0.01)


async def test_a_call_begins_when_it_is_acknowledged_and_audio_flows():
    call = call_of(engine := Obeys())
    call.heard("media", True)
    call.heard("confirmed", None)
    await call.answer()
    assert engine.told == ["reply"]


@pytest.mark.parametrize(
    "event, value, why", [("media", True, "never acknowledged"), ("confirmed", None, "no audio flows")]
)
async def test_a_call_that_lacks_one_of_both_does_not_begin(event: str, value: Any, why: str):
    call = call_of(Obeys())
    call.heard(event, value)
    with pytest.raises(EngineError, match=why):
        await call.answer()


class Plays(Obeys):
    """An engine that notes the audio of what it plays."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.settings = EngineSettings(temporary=folder)
        self.played: list[bytes] = []
        self.call: PjCall

    async def command(self, method: Any, number: int, *arguments: Any) -> None:
        self.played += [wav.read(Path(arguments[0])).data] if method is EngineCall.play else []
        if method is EngineCall.play:
            self.call.heard("played", arguments[1])


async def test_what_was_made_ready_is_played_and_nothing_else_instead_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.wav").write_bytes(wav.file_ulaw(name.encode() * wav.RATE))
    engine = Plays(tmp_path)
    call = PjCall(
        cast(Engine, engine), 1, Invite("id", "5000", ""), lambda name, language: tmp_path / f"{name}.wav"
    )
    engine.call = call
    joined: list[list[Path]] = []

    async def noted(paths: list[Path], temporary: Path) -> tuple[Path | None, bool]:
        joined.append(paths)
        return await sounds.chosen(paths, temporary)

    monkeypatch.setattr(pjcall, "chosen", noted)
    await call.prepare("a", "b", language="")
    for said in ("ab", "ab", "ba", "a"):
        await call.play(*said)
    assert [data[:: wav.RATE].decode() for data in engine.played] == ["ab", "ab", "ba", "a"]
    assert len(joined) == 2, "what was ready needed no joining"
    await call.prepare("a", "c", language="")
    await call.play(*"ab")
    await call.play(*"ac")
    assert [data[:: wav.RATE].decode() for data in engine.played[4:]] == ["ab", "ac"]
    assert len(joined) == 3
    opened = call._ready
    await call.hang_up()
    assert opened and opened.file.closed
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.wav", "b.wav", "c.wav"]


async def test_a_full_disk_only_makes_nothing_ready(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav.file_ulaw(b"a" * wav.RATE))
    engine = Plays(tmp_path / "missing")
    call = PjCall(cast(Engine, engine), 1, Invite("id", "5000", ""), lambda *_: tmp_path / "a.wav")
    engine.call = call
    await call.prepare("a", "a", language="")
    await call.prepare(language="")
    await call.play("a")
    assert len(engine.played) == 1
