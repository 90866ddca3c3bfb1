"""What a node knows of its workers."""

from pathlib import Path

from sip.board import Board, State, WorkerState
from voicemail.supervise.workers import Workers


def test_the_board_of_a_killed_node_says_nothing_of_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "board"
    Board.create(path, 2).write(WorkerState(1, state=State.READY, capacity=4))
    workers = Workers(path)
    workers.look()
    assert len(workers.up) == 1
    workers.forget()
    assert not workers.up
    workers.look()
    assert not workers.up
    Board.create(path, 2).write(WorkerState(0, state=State.READY, capacity=4))
    workers.look()
    assert len(workers.up) == 1


def test_there_need_be_no_board(tmp_path: Path) -> None:
    Workers(tmp_path / "board").forget()
