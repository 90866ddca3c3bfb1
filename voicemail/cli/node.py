"""`voicemail node`: run this node in the foreground."""

import asyncio

from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath
from voicemail.config import load
from voicemail.log import configure
from voicemail.node import Node


def node(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Run this node until SIGTERM or Ctrl-C; logs go to stderr."""
    configure("node")
    loaded = load(config)

    async def run() -> None:
        await Node(loaded, config.absolute()).run()

    asyncio.run(run())
