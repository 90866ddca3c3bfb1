"""The file that the edge reads phones' accounts from."""

import os
from pathlib import Path

from sip import accounts

HASH = "0123456789abcdef" * 2


def test_only_extensions_and_hashes_are_written(tmp_path: Path) -> None:
    accounts.write(tmp_path, {"1001": HASH, "10:01": HASH, "1002": "password", "1003\n": HASH, "": HASH})
    path = tmp_path / "tables" / "accounts"
    assert path.read_text().splitlines()[1:] == [f"1001:0:0:{HASH}:0"]
    assert path.stat().st_mode & 0o077 == 0


def test_each_change_is_made_in_a_second_of_its_own(tmp_path: Path) -> None:
    """By which the edge knows that there is something new."""
    path = tmp_path / "tables" / "accounts"
    accounts.ensure(tmp_path)
    seconds = [int(path.stat().st_mtime)]
    for count in range(1, 4):
        assert accounts.write(tmp_path, {str(n): HASH for n in range(count)})
        seconds.append(int(path.stat().st_mtime))
    assert len(set(seconds)) == 4


def test_what_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    accounts.write(tmp_path, {"1001": HASH})
    before = os.stat(tmp_path / "tables" / "accounts").st_ino
    assert not accounts.write(tmp_path, {"1001": HASH})
    accounts.ensure(tmp_path)
    assert os.stat(tmp_path / "tables" / "accounts").st_ino == before
