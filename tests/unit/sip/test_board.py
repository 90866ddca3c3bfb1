from pathlib import Path

from sip.board import Board, State, WorkerState


def test_what_one_writes_another_reads(tmp_path: Path) -> None:
    worker = WorkerState(1, pid=4711, state=State.READY, busy=2, capacity=4, total=99, started=1.5e9)
    mine = Board.create(tmp_path / "board", 3)
    Board.open(tmp_path / "board").write(worker)
    assert mine.read() == (WorkerState(0), worker, WorkerState(2))


def test_a_new_board_is_empty_and_leaves_readers_of_the_old_one_alone(tmp_path: Path) -> None:
    old = Board.create(tmp_path / "board", 1)
    old.write(WorkerState(0, pid=1, state=State.READY))
    new = Board.create(tmp_path / "board", 2)
    assert new.read() == (WorkerState(0), WorkerState(1))
    assert old.read()[0].pid == 1


def test_an_unknown_state_is_read_as_gone(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", 1)
    (tmp_path / "board").write_bytes(b"\xff" * (tmp_path / "board").stat().st_size)
    assert Board.open(tmp_path / "board").read()[0].state is State.GONE
    assert board.slots == 1


def test_each_slot_has_a_clock_that_is_no_news_of_its_record(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", 2)
    before = board.read()
    board.beat(1, 42.5)
    assert Board.open(tmp_path / "board").beats() == (0.0, 42.5)
    assert board.read() is before
