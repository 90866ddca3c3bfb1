"""What is counted in a run, and how it is judged: pure, from what callers, lamps, mails and logs show."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

FIVE = 5.0
"""Seconds after the heal in which lamps must be right."""


@dataclass(frozen=True)
class Change:
    """A node's change of status, as it logged it; `at` in seconds since 1970."""

    at: float
    node: int
    was: str
    now: str
    because: str


def changes(log: Path, node: int) -> list[Change]:
    """All that the node logged, over its restarts."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        if '"Server status changed."' in line:
            told = json.loads(line[line.index("{") :])
            at = datetime.fromisoformat(told["timestamp"]).timestamp()
            found.append(Change(at, node, told["was"], told["now"], told["because"]))
    return found


@dataclass
class Row:
    """One fault and what came of it. Times in seconds."""

    seed: int
    fault: str
    target: str
    new_primary: float | None = None
    """From the fault to a node's becoming Primary; None: nobody had to."""
    gaps: tuple[float, float] = (0.0, 0.0)
    """Longest time without an answer at each edge."""
    wait: float = 0.0
    """Longest from first INVITE to answer, for a caller who tries both."""
    callers: int = 0
    unanswered: int = 0
    """Whom neither edge answered."""
    refused: int = 0
    """Attempts that one edge did not answer."""
    lamps_wrong: int = 0
    equal: float = 0.0
    """From the heal until both are in service and hold the same."""
    changes: int = 0
    twice: int = 0
    more: int = 0
    """Mails that came a second time, and those that came oftener."""
    confirmed: int = 0
    """Calls of our own callers."""
    sipp: int = 0
    """Calls of SIPp that were confirmed, and those that its one edge did not answer."""
    sipp_refused: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What must not be, in words."""


def new_primary(all_changes: Iterable[Change], start: float, end: float) -> float | None:
    times = [c.at - start for c in all_changes if c.now == "Primary" and start <= c.at <= end]
    return min(times, default=None)


def repeats(arrivals: Mapping[str, Sequence[float]], start: float, end: float) -> tuple[int, int]:
    """Of mails by Message-ID: how many came a second time then, and how many a third."""
    counts = [0, 0]
    for times in arrivals.values():
        for index, at in enumerate(sorted(times)[1:3]):
            counts[index] += start <= at < end
    return counts[0], counts[1]


@dataclass(frozen=True)
class Window:
    """When a fault began, was healed, and was over (monotonic); `deaf` is the address of a node that
    heard no caller until the heal."""

    start: float
    healed: float
    end: float
    deaf: str = ""

    def missed(self, spoke: tuple[float, float], address: str) -> float:
        """Seconds of speech that cannot have reached the node."""
        began, ended = spoke
        return max(0.0, min(ended, self.healed) - max(began, self.start)) if address == self.deaf else 0.0


def heard(windows: Sequence[Window], spoke: tuple[float, float], address: str) -> float:
    """Seconds of speech that can have reached the node."""
    return spoke[1] - spoke[0] - sum(window.missed(spoke, address) for window in windows)


def lost(confirmed: Iterable[str], held: Sequence[Counter[str]]) -> list[str]:
    """Confirmed calls of which one of the nodes has no message."""
    return sorted(number for number in confirmed if any(not had[number] for had in held))


def doubled(numbers: Iterable[str], held: Sequence[Counter[str]]) -> list[str]:
    return sorted(number for number in numbers if any(had[number] > 1 for had in held))


HEAD = (
    f"{'seed':>4} {'fault':<24}{'hits':<14}{'new Primary':>12}{'gap vm1':>9}{'gap vm2':>9}{'wait':>7}"
    f"{'unansw.':>8}{'refused':>8}{'callers':>8}{'lamps':>6}{'equal':>7}{'changes':>8}{'2x/3x':>7}"
    f"{'confirmed':>10}{'SIPp':>6}{'refused':>8}{'lost':>5}{'2x':>4}"
)


def line(row: Row) -> str:
    moved = f"{row.new_primary:.2f}" if row.new_primary is not None else "-"
    return (
        f"{row.seed:>4} {row.fault:<24}{row.target:<14}{moved:>12}{row.gaps[0]:>9.2f}{row.gaps[1]:>9.2f}"
        f"{row.wait:>7.2f}{row.unanswered:>8}{row.refused:>8}{row.callers:>8}{row.lamps_wrong:>6}"
        f"{row.equal:>7.2f}{row.changes:>8}{f'{row.twice}/{row.more}':>7}"
        f"{row.confirmed:>10}{row.sipp:>6}{row.sipp_refused:>8}{len(row.lost):>5}{len(row.doubled):>4}"
        + "".join(f"\n     ! {w}" for w in row.wrong)
    )


def summary(rows: Sequence[Row]) -> str:
    """By fault, the worst of its runs."""
    lines = [
        f"{'fault':<24}{'runs':>5}{'new Primary':>12}{'gap':>7}{'wait':>7}{'unansw.':>8}{'lamps':>6}"
        f"{'equal':>7}{'changes':>8}{'2x/3x':>7}{'confirmed':>10}{'SIPp':>6}{'refused':>8}"
        f"{'lost':>5}{'2x':>4}"
    ]
    for name in dict.fromkeys(row.fault for row in rows):
        of = [row for row in rows if row.fault == name]
        moved = [row.new_primary for row in of if row.new_primary is not None]
        lines.append(
            f"{name:<24}{len(of):>5}{f'{max(moved):.2f}' if moved else '-':>12}"
            f"{max(max(r.gaps) for r in of):>7.2f}{max(r.wait for r in of):>7.2f}"
            f"{sum(r.unanswered for r in of):>8}{max(r.lamps_wrong for r in of):>6}"
            f"{max(r.equal for r in of):>7.2f}{max(r.changes for r in of):>8}"
            f"{f'{sum(r.twice for r in of)}/{sum(r.more for r in of)}':>7}"
            f"{sum(r.confirmed for r in of):>10}{sum(r.sipp for r in of):>6}"
            f"{sum(r.sipp_refused for r in of):>8}{sum(len(r.lost) for r in of):>5}"
            f"{sum(len(r.doubled) for r in of):>4}"
        )
    own, sipp = sum(r.confirmed for r in rows), sum(r.sipp for r in rows)
    lines.append(
        f"{len(rows)} faults, {own + sipp} confirmed messages ({own} of own callers, {sipp} of SIPp), "
        f"{sum(len(r.lost) for r in rows)} lost, {sum(len(r.doubled) for r in rows)} doubled"
    )
    return "\n".join(lines)
