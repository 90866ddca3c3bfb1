"""A server is lost with its disk, and an empty one takes its place."""

import time
from pathlib import Path

from tests.acceptance import scene
from voicemail import orders
from voicemail.tour.local import LocalCluster, LocalNode


async def lost(cluster: LocalCluster, dead: LocalNode) -> tuple[LocalNode, Path]:
    """Kill it and carry its disk away; the survivor, now Primary, and where the disk is."""
    survivor = next(node for node in cluster.nodes if node is not dead)
    await dead.kill()
    await cluster.until(survivor, lambda status: status.get("status") == "Primary")
    await scene.seen("that the other node is silent", lambda: alone(survivor), 5)
    away = dead.config.directory.with_name(f"{dead.config.directory.name}-lost")
    dead.config.directory.rename(away)
    return survivor, away


async def alone(survivor: LocalNode) -> bool:
    """Whether it knows; who was Primary already hears of it a moment after the death."""
    return any(node["status"] == "Silent" for node in (await orders.status(survivor.config))["nodes"])


async def given_up(survivor: LocalNode) -> str:
    """The operator's first command; the secret that it prints."""
    printed = await survivor.command("cluster", "replace-node", "--yes")
    return printed.strip().splitlines()[-1]


async def joined(cluster: LocalCluster, survivor: LocalNode, empty: LocalNode, text: str) -> float:
    """The two others, on the new server. Seconds from its start until deposits wait for it."""
    secret = cluster.plan.directory / "replace.secret"
    secret.touch(0o600)
    secret.write_text(text)
    empty.config.directory.mkdir()
    where = ["--publisher", survivor.config.node.address, "--port", str(survivor.config.cluster.port)]
    await empty.command("cluster", "join", "--replace", *where, "--secret-file", str(secret))
    began = time.monotonic()
    await empty.start()
    await cluster.in_service(120)
    return time.monotonic() - began
