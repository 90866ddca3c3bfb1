"""Settings of the engine and of the pool. Imports no SIP stack, so a supervisor may use them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sip.call import Prompts


def _no_prompts(_name: str, _language: str) -> Path | None:
    return None


@dataclass(frozen=True, slots=True)
class Login:
    """How a telephone registers: the registrar's URI, its user and the password."""

    registrar: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One pjsua2 library in one process.

    SIP and RTP have addresses of their own: a worker's SIP hides on loopback behind the edge, while
    RTP goes to the phones directly and needs the node's real address. Port 0 lets the system choose.
    """

    sip_address: str = "127.0.0.1"
    sip_port: int = 0
    rtp_address: str = "127.0.0.1"
    rtp_port: int = 20000
    rtp_ports: int = 40
    max_calls: int = 4
    """The published wheel clamps this to 4; a pjsua2 built with larger limits carries more."""
    poll_ms: int = 500
    """How long the main thread sleeps when nothing happens; commands interrupt it."""
    identity: str = ""
    """The From of what we send, "sip:vm@example.com"; "" makes one of the SIP address."""
    edge: str = ""
    """By way of which workers call others for their callers, a loose-route URI; "" calls directly."""
    temporary: Path = field(default_factory=lambda: Path(os.environ.get("TMPDIR", "/tmp")))
    """Where sounds that are played in one go are joined; the files are unlinked at once."""
    watch_messages: bool = False
    """Take unsolicited message summaries, as a PBX does (RFC 3842 section 3.5)."""
    codecs: tuple[str, ...] = ("PCMU/8000", "PCMA/8000", "G722/16000")
    """What we speak, best first, as pjsua2 names it (without the channels); everything else is off."""
    suppress_silence: bool = True
    """Send no RTP while there is nothing but silence to send."""
    hears_tones: bool = False
    """Take tones in the audio for keys, in calls that agreed on no telephone events."""
    log_level: int = 1


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """A zygote and its workers. Slot n (from 0) listens on `engine.sip_port + n`."""

    workers: int
    engine: EngineSettings
    board: Path
    prompts: Prompts = _no_prompts
    drain: float = 30.0
    """Seconds that calls in progress may take after SIGTERM before they are ended."""
    hung: float = 10.0
    """Seconds after which a worker that no longer polls is killed: it answers nobody, and its recordings are
    safer in the spool. It polls twice a second."""
    keep_rtp_trunks: frozenset[str] = frozenset()
    """Trunks (names as the edge tells them) that must get RTP packets even while we are silent."""
    prepare: Callable[[], None] = field(default=lambda: None)
    """Run once in the zygote before the first fork: import here whatever the session will need."""

    def engine_of(self, slot: int) -> EngineSettings:
        """The engine of one slot: its own SIP port and its own range of RTP ports."""
        return replace(
            self.engine,
            sip_port=self.engine.sip_port + slot,
            rtp_port=self.engine.rtp_port + slot * self.engine.rtp_ports,
        )
