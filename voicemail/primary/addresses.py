"""Where the Primary's process of a node is met. Light: the supervisor and commands need no more of it."""

from pathlib import Path

from voicemail.config import Config

REQUEST_PORT = 30
"""Above `sip.worker_port` (28 workers at most): where our NOTIFY and PUBLISH come from."""


def request_address(config: Config) -> tuple[str, int]:
    """Where the requests come from; the edge must count it among its members."""
    return "127.0.0.1", config.sip.worker_port + REQUEST_PORT


def socket_of(config: Config) -> Path:
    """Where it answers questions."""
    return config.run_directory / "primary.sock"
