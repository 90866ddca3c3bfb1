"""Room set aside for a recording."""

from pathlib import Path

import pytest

from sip import room


def taken(path: Path) -> int:
    """Bytes on disk."""
    return path.stat().st_blocks * 512


def test_room_is_set_aside_without_making_the_file_longer_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"head")
    room.set_aside(path, 1_000_000)
    assert path.stat().st_size == 4 and taken(path) >= 1_000_000
    with path.open("ab") as file:
        file.write(b"sound")
    room.give_back(path)
    assert path.read_bytes() == b"headsound" and taken(path) < 100_000


def test_too_little_room_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    with pytest.raises(OSError):
        room.set_aside(path, 1 << 60)
    assert path.stat().st_size == 0
