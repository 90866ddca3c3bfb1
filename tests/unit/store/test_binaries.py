"""How a PostgreSQL is found and run."""

from pathlib import Path

import pytest

from store.binaries import as_user, find_bindir, major
from store.errors import ServerFailed


def test_an_ordinary_user_runs_it_as_himself() -> None:
    assert as_user("") == []
    assert as_user("", dies_with_parent="INT") == ["setpriv", "--pdeathsig", "INT"]


def test_root_becomes_the_user_with_an_environment_of_its_own() -> None:
    command = as_user("nobody", dies_with_parent="INT")
    assert command[:3] == ["setpriv", "--pdeathsig", "INT"]
    assert "--reset-env" in command and command[command.index("--reuid") + 1] == "nobody"


def test_a_configured_folder_without_a_server_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match=str(tmp_path)):
        find_bindir(tmp_path)


def test_a_server_that_is_too_old_is_not_taken(tmp_path: Path) -> None:
    old = tmp_path / "postgres"
    old.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)'\n")
    old.chmod(0o755)
    assert major(tmp_path) == 15
    with pytest.raises(ServerFailed, match="16 or later"):
        find_bindir(tmp_path)


def test_a_suitable_server_is_found_on_this_machine() -> None:
    assert major(find_bindir()) >= 16
