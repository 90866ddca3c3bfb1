"""Beacons: the keep-alive as a datagram, twenty times a second, beside the one on TLS (`keepalive.py`).

When packets are lost, TCP waits longer at each repetition, so that of a link that loses one packet in five
nothing is heard for many seconds. Of datagrams every lost one is just lost. Nothing in a beacon is secret;
a tag (HMAC-SHA256 under a key made from the cluster's secret) shows that it is of this cluster.

An old datagram must prove nothing: neither one that was under way for long, nor one that lay in the socket
while this process was frozen, nor one that somebody recorded. So each beacon also says which of ours was
the last to reach the peer, its *echo*. Only one that echoes what this process sent within the last ROUND
seconds counts, and the moment of sending that is the proof: the beacon was made after it. A link that is
cut one way so falls silent on both ends.

Where datagrams do not pass, or the peer is of a release without beacons, all is as without them.
"""

import asyncio
import hashlib
import hmac
import json
import secrets as random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from voicemail.cluster.keepalive import KeepAlive, Say
from voicemail.secrets import Member

log = structlog.get_logger()

EVERY = 0.05
ROUND = 1.0
"""Seconds in which an echo must come round. Two seconds after what was heard the peer counts as silent, and
should it freeze its lease takes 1.5 s to end: more than a second may not be spent on the way."""
UNPROVEN = 0.5
"""Seconds without one that counts, after which beacons of another process of the peer are echoed: it was
started anew. Before that they may be a recording's."""
LONGEST = 1400
"""Bytes of a datagram: what passes everywhere in one packet."""
TAG = hashlib.sha256().digest_size
AGAIN = 0.2
"""Seconds until a port that cannot be opened is tried again."""


def key_of(secret: str) -> bytes:
    """The key of the tags. `secret` is the cluster's."""
    return hmac.digest(secret.encode(), b"tandem beacon 1", "sha256")


@dataclass(frozen=True, slots=True)
class Beacon:
    """`said` has a `run` and a `beat`; `echo` is those of the newest beacon that its sender had heard."""

    said: KeepAlive
    echo: tuple[str, int] = ("", 0)

    def datagram(self, key: bytes) -> bytes:
        body = json.dumps({"echo": self.echo}).encode() + b"\n" + self.said.line()
        return hmac.digest(key, body, "sha256") + body

    @classmethod
    def read(cls, datagram: bytes, key: bytes) -> "Beacon":
        """Raises ValueError for anything that no node of this cluster sent. Looks at the length before the
        tag, and into it only when the tag is right, so that rubbish costs little."""
        if not TAG < len(datagram) <= LONGEST:
            raise ValueError("its length is wrong")
        tag, body = datagram[:TAG], datagram[TAG:]
        if not hmac.compare_digest(tag, hmac.digest(key, body, "sha256")):
            raise ValueError("it is not of this cluster")
        first, _, line = body.partition(b"\n")
        try:
            run, beat = json.loads(first)["echo"]
            return cls(KeepAlive.read(line), (str(run), int(beat)))
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"not a beacon: {error}") from None


@dataclass(frozen=True, slots=True)
class Beacons:
    """What this process sent of late, and the newest that it heard. Pure: decides which beacon counts."""

    run: str
    """Of this process."""
    sent: tuple[tuple[int, float], ...] = ()
    """Beats of the last ROUND seconds and when they were sent, oldest first."""
    echo: tuple[str, int] = ("", 0)
    proven: float = float("-inf")
    """When the last that counts came."""

    def sends(self, beat: int, now: float) -> "Beacons":
        recent = (one for one in self.sent if now - one[1] <= ROUND)
        return replace(self, sent=(*recent, (beat, now)))

    def hears(self, beacon: Beacon, now: float) -> tuple["Beacons", float | None]:
        """A beacon came, with the right tag. With it: when this process sent what it echoes; None when it
        proves nothing (yet)."""
        (run, newest), said = self.echo, beacon.said
        if said.run == run and said.beat <= newest:
            return self, None  # twice, overtaken, or a recording's
        proof = self._sent(beacon.echo, now)
        if said.run != run and proof is None and now - self.proven <= UNPROVEN:
            return self, None
        heard = replace(self, echo=(said.run, said.beat))
        return (heard, None) if proof is None else (replace(heard, proven=now), proof)

    def _sent(self, echo: tuple[str, int], now: float) -> float | None:
        run, beat = echo
        if run != self.run:
            return None
        return next((at for number, at in self.sent if number == beat and now - at <= ROUND), None)


class Voice:
    """Numbers what this process says of itself, whichever way it goes. `say` does not know of it."""

    def __init__(self, say: Say) -> None:
        self.say, self.run, self.beat = say, random.token_hex(8), 0

    def __call__(self) -> KeepAlive:
        self.beat += 1
        return replace(self.say(), run=self.run, beat=self.beat)


Heard = Callable[[KeepAlive, float], None]
"""Takes what the peer said, and a moment (monotonic) after which it did."""


class Exchange(asyncio.DatagramProtocol):
    """Beacons to and from the peer, each on its cluster port; `run` goes on for ever."""

    def __init__(self, me: Member, peer: Member, key: bytes, voice: Voice, heard: Heard) -> None:
        self.me, self.peer, self.key, self.voice, self.heard = me, peer, key, voice, heard
        self.beacons = Beacons(voice.run)
        self.told = set[str]()

    async def run(self) -> None:
        while True:
            try:
                await self._open()
            except OSError as error:
                self._complain(f"cannot be sent: {error}")
            await asyncio.sleep(AGAIN)

    async def _open(self) -> None:
        """Send until the socket fails."""
        loop, where = asyncio.get_running_loop(), (self.me.address, self.me.cluster_port)
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=where)
        try:
            while not transport.is_closing():
                said = self.voice()
                self.beacons = self.beacons.sends(said.beat, time.monotonic())
                beacon = Beacon(said, self.beacons.echo).datagram(self.key)
                transport.sendto(beacon, (self.peer.address, self.peer.cluster_port))
                await asyncio.sleep(EVERY)
        finally:
            transport.close()

    def datagram_received(self, data: bytes, _: object) -> None:
        now = time.monotonic()
        try:
            beacon = Beacon.read(data, self.key)
        except ValueError as error:
            return self._complain(f"refused: {error}")
        if beacon.said.number != self.peer.number:
            return self._complain(f"refused: it is of node {beacon.said.number}")
        self.beacons, proof = self.beacons.hears(beacon, now)
        if proof is not None:
            self.heard(beacon.said, proof)

    def error_received(self, error: Exception) -> None:
        """What does not go out is lost like any other."""

    def _complain(self, why: str) -> None:
        """One line for each reason. Without beacons all goes on, so none of them is an error."""
        if why not in self.told and len(self.told) < 20:
            self.told.add(why)
            log.warning("A keep-alive by datagram is of no use.", why=why)
