"""What the supervisor tells this process: one JSON object a line, every 200 ms, pure.

    {"duty": true, "epoch": 7, "at": 8123.25, "peer_edge": "192.0.2.12:5060"}

`at` is the supervisor's time.monotonic() when it wrote the line; Linux has one such clock for all
processes, so lines that a frozen process finds in its pipe are as old as they are. Without it a line
counts as fresh when it is read. `"resync": true` has every lamp sent again, once.
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class News:
    duty: bool
    epoch: int
    at: float | None = None
    peer_edge: str = ""
    """"host:port" of the peer's edge; "" when it is not there."""
    resync: bool = False


def read(line: bytes) -> News | None:
    """None for a line that makes no sense; it renews nothing."""
    try:
        told = json.loads(line)
        duty, epoch, at = told["duty"], told["epoch"], told.get("at")
        peer_edge, resync = told.get("peer_edge") or "", told.get("resync", False)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    kinds = ((duty, bool), (epoch, int), (at, float | int | None), (peer_edge, str), (resync, bool))
    if not all(isinstance(value, kind) for value, kind in kinds) or isinstance(epoch, bool):
        return None
    return News(duty, epoch, at, peer_edge, resync)
