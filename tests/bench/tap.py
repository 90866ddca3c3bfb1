"""Looks at RTP on loopback: when a key went out on the wire, and when which voice came back.

By a packet socket, so it takes root; times are the kernel's, and neither the telephone's jitter buffer nor
its process is in them.
"""

import ctypes
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sip import hears, wav

TIMESTAMP, FILTER, BUFFER = 35, 26, 33
"""SO_TIMESTAMPNS, SO_ATTACH_FILTER, SO_RCVBUFFORCE of asm-generic/socket.h."""
ONLY_UDP = ((0x30, 0, 0, 9), (0x15, 0, 1, 17), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))
"""ldb [9]; jeq #17; ret #65535; ret #0."""
EVENT = struct.Struct("!BBH")
KEYS = "0123456789*#"
VALUES = np.array(wav.ULAW_VALUES, np.float64)


@dataclass(frozen=True, slots=True)
class Key:
    """A key (RFC 4733) whose first packet was sent at `at`, seconds since the epoch."""

    at: float
    key: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A prompt, and how many of its samples are quiet before it can be heard."""

    samples: hears.Samples
    lead: int

    @classmethod
    def of(cls, prompt: hears.Samples, seconds: float = 0.8) -> "Wanted":
        """The first so many seconds of it: the next key cuts the rest."""
        return cls(prompt[: int(seconds * wav.RATE)], int(np.argmax(np.abs(prompt) > 330)))


@dataclass(slots=True)
class Stream:
    """What went between one port of a telephone and its node."""

    keys: list[Key] = field(default_factory=list)
    voice: list[tuple[float, int, bytes]] = field(default_factory=list)
    """When, RTP timestamp, mu-law samples: of what came."""
    event: int = -1

    def answer(self, after: float, before: float, wanted: "Wanted") -> float | None:
        """When the packet came in which `wanted` begins to be audible; None when it did not come between
        both times."""
        packets = [each for each in self.voice if after < each[0] < before]
        if not packets:
            return None
        first = min(stamp for _, stamp, _ in packets)
        heard = np.zeros(max(stamp - first + len(data) for _, stamp, data in packets))
        for _, stamp, data in packets:
            heard[stamp - first : stamp - first + len(data)] = VALUES[np.frombuffer(data, np.uint8)]
        began = hears.find(heard, wanted.samples)
        if began is None:
            return None
        sample = first + max(0, round(began * wav.RATE) + wanted.lead)
        return min(at for at, stamp, data in packets if sample < stamp + len(data))


class Tap:
    """`streams` by port of the telephone; those of `ports` only."""

    def __init__(self, ports: range) -> None:
        self.ports, self.streams = ports, defaultdict[int, Stream](Stream)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in ONLY_UDP))
        attached = struct.pack("HL", len(ONLY_UDP), ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, FILTER, attached)
        self._socket.setsockopt(socket.SOL_SOCKET, BUFFER, 2**26)
        self._socket.setsockopt(socket.SOL_SOCKET, TIMESTAMP, 1)
        self._socket.bind(("lo", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(512, 64)
            if data[9] == socket.IPPROTO_UDP and ancillary:
                seconds, nano = struct.unpack("qq", ancillary[0][2])
                self._packet(seconds + nano / 1e9, data[4 * (data[0] & 15) :])

    def _packet(self, at: float, udp: bytes) -> None:
        source, target = struct.unpack("!HH", udp[:4])
        rtp = udp[8:]
        if len(rtp) < 16 or rtp[0] != 0x80:
            return
        kind, stamp = rtp[1] & 0x7F, int.from_bytes(rtp[4:8])
        if source in self.ports and kind >= 96 and len(rtp) == 16:
            stream = self.streams[source]
            if stamp != stream.event:
                stream.event = stamp
                stream.keys.append(Key(at, KEYS[EVENT.unpack(rtp[12:])[0]]))
        elif target in self.ports and kind == 0:
            self.streams[target].voice.append((at, stamp, rtp[12:]))


def marks(values: Sequence[float]) -> str:
    """p50, p90, p99 and the longest, in ms."""
    ms = [1000 * each for each in sorted(values)] or [float("nan")]
    return "".join(f"{ms[round(share * (len(ms) - 1))]:8.1f}" for share in (0.5, 0.9, 0.99, 1.0))
