"""What an edge reads where its phones were from, after whatever ended the one before."""

from pathlib import Path

from sip import edge_tables
from sip.edge_tables import COLUMNS, mended

ROW = (
    r"1:uloc-6b-1:1001::sip\:1001@127.0.0.1\:48554:::1795510768:-1.00:4-48554@test:1:1795510468:0:0:n/a"
    r":udp\:127.0.0.1\:47893:::0:0:-1:0:0"
)


def test_rows_that_are_whole_stay() -> None:
    assert mended(f"{COLUMNS}\n{ROW}\n") == f"{COLUMNS}\n{ROW}\n"


def test_rows_that_are_not_are_left_out() -> None:
    damaged = ["x", ROW.replace(":0:n/a", ""), ROW + ":0", "\0" * 40, ROW[:-2] + "\\"]
    assert mended("\n".join([COLUMNS, *damaged, ROW, ROW])) == f"{COLUMNS}\n{ROW}\n"


def test_what_was_never_a_table_becomes_one(tmp_path: Path) -> None:
    for text in ("", "junk", "\n\n"):
        assert mended(text) == COLUMNS + "\n"
    edge_tables.prepare(tmp_path)
    (tmp_path / "tables" / "location").write_bytes(b"\xff\xfe\n\xff")
    edge_tables.prepare(tmp_path)
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        "accounts", "copies", "location", "version"
    }  # fmt: skip
    assert (tmp_path / "tables" / "location").read_text() == COLUMNS + "\n"
