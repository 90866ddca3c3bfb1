"""What a node knows of its workers."""

from pathlib import Path

from sip.board import Board, State, WorkerState
from voicemail.supervise.workers import Workers


def board(path: Path, slot: int, polled: float = 100.0) -> None:
    """Of two workers, one of which is ready."""
    made = Board.create(path, 2)
    made.write(WorkerState(slot, state=State.READY, capacity=4))
    made.beat(slot, polled)


def test_the_board_of_a_killed_node_says_nothing_of_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "board"
    board(path, 1)
    workers = Workers(path)
    workers.look(100.1)
    assert len(workers.up) == 1
    workers.forget()
    assert not workers.up
    workers.look(100.1)
    assert not workers.up
    board(path, 0)
    workers.look(100.1)
    assert len(workers.up) == 1


def test_there_need_be_no_board(tmp_path: Path) -> None:
    Workers(tmp_path / "board").forget()


def test_a_worker_that_hangs_takes_no_calls(tmp_path: Path) -> None:
    board(tmp_path / "board", 1, polled=100.0)
    workers = Workers(tmp_path / "board")
    workers.look(102.9)
    assert len(workers.up) == 1
    workers.look(103.1)
    assert not workers.up


def test_workers_that_were_frozen_with_the_node_may_wake_before_they_hang(tmp_path: Path) -> None:
    board(tmp_path / "board", 1, polled=100.0)
    workers = Workers(tmp_path / "board")
    for now in (100.1, 110.0, 110.9, 111.8, 112.7):
        workers.look(now)
        assert len(workers.up) == 1
    workers.look(113.1)
    assert not workers.up
