"""Replacement at scale: a server is lost with its disk, and an empty one takes its place while the
survivor takes messages.

    python -m tests.bench.replace [--messages 5000] [--bytes 60000] [--dead 1]

Prints the seconds from the start of the new node until all is copied and deposits wait for both disks again,
and how long deposits on the survivor took meanwhile. Needs root, as the acceptance tests do.
"""

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from store.ids import uuid7
from store.model import NewMessage
from store.postgres import PostgresStore
from tests.acceptance import scene
from tests.acceptance.replacing import given_up, joined, lost
from voicemail.tour.local import LocalCluster, LocalNode

SIDE_BY_SIDE = 8
EVERY = 0.1


async def deposit(store: PostgresStore, size: int) -> float:
    """Of random bytes, which do not compress; seconds it took."""
    new = NewMessage(uuid7(), uuid7(), "+4930555", "Bob", datetime.now(UTC), 7.5)
    began = time.monotonic()
    await store.messages.deposit(new, os.urandom(size))
    return time.monotonic() - began


async def filled(store: PostgresStore, count: int, size: int) -> None:
    async def some() -> None:
        for _ in range(count // SIDE_BY_SIDE):
            await deposit(store, size)

    await asyncio.gather(*(some() for _ in range(SIDE_BY_SIDE)))


async def steadily(store: PostgresStore, size: int, took: list[float]) -> None:
    while True:
        took.append(await deposit(store, size))
        await asyncio.sleep(EVERY)


async def alike(nodes: tuple[LocalNode, LocalNode]) -> bool:
    one, two = nodes
    return await scene.digests(one, 2) == await scene.digests(two, 1)


async def measured(cluster: LocalCluster, dead: int, messages: int, size: int) -> None:
    survivor, _ = await lost(cluster, cluster.nodes[dead - 1])
    async with survivor.store() as store:
        took: list[float] = []
        calls = asyncio.create_task(steadily(store, size, took))
        secret = await given_up(survivor)
        seconds = await joined(cluster, survivor, cluster.nodes[dead - 1], secret)
        calls.cancel()
        with suppress(asyncio.CancelledError):
            await calls
    await scene.seen("both nodes hold the same", lambda: alike(cluster.nodes), 30)
    took.sort()
    print(
        f"node {dead} replaced: {messages} messages of {size} bytes in {seconds:.1f} s, equal afterwards;"
        f" meanwhile {len(took)} deposits, median {took[len(took) // 2]:.3f} s, slowest {took[-1]:.3f} s"
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--bytes", type=int, default=60_000)
    parser.add_argument("--dead", type=int, default=1, choices=(1, 2))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tandem-", dir="/tmp"))
    folder.chmod(0o755)
    cluster = LocalCluster(scene.plan(folder, workers=1))
    try:
        await cluster.start()
        async with cluster.nodes[0].store() as store:
            await filled(store, arguments.messages, arguments.bytes)
        await measured(cluster, arguments.dead, arguments.messages, arguments.bytes)
    finally:
        await cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
