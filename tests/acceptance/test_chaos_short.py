"""A split brain, a node killed and a disk filled, under callers, on hosts of their own (tests/chaos)."""

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parents[1] / "chaos" / "run.py"


def test_nothing_is_lost_or_doubled_in_a_split_brain_nor_when_a_node_is_killed_nor_with_a_full_disk() -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), "--short"], capture_output=True, text=True, timeout=240, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
