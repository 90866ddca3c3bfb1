"""A server is lost with its disk, and an empty one takes its place."""

import time
from pathlib import Path

from voicemail.tour.local import LocalCluster, LocalNode


async def lost(cluster: LocalCluster, dead: LocalNode) -> tuple[LocalNode, Path]:
    """Kill it and carry its disk away; the survivor, now Primary, and where the disk is."""
    survivor = next(node for node in cluster.nodes if node is not dead)
    await dead.kill()
    await cluster.until(survivor, lambda status: status.get("status") == "Primary")
    away = dead.config.directory.with_name(f"{dead.config.directory.name}-lost")
    dead.config.directory.rename(away)
    return survivor, away


async def replaced(cluster: LocalCluster, survivor: LocalNode, empty: LocalNode) -> float:
    """The operator's three commands. Seconds from the start of the new node until deposits wait for it."""
    printed = await survivor.command("cluster", "replace-node", "--yes")
    secret = cluster.plan.directory / "replace.secret"
    secret.touch(0o600)
    secret.write_text(printed.strip().splitlines()[-1])
    empty.config.directory.mkdir()
    where = ["--publisher", survivor.config.node.address, "--port", str(survivor.config.cluster.port)]
    await empty.command("cluster", "join", "--replace", *where, "--secret-file", str(secret))
    began = time.monotonic()
    await empty.start()
    await cluster.in_service(120)
    return time.monotonic() - began
