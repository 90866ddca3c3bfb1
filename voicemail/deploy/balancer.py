"""A SIP balancer in front of both edges: the files of a Kamailio, for callers that know one address only.

It needs no knowledge of the cluster but the addresses of the edges; who may call is left to them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from sip.edge import Address
from sip.errors import EdgeFailed
from voicemail.deploy.dns import shares
from voicemail.errors import VoicemailError
from voicemail.secrets import Member

FLOOD = 800
"""Requests a second of one source before its requests are dropped; the edges refuse with 503 long before."""


@dataclass(frozen=True, slots=True)
class Balancer:
    """Where it listens, by UDP and TCP, and to which edges it sends how much."""

    listen: Address
    edges: tuple[tuple[Address, int], ...]
    """Address, and its share of the calls in percent."""


def balancer(listen: str, members: Sequence[Member], weights: Sequence[int] = ()) -> Balancer:
    """The balancer of a cluster; `listen` is "192.0.2.20:5060", `weights` are of the members in order, ()
    for equal ones, and count as 1 % at least. Raises VoicemailError."""
    try:
        where = Address.parse(listen)
        edges = [Address(member.address, member.sip_port).checked() for member in members]
    except EdgeFailed as error:
        raise VoicemailError(str(error)) from None
    if where in edges:
        raise VoicemailError(f"an edge listens at {where} itself")
    chosen = [*shares(members, weights).values()]
    return Balancer(where, tuple(zip(edges, _percent(chosen), strict=True)))


def _percent(weights: Sequence[int]) -> list[int]:
    """Shares that make 100, and no 0: with one, Kamailio forgets the weights of all."""
    percent = [max(1, round(100 * weight / sum(weights))) for weight in weights]
    percent[percent.index(max(percent))] += 100 - sum(percent)
    return percent


def render(made: Balancer, directory: Path) -> dict[str, str]:
    """Its files by name; they are to be put into `directory`. Raises VoicemailError."""
    if re.search(r'[\s"\\]', str(directory)):
        raise VoicemailError(f"{directory} has blanks or quotes")
    words = {
        "DIRECTORY": str(directory),
        "PING_HOST": str(made.listen).rpartition(":")[0],
        "SOURCE_FLOOD": str(FLOOD),
    }
    text = resources.files("voicemail.deploy").joinpath("balancer.cfg").read_text()
    filled = re.sub(r"\b(" + "|".join(words) + r")\b", lambda match: words[match[0]], text)
    head = "".join(f"listen={protocol}:{made.listen}\n" for protocol in ("udp", "tcp"))
    return {"kamailio.cfg": head + filled, "dispatcher.list": _dispatcher_list(made)}


def _dispatcher_list(made: Balancer) -> str:
    """Always from one socket, since that is what the edges know the balancer by."""
    return "".join(
        f"1 sip:{address} 0 0 weight={weight};socket=udp:{made.listen}\n" for address, weight in made.edges
    )
