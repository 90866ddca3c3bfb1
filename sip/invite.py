"""Who was called, by whom, and why: the values a conversation may know of an INVITE."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a call was forwarded (RFC 4458 section 2, RFC 5806 section 5)."""

    UNKNOWN = "unknown"
    BUSY = "busy"
    NO_REPLY = "no-reply"
    UNCONDITIONAL = "unconditional"
    DEFLECTION = "deflection"
    UNAVAILABLE = "unavailable"


class Source(StrEnum):
    """Where an INVITE tells that it was forwarded, in the order in which they are believed unless a trunk
    has its own."""

    TARGET = "target"
    """The request URI's `target` and `cause` (RFC 4458)."""
    HISTORY = "history-info"
    DIVERSION = "diversion"


@dataclass(frozen=True, slots=True)
class Redirection:
    """One forwarding: the number that was called first, and why it did not answer."""

    number: str
    reason: Reason = Reason.UNKNOWN
    name: str = ""


@dataclass(frozen=True, slots=True)
class Invite:
    """An INVITE reduced to what routing needs. Numbers are the user parts, percent-decoded.

    `redirections` are in the order in which the call travelled: the first entry is the party that
    was called originally. `source` is the address the edge saw ("udp:192.0.2.7:5060"), taken from
    its own header and never from the caller's.
    """

    call_id: str
    dialled: str
    caller: str
    caller_name: str = ""
    redirections: tuple[Redirection, ...] = ()
    """Of the first source that says anything."""
    asserted: str = ""
    source: str = ""
    trunk: str = ""
    """The trunk that the edge found for `source`; "" for a caller from an allowed network."""
    identified: str = ""
    """The extension of the user who certainly is calling: registered by digest at an edge, or asserted by
    a trunk whose word is believed (`trust_identity`). "" for everybody else; From alone never counts."""
    told: tuple[tuple[Source, tuple[Redirection, ...]], ...] = ()
    """What each source says, where it says anything."""

    def by_sources(self, sources: Sequence[Source]) -> tuple[Redirection, ...]:
        """The forwardings that the first of these sources tells of which says anything."""
        told = dict(self.told)
        return next((told[each] for each in sources if each in told), ())
