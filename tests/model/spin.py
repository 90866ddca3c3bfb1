"""Compiles roles.pml once and runs it: `python -m tests.model.spin TROUBLE` for a run by hand."""

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.model.table import Run, names
from voicemail.cluster.roles import RULES, Status

HERE = Path(__file__).parent
MEGABYTES = 4000
DEPTH = 20_000
FOUND = ("assertion violated", "acceptance cycle")


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended. `error` is empty when everything holds."""

    error: str
    states: int = 0
    unreached: set[str] = field(default_factory=set)
    """Statements of the model that no run comes to."""
    decided: set[int] = field(default_factory=set)
    """Rules that decided, by their number in RULES."""
    story: str = ""
    """What happened, when something does not hold."""


class Model:
    """The verifier, in `folder`: once with the LTL formula, once, faster, with the asserts alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("roles.pml", "table.c"):
            shutil.copy(HERE / name, folder)
        (folder / "names.h").write_text(names())
        self._do("spin", "-a", "roles.pml")
        compile_ = ("gcc", "-O2", "-w", "-DCOLLAPSE", f"-DMEMLIM={MEGABYTES}", "pan.c", "-o")
        self._do(*compile_, "settles")
        self._do(*compile_, "asserts", "-DSAFETY", "-DNOCLAIM")

    def run(self, run: Run, depth: int = DEPTH) -> End:
        """A watched duty is a matter of asserts; all else is checked against both."""
        (self.folder / "table.bin").write_bytes(run.table())
        (self.folder / "decided").unlink(missing_ok=True)
        command = ["./asserts"] if run.watched else ["./settles", "-a"]
        said = self._do(*command, f"-m{depth}", "-w22")
        error = _error(said)
        return End(
            error=error,
            states=int((re.findall(r"(\d+) states, stored", said) or [0])[0]),
            unreached=set(re.findall(r"roles\.pml:\d+, state \d+, \"(?!-end-).*", said)),
            decided={int(line) for line in (self.folder / "decided").read_text().split()},
            story=self._story(command[0]) if error.startswith(FOUND) else "",
        )

    def _story(self, pan: str) -> str:
        told = re.findall(r"^\s*> (.*)", self._do(pan, "-r", "-n"), re.MULTILINE)
        return "\n".join(re.sub(r"becomes (\d+) by rule (\d+)", _named, line) for line in told)

    def _do(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300)
        return done.stdout + done.stderr


def _error(said: str) -> str:
    """The first error, or why this run proves nothing."""
    for pattern in (r"pan:1: (.*)", r"error: (max search depth.*)", r"(pan: .*)"):
        for found in re.findall(pattern, said):
            if "elapsed" not in found and "rate" not in found:
                return str(found)
    return "" if "errors: 0" in said and "Search not completed" not in said else f"no result: {said[-500:]}"


def _named(found: re.Match[str]) -> str:
    return f"becomes {list(Status)[int(found[1])]} ({RULES[int(found[2])].because})"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        end = Model(Path(folder)).run(Run(trouble=int(sys.argv[1])))
    sys.stdout.write(f"{end.states:,} states; {end.error or 'everything holds'}\n{end.story}\n")


if __name__ == "__main__":
    main()
