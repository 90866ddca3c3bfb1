import asyncio
from pathlib import Path

import pytest

from voicemail.cluster.manager import Change
from voicemail.cluster.roles import Status
from voicemail.config import parse
from voicemail.secrets import NodeFiles
from voicemail.supervise.history import MOST, History


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    return NodeFiles(parse(f'[node]\nname = "vm1"\naddress = "192.0.2.1"\ndirectory = "{tmp_path}"\n'))


def changes(many: int, start: int = 0) -> list[Change]:
    return [Change(at, Status.STARTING, Status.PRIMARY, "x", 1) for at in range(start, start + many)]


async def kept(history: History) -> None:
    """Until the file is written."""
    task = asyncio.create_task(history.run())
    while history.unkept:  # noqa: ASYNC110  a thread writes
        await asyncio.sleep(0)
    task.cancel()


async def test_a_change_is_taken_once_and_is_there_after_a_restart(files: NodeFiles) -> None:
    history, seen = History(files), changes(2)
    assert history.follow(seen) and not history.follow(seen)
    seen += changes(1, 2)
    assert history.follow(seen)
    await kept(history)
    again = History(files)
    assert [entry["at"] for entry in again.entries] == [0, 1, 2]
    assert again.entries[0]["now"] == "Primary"


async def test_the_oldest_entries_go(files: NodeFiles) -> None:
    history = History(files)
    for change in changes(MOST + 50):
        history.follow([change])
    assert [history.entries[0]["at"], history.entries[-1]["at"], len(history.entries)] == [
        50,
        MOST + 49,
        MOST,
    ]


async def test_a_manager_that_forgets_old_changes_repeats_nothing(files: NodeFiles) -> None:
    history, seen = History(files), changes(5)
    history.follow(seen)
    assert history.follow([*seen[3:], *changes(1, 5)])
    assert [entry["at"] for entry in history.entries] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("junk", ["", "{}", "[", "[" * 100000, "[1, null]", "\0"])
def test_a_history_that_cannot_be_read_is_begun_anew(files: NodeFiles, tmp_path: Path, junk: str) -> None:
    (tmp_path / "history.json").write_text(junk)
    assert History(files).entries == []


async def test_a_disk_that_takes_nothing_does_not_stop_the_node(files: NodeFiles, tmp_path: Path) -> None:
    history = History(files)
    (tmp_path / "history.json.part").mkdir()  # nothing can be written there
    history.follow(changes(1))
    await kept(history)
    (tmp_path / "history.json.part").rmdir()
    history.follow(changes(1, 1))
    await kept(history)
    assert len(History(files).entries) == 2
