"""The DNS records by which callers find both nodes (RFC 3263): NAPTR, SRV with weights, addresses.

`records` says what there is to say; `render` writes it for BIND, Knot or dnsmasq. An INVITE goes to
either node by weight, and to the other one when the first is silent or answers 503.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from voicemail.errors import VoicemailError
from voicemail.secrets import Member

PRIORITY = 10
"""Alike for both nodes: both answer all the time."""
SERVICES = (("SIP+D2U", "_sip._udp", 10), ("SIP+D2T", "_sip._tcp", 20))
"""NAPTR service, its SRV name and its preference: UDP first."""
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
LONGEST_NAME = 200
"""RFC 1035 allows 253; ours get up to 50 characters in front."""


class Format(StrEnum):
    BIND = "bind"
    KNOT = "knot"
    DNSMASQ = "dnsmasq"


@dataclass(frozen=True, slots=True)
class Naptr:
    """Which transports the domain offers."""

    preference: int
    service: str
    target: str


@dataclass(frozen=True, slots=True)
class Srv:
    """A node that serves `name`, e.g. _sip._udp.vm.example."""

    name: str
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Host:
    """An address, IPv4 or IPv6."""

    name: str
    address: str

    @property
    def kind(self) -> str:
        return "A" if ip_address(self.address).version == 4 else "AAAA"


@dataclass(frozen=True, slots=True)
class Records:
    """All there is to know of a cluster's domain. Names are absolute, without their last dot."""

    domain: str
    ttl: int
    naptrs: tuple[Naptr, ...]
    srvs: tuple[Srv, ...]
    hosts: tuple[Host, ...]


def records(members: Sequence[Member], domain: str, weights: Sequence[int] = (), ttl: int = 5) -> Records:
    """The records of a cluster; `weights` are of its members in order, () for equal ones; `ttl` in
    seconds. Raises VoicemailError."""
    domain = _checked(domain)
    share = shares(members, weights)
    if not 0 <= ttl <= 2**31 - 1:
        raise VoicemailError(f"not a time to live in seconds: {ttl}")
    names = {member.number: host_name(member, domain) for member in members}
    hosts = tuple(Host(names[member.number], member.address) for member in members)
    return Records(
        domain,
        ttl,
        tuple(Naptr(preference, service, f"{name}.{domain}") for service, name, preference in SERVICES),
        tuple(
            Srv(f"{name}.{domain}", share[member.number], member.sip_port, names[member.number])
            for _, name, _ in SERVICES
            for member in members
        ),
        hosts,
    )


def host_name(member: Member, domain: str) -> str:
    """The absolute name of a node: its own if it lies in the domain, else one made there."""
    name = member.name.lower()
    return _checked(name if name.endswith(f".{domain}") else f"{name}.{domain}")


def render(found: Records, form: Format, serial: int = 0, name_servers: Sequence[str] = ()) -> str:
    """The text for a name server. BIND and Knot get a whole zone when `name_servers` are given, with
    `serial`; else records to include in a zone that is there. dnsmasq needs neither."""
    if form is Format.DNSMASQ:
        return _dnsmasq(found)
    servers = [_checked(server) for server in name_servers]
    return "\n".join([*_zone_head(found, form, serial, servers), *_zone_lines(found)]) + "\n"


def _checked(name: str) -> str:
    lowered = name.strip().rstrip(".").lower()
    if not lowered or len(lowered) > LONGEST_NAME or not all(map(LABEL.fullmatch, lowered.split("."))):
        raise VoicemailError(f"not a name for DNS: {name!r}")
    return lowered


def shares(members: Sequence[Member], weights: Sequence[int]) -> dict[int, int]:
    """The weight of each member by its number, equal ones for (). Raises VoicemailError."""
    chosen = list(weights) or [50] * len(members)
    if len(chosen) != len(members):
        names = ", ".join(member.name for member in members)
        raise VoicemailError(f"{len(chosen)} weights for {len(members)} servers: {names}")
    if any(not 0 <= weight <= 65535 for weight in chosen) or not any(chosen):
        raise VoicemailError("weights are from 0 to 65535, and not all of them 0")
    return {member.number: weight for member, weight in zip(members, chosen, strict=True)}


def _zone_head(found: Records, form: Format, serial: int, servers: list[str]) -> list[str]:
    lines = ["; A cluster of voicemail servers. Made by `voicemail deploy dns`."]
    if not servers:
        lines.append(f'; In the zone that holds {found.domain}: $INCLUDE "FILE"')
    elif form is Format.BIND:
        lines.append(f'; In named.conf: zone "{found.domain}" {{ type primary; file "FILE"; }};')
    else:
        lines += ["; In knot.conf:", "; zone:", f";   - domain: {found.domain}", ';     file: "FILE"']
    lines.append(f"$TTL {found.ttl}")
    if servers:
        # a name that is not there is asked for again after the last figure
        times = f"{serial} 3600 600 604800 {found.ttl}"
        lines.append(f"{found.domain}. SOA {servers[0]}. hostmaster.{found.domain}. {times}")
        lines += [f"{found.domain}. NS {server}." for server in servers]
    return lines


def _zone_lines(found: Records) -> list[str]:
    naptrs = [
        f'{found.domain}. NAPTR {PRIORITY} {n.preference} "s" "{n.service}" "" {n.target}.'
        for n in found.naptrs
    ]
    srvs = [f"{s.name}. SRV {PRIORITY} {s.weight} {s.port} {s.target}." for s in found.srvs]
    return [*naptrs, *srvs, *(f"{host.name}. {host.kind} {host.address}" for host in found.hosts)]


def _dnsmasq(found: Records) -> str:
    lines = ["# A cluster of voicemail servers. Made by `voicemail deploy dns --format dnsmasq`."]
    lines += [f"local=/{found.domain}/", f"local-ttl={found.ttl}"]
    lines += [
        f"naptr-record={found.domain},{PRIORITY},{n.preference},s,{n.service},,{n.target}"
        for n in found.naptrs
    ]
    lines += [f"srv-host={s.name},{s.target},{s.port},{PRIORITY},{s.weight}" for s in found.srvs]
    lines += [f"host-record={host.name},{host.address},{found.ttl}" for host in found.hosts]
    return "\n".join(lines) + "\n"
