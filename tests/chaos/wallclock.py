"""A wall clock of its own for each node, which hosts made of namespaces do not have (see wallclock.c)."""

import shutil
import struct
import subprocess
from pathlib import Path

from store.binaries import find_bindir

SOURCE = Path(__file__).with_name("wallclock.c")


class WallClock:
    """In `folder`, which every user may enter. Needs gcc."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file, self.library = folder, folder / "offset", folder / "wallclock.so"
        folder.mkdir(parents=True)
        self.set(0)
        command = ["gcc", "-O2", "-shared", "-fPIC", "-o", self.library, SOURCE, "-ldl"]
        subprocess.run(command, check=True)

    def set(self, offset: int) -> None:
        """Seconds from the right time, for all processes, at once."""
        with self.file.open("r+b" if self.file.exists() else "wb") as out:
            out.write(struct.pack("q", offset))

    def before(self) -> list[str]:
        """Put before a command that is to see this clock."""
        return ["env", f"LD_PRELOAD={self.library}", f"WALLCLOCK={self.file}"]

    def postgres(self) -> Path:
        """PostgreSQL's programs, but the server sees this clock: the node gives it an environment of its
        own."""
        real, links = find_bindir(None), self.folder / "postgres"
        if not links.exists():
            links.mkdir()
            for program in real.iterdir():
                (links / program.name).symlink_to(program)
            server = links / "postgres"
            server.unlink()
            server.write_text(f'#!/bin/sh\nexec {" ".join(self.before())} {real}/postgres "$@"\n')
            server.chmod(0o755)
        return links


def available() -> bool:
    return shutil.which("gcc") is not None
