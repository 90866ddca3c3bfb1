"""The table of phones' accounts as the edge reads it: a file of Kamailio's db_text, replaced as a whole.

It lies in the edge's directory, so an edge that starts without a database knows its phones all the same.
What is in it opens as much as the passwords do at this cluster, so it is readable by us only.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

FOLDER, NAME = "tables", "accounts"
HEADER = "key_name(string) key_type(int) value_type(int) key_value(string) expires(int)"
EXTENSION = re.compile(r"[A-Za-z0-9+_.*#-]{1,64}")
HA1 = re.compile(r"[0-9a-f]{32}")


def text_of(accounts: Mapping[str, str]) -> str:
    """The file. An extension or a hash (`sip.digest.ha1`) that is none is left out."""
    rows = [
        f"{extension}:0:0:{ha1}:0"
        for extension, ha1 in sorted(accounts.items())
        if EXTENSION.fullmatch(extension) and HA1.fullmatch(ha1)
    ]
    return "\n".join([HEADER, *rows]) + "\n"


def write(run_directory: Path, accounts: Mapping[str, str]) -> bool:
    """Replace the table, on disk; whether it is another one now. Raises OSError."""
    folder = run_directory / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, text = folder / NAME, text_of(accounts)
    if path.exists() and path.read_text() == text:
        return False
    fresh = folder / f".{NAME}.new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():  # the edge tells files apart by the second in which they were changed
        later = max(int(fresh.stat().st_mtime), int(path.stat().st_mtime) + 1)
        os.utime(fresh, (later, later))
    fresh.rename(path)
    return True


def ensure(run_directory: Path) -> None:
    """An empty table where there is none yet: the edge does not start without. Raises OSError."""
    if not (run_directory / FOLDER / NAME).exists():
        write(run_directory, {})
