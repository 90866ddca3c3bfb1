"""Which file is played."""

import asyncio
from pathlib import Path

import pytest

from sip import wav
from sip.sounds import Ready, chosen

SECOND = wav.file_ulaw(b"\x11" * wav.RATE)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was done in a thread."""
    done: list[object] = []
    to_thread = asyncio.to_thread

    async def noted(function: object, *arguments: object) -> object:
        done.append(function)
        return await to_thread(function, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "to_thread", noted)
    return done


async def test_a_file_played_before_is_not_read_again(tmp_path: Path, threads: list[object]) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(SECOND)
    assert [await chosen([sound], tmp_path) for _ in range(3)] == [(sound, False)] * 3
    assert len(threads) == 1


@pytest.mark.parametrize("new", [b"", b"rubbish"])
async def test_a_file_that_has_changed_is_read_again(tmp_path: Path, new: bytes) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(SECOND)
    await chosen([sound], tmp_path)
    sound.write_bytes(new)
    assert await chosen([sound], tmp_path) == (None, False)
    sound.unlink()
    assert await chosen([sound], tmp_path) == (None, False)


async def test_what_the_library_would_abort_on_is_joined_with_silence_each_time(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny.wav"
    tiny.write_bytes(wav.file_ulaw(b"\x11" * 10))
    for _ in range(2):
        path, new = await chosen([tiny], tmp_path)
        assert new and path and wav.plain(path)


async def test_several_become_one_and_holes_are_left_out(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(SECOND)
    path, new = await chosen([sound, tmp_path / "missing.wav", sound], tmp_path)
    assert new and path and wav.seconds(path) == 2.0


async def test_without_room_to_join_the_first_that_can_be_played_is(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(SECOND)
    assert await chosen([sound, sound], tmp_path / "missing") == (sound, False)


async def test_what_is_ready_leaves_no_file_and_is_there_until_it_is_closed(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(SECOND)
    ready = await Ready.of([sound, sound], tmp_path)
    assert ready and list(tmp_path.iterdir()) == [sound]
    assert [wav.seconds(ready.path) for _ in range(2)] == [2.0, 2.0]
    player = ready.path.open("rb")
    ready.close()
    assert wav.parse(player.read()).seconds == 2.0
    player.close()


async def test_a_single_file_that_can_be_played_needs_not_be_joined(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(SECOND)
    assert await Ready.of([sound], tmp_path) is None
    assert await Ready.of([sound, sound], tmp_path / "missing") is None
