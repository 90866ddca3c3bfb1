"""A slow way between two nodes: frames are taken off one's port of the bridge, and put out on the other's
later.

This kernel has no netem. Whoever starts a `Slow` drops the same frames on the bridge (`Network.slow`), so
that only the late ones arrive. Each direction keeps its order, as a long cable does. Frames carry the
kernel's own header in front (PACKET_VNET_HDR), so that those which a host leaves to its card to cut and to
sum up pass whole.
"""

import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

ALL_FRAMES = 0x0003
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
SO_RCVBUFFORCE = 33
VNET_HEADER = 10
MOST = 1 << 17
"""Bytes of a frame, at most."""
ROOM = 10_000
"""Frames under way in one direction; more are lost, as in a router whose queue is full."""


@dataclass
class Way:
    """From one port of the bridge to the other."""

    come: socket.socket
    go: socket.socket
    receiver: bytes
    """The hardware address behind the other port."""
    under_way: deque[tuple[float, bytes]] = field(default_factory=deque)

    def take(self, due: float) -> None:
        """One frame that came in, if it is for the other node."""
        frame = self.come.recv(MOST)
        target = frame[VNET_HEADER : VNET_HEADER + 6]
        to_all = bool(target[:1]) and bool(target[0] & 1)
        if (target == self.receiver or to_all) and len(self.under_way) < ROOM:
            self.under_way.append((due, frame))

    def pass_on(self, now: float) -> None:
        """What is due. A frame that the port does not take is lost, as on any way."""
        while self.under_way and self.under_way[0][0] <= now:
            with suppress(OSError):
                self.go.send(self.under_way.popleft()[1])


def port(name: str) -> socket.socket:
    """All frames that come in at this port of the bridge, before the bridge sees them."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    opened.bind((name, ALL_FRAMES))
    return opened


class Slow:
    """Passes frames between two ports, each `seconds` late, in a thread of its own until `end`.

    `ports`: names of both; `hosts`: the hardware addresses of the hosts behind them.
    """

    def __init__(self, ports: tuple[str, str], hosts: tuple[bytes, bytes], seconds: float) -> None:
        one, two = map(port, ports)
        self.seconds = seconds
        self._ways = (Way(one, two, hosts[1]), Way(two, one, hosts[0]))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """What is under way is lost."""
        self._ended.set()
        self._thread.join()
        for way in self._ways:
            way.come.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            due = [way.under_way[0][0] for way in self._ways if way.under_way]
            wait = max(0.0, min([*due, time.monotonic() + 0.1]) - time.monotonic())
            ready, _, _ = select.select([way.come for way in self._ways], [], [], wait)
            now = time.monotonic()
            for way in self._ways:
                if way.come in ready:
                    way.take(now + self.seconds)
                way.pass_on(now)
