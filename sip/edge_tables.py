"""The files of Kamailio's db_text that an edge starts with: accounts of phones, and where phones were.

An edge writes the places of its phones when it is stopped in order, and only then: a disk that hangs must
hold up no call. After a crash the file is as old as the last stop, and the peer knows better (phones.cfg).
Kamailio does not start on a damaged file, so rows that are not whole are left out before each start.
"""

import os
import re
from pathlib import Path

from sip import accounts

PLACES = ("location", "copies")
COLUMNS = (
    "id(int,auto) ruid(string) username(string) domain(string,null) contact(string) received(string,null) "
    "path(string,null) expires(int) q(double) callid(string) cseq(int) last_modified(int) flags(int) "
    "cflags(int) user_agent(string) socket(string,null) methods(int,null) instance(string,null) reg_id(int) "
    "server_id(int) connection_id(int) keepalive(int) partition(int)"
)
VERSIONS = "table_name(string) table_version(int)\nlocation:9\ncopies:9\n"
FIELD = r"(?:[^:\\]|\\.)*"
ROW = re.compile(rf"\d+:{FIELD}(?::{FIELD}){{{COLUMNS.count(' ') - 1}}}")


def mended(text: str) -> str:
    """A table of places with the rows of `text` that are whole, by the columns of this release."""
    rows = text.split("\n")[1:-1]  # what a crash cut short has no end of line
    return "\n".join([COLUMNS, *(row for row in rows if ROW.fullmatch(row))]) + "\n"


def prepare(run_directory: Path) -> None:
    """Make the tables fit to start with. Raises OSError."""
    accounts.ensure(run_directory)
    folder = run_directory / accounts.FOLDER
    _write(folder / "version", VERSIONS)
    for name in PLACES:
        path = folder / name
        _write(path, mended(path.read_text(errors="replace") if path.exists() else ""))


def _write(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
