"""What the parts of a node cost, from /proc: CPU time and memory."""

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

from voicemail.tour.local import descendants

TICKS = os.sysconf("SC_CLK_TCK")
PARTS = {
    "presence.cfg": "presence",
    "kamailio.cfg": "edge",
    "voicemail.worker": "workers",
    "voicemail.primary.service": "primary",
    "postgres": "postgres",
    "sipp": "sipp",
}
"""By what occurs in a command line."""
ORDER = ("workers", "edge", "presence", "postgres", "primary", "supervisor")


def cpu(pid: int) -> Counter[str]:
    """CPU seconds so far of each part of the node whose supervisor is `pid`, ended children included."""
    spent: Counter[str] = Counter()
    for each, part in parts(pid).items():
        with suppress(OSError):
            spent[part] += seconds(each, children=part != "supervisor")
    return spent


def memory(pid: int) -> Counter[str]:
    """MB of each part: shared pages divided among those who share them (PSS)."""
    used: Counter[str] = Counter()
    for each, part in parts(pid).items():
        with suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    used[part] += int(line.split()[1])
    return Counter({part: round(kilobytes / 1024) for part, kilobytes in used.items()})


def seconds(pid: int, children: bool = True) -> float:
    """CPU time of a process, with that of its ended children if wanted (proc(5): utime to cstime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if children else 13])) / TICKS


def busy() -> float:
    """CPU seconds of the whole machine so far, all that is not idle."""
    fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def parts(pid: int) -> dict[int, str]:
    """Which part each process of a node belongs to. Children of a part's first process are of it."""
    found = {pid: "supervisor"}
    for child in _children(pid):
        with suppress(OSError):
            command = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace")
            part = next((name for mark, name in PARTS.items() if mark in command), "supervisor")
            found |= dict.fromkeys((child, *descendants(child)), part)
    return found


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()]  # fmt: skip
