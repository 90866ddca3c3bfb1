"""Two real nodes and their callers on hosts of their own, and what can go wrong with them.

    .venv/bin/python tests/chaos/run.py --short
    .venv/bin/python tests/chaos/run.py --seeds 20
    .venv/bin/python tests/chaos/run.py --faults "cut 30 s,full disk"

Faults, their order, their moments and whom they hit follow from the seed. All runs under callers of our own,
who try both edges, and SIPp at each edge; every message is counted. It fails when a confirmed message was
lost or doubled, when the nodes do not become equal, when a lamp is wrong 5 s after the heal, when a call was
refused while only the link was touched, or when a mail came three times. Needs root, for namespaces.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.chaos import figures, net, wallclock  # noqa: E402
from tests.chaos.faults import CLOCK, FAULTS, LONG  # noqa: E402

DRAWN = FAULTS | (CLOCK if wallclock.available() else {})
KNOWN = DRAWN | LONG
SHORT = ("cut 4 s", "kill node", "full disk")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="how many clusters")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--faults", default="", help="these, by name, separated by commas; all when left out")
    parser.add_argument("--each", type=int, default=6, help="faults of a seed, drawn from all")
    parser.add_argument("--short", action="store_true", help=f"one seed of three faults: {', '.join(SHORT)}")
    parser.add_argument("--rate", type=float, default=3.0, help="new callers of our own a second")
    parser.add_argument(
        "--sipp", type=float, default=1.0, help="calls a second of the SIPp at each edge; 0: none"
    )
    parser.add_argument("--workers", type=int, default=6, help="of each node, 4 calls each")
    parser.add_argument("--keep", action="store_true", help="leave logs and mails where they are")
    return parser.parse_args()


def drawn(chosen: argparse.Namespace, seed: int) -> list[str]:
    """The names of a seed's faults."""
    if chosen.short:
        return list(SHORT)
    if chosen.faults:
        return [name.strip() for name in chosen.faults.split(",")]
    return random.Random(f"faults {seed}").sample(list(DRAWN), min(chosen.each, len(DRAWN)))


async def seed_rows(
    chosen: argparse.Namespace, seed: int, network: net.Network, folder: Path
) -> list[figures.Row]:
    from tests.chaos.trial import Trial

    began, draw = time.monotonic(), random.Random(f"targets {seed}")

    def tell(text: str) -> None:
        print(f"… {time.monotonic() - began:5.1f} s  {text}", file=sys.stderr, flush=True)

    names = drawn(chosen, seed)
    clocks = any(name in CLOCK for name in names)
    rates = chosen.rate, chosen.sipp
    async with Trial(seed, folder, network, chosen.workers, *rates, tell, clocks) as trial:
        for name in names:
            network.heal()
            await trial.befall(KNOWN[name], chosen.short or draw.random() < 0.6)
        tell("counting")
        return await trial.close()


def work(chosen: argparse.Namespace) -> int:
    """Inside: the whole run."""
    network, rows, failed = net.Network(), list[figures.Row](), False
    network.make()
    print(figures.HEAD, flush=True)
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        folder = Path(tempfile.mkdtemp(prefix="tandem-chaos-", dir="/tmp"))
        try:
            found = asyncio.run(seed_rows(chosen, seed, network, folder))
        except Exception as error:  # a seed that breaks the harness does not end the others
            found = [figures.Row(seed, "broken", "", wrong=[f"{type(error).__name__}: {error}"])]
        rows += found
        bad = any(row.wrong for row in found)
        failed = failed or bad
        print("\n".join(map(figures.line, found)), flush=True)
        if bad or chosen.keep:
            print(f"logs: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{figures.summary(rows)}")
    return int(failed)


def main() -> int:
    chosen = options()
    if unknown := [name for name in drawn(chosen, 0) if name not in KNOWN]:
        print(f"no such fault: {unknown[0]}; there are: {', '.join(KNOWN)}", file=sys.stderr)
        return 2
    if (code := net.inside([str(Path(__file__).resolve()), *sys.argv[1:]])) is not None:
        return code
    if child := os.fork():
        return net.reap(child)
    return work(chosen)


if __name__ == "__main__":
    sys.exit(main())
