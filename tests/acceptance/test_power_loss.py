"""The power of both servers goes while people leave messages (power.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_what_was_confirmed_is_on_disk_when_the_power_of_both_servers_goes() -> None:
    command = ["unshare", "--mount", sys.executable, "-m", "tests.acceptance.power"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
