"""Thousands of random schedules of faults; what must hold in each is in tests/fakes/watch.py.

A failure prints its seed and its story. `schedule(seed)` repeats it.
"""

import pytest

from tests.fakes.schedules import schedule
from tests.fakes.watch import Broken

SHARES = 10
SCHEDULES = 5000

KEPT = {
    109: "the Primary came back while its peer was just calling it silent: both took the work",
    163: "calls worked again while the disk was full: the node stayed Not Functioning, refusing calls",
    724: "the Primary restarted within 350 ms: it took the work that its peer was just taking over",
    1417: "with automatic change off a Primary whose calls had failed for a moment waits two seconds",
    1752: "calls failed for 100 ms on the Primary: it took back what its peer was just taking over",
    1986: "an operator's order and a hand-over between two Secondaries at the same moment",
    3994: "connections were reset at the end of a cut that both had survived",
    10622: "a node that was frozen counts anew for how long its peer has been starting",
    13933: "services came back on a node with a full disk; its epoch rose at every beat, unused",
}
"""Seeds that once broke something, and the story of each. The schedule of a seed changes when the
simulator does; test_stories.py tells what mattered by hand."""


@pytest.mark.parametrize("seed", KEPT, ids=str)
def test_a_seed_that_once_failed(seed: int) -> None:
    schedule(seed)


@pytest.mark.parametrize("share", range(SHARES))
def test_whatever_happens_the_cluster_keeps_its_word(share: int) -> None:
    for seed in range(10_000 + share, 10_000 + SCHEDULES, SHARES):
        try:
            schedule(seed)
        except Broken as broken:
            pytest.fail(f"seed {seed}: {broken}", pytrace=False)
