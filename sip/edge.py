"""The edge of a node: two Kamailio process trees, described by settings and rendered to files.

`edge` faces the network (sip/data/edge.cfg says how it decides). `presence` stands behind it on
loopback and keeps the subscriptions of phones to their lamps in PostgreSQL. They are two, because
presence waits for its database, and a call must never wait for anyone (a hung database would hold
the processes that route INVITEs, and without a database presence does not even start).

A supervisor writes the files, runs `argv` and `presence_argv` in the foreground and starts either
again when it ends. Start each in a session of its own and kill the whole process group before
starting it again: the children of a Kamailio killed with -9 keep its port.
"""

import ipaddress
import os
import re
import secrets
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import NamedTuple, Self

from sip import digest
from sip.errors import EdgeFailed

LAMP_DOMAIN = "lamps.invalid"
"""Presence knows a mailbox by one name only, whatever the phone called us (RFC 6761 section 6.4)."""

WHEEL_ABORTS = 33
"""Calls within half a second that abort one worker process (pjsua2 with 64 handles)."""

INSIDE, PEER, TRUNK, PHONE, BALANCER = 1, 2, 3, 4, 5
"""Groups of address.list, in the words of edge.cfg."""

LOG_LEVELS = {"error": -1, "warning": 0, "notice": 1, "info": 2, "debug": 3}
CONTROL_SOCKET = "edge.sock"
LONGEST_SOCKET_PATH = 107
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
SECRET = re.compile(r"[A-Za-z0-9]{16,64}")
DATABASE = re.compile(r"postgres://[\w.~%-]+(:[\w.~%-]+)?@[\w.-]+(:\d+)?/[\w-]+")


class Address(NamedTuple):
    """An IP address and a port; port 0, where it is allowed, means any."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "192.0.2.1:5060" or "[2001:db8::1]:5060". Raises EdgeFailed."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal():
            raise EdgeFailed(f"not an address and a port: {text!r}")
        return cls(host.strip("[]"), int(port)).checked()

    def checked(self) -> Self:
        """This address, when it is an IP address with a port. Raises EdgeFailed."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            raise EdgeFailed(f"not an IP address: {self.host!r}") from None
        if not 0 <= self.port <= 65535:
            raise EdgeFailed(f"not a port: {self.port}")
        return self

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the edge answers, by UDP and TCP. `advertised` is put into Via and Record-Route instead,
    for an edge behind a static NAT; our own workers must be able to reach it too."""

    address: Address
    advertised: Address | None = None


@dataclass(frozen=True, slots=True)
class Trunk:
    """A PBX: a name for the log and the conversation, and the addresses or networks it calls from."""

    name: str
    addresses: tuple[str, ...]
    trusted: bool = False
    """Whether its P-Asserted-Identity says for certain who calls."""


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """All that the edge of one node depends on. Checked when made: raises EdgeFailed."""

    listen: tuple[Listen, ...]
    """The first is the one the peer names as its peer."""
    workers: tuple[Address, ...]
    """SIP addresses on loopback. One call tries 28 of them at most, beginning with the next in turn."""
    presence: Address
    """Where the presence server listens; loopback."""
    database: str = ""
    """postgres://user:password@host:port/name of Kamailio's own database; "" leaves presence out."""
    peer: Address | None = None
    """The other node's edge (UDP). What comes from this address and port is believed."""
    trunks: tuple[Trunk, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    """Where phones may call and subscribe from, e.g. "10.0.0.0/8"."""
    balancers: tuple[Address, ...] = ()
    """SIP balancers in front of us (UDP). They tell where a request came from, and are believed."""
    members: tuple[Address, ...] = ()
    """Own senders besides the workers (the request client). They may send requests anywhere."""
    calls_per_worker_second: int = 12
    """Per window of one second; twice this within half a second must not abort a worker."""
    requests_per_source_second: int = 100
    """INVITE and SUBSCRIBE per source address; 503 beyond, silence at four times as many requests."""
    retry_after: int = 5
    """Seconds, in every 503."""
    digest_secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    """Alike on both nodes, so that a phone may answer a challenge of one at the other."""
    serving: bool = False
    """Whether OPTIONS gets 200 and calls are taken from the start; later see EdgeControl."""
    log_level: str = "notice"
    memory: int = field(default=64)
    """MiB of shared memory for transactions; a flood beyond it is refused, and harms no other process."""

    def __post_init__(self) -> None:
        for address in (
            *self.workers,
            *self.members,
            *self.balancers,
            self.presence,
            *filter(None, [self.peer]),
        ):
            address.checked()
        for listen in self.listen:
            (listen.advertised or listen.address).checked()
            listen.address.checked()
        for network in (*self.allowed_networks, *(a for trunk in self.trunks for a in trunk.addresses)):
            network_of(network)
        self._check_names()

    def _check_names(self) -> None:
        if not self.listen:
            raise EdgeFailed("the edge listens nowhere")
        for trunk in self.trunks:
            if not NAME.fullmatch(trunk.name):
                raise EdgeFailed(f"not a name for a trunk: {trunk.name!r}")
        if self.database and not DATABASE.fullmatch(self.database):
            raise EdgeFailed("the edge's database is not postgres://user:password@host:port/name")
        if not SECRET.fullmatch(self.digest_secret):
            raise EdgeFailed("the secret of the digest is not 16 to 64 letters and digits")
        if self.log_level not in LOG_LEVELS:
            raise EdgeFailed(f"not a log level: {self.log_level!r}, but one of {', '.join(LOG_LEVELS)}")
        if not 0 < 2 * self.calls_per_worker_second < WHEEL_ABORTS:
            raise EdgeFailed(f"a worker takes 1 to 16 calls a second, not {self.calls_per_worker_second}")
        if self.requests_per_source_second < 1 or self.retry_after < 1 or self.memory < 16:
            raise EdgeFailed("a rate, a delay or the memory is too small")


def network_of(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Read "10.0.0.0/8" or a single address. Raises EdgeFailed."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise EdgeFailed(f"not an IP address or network: {text!r}") from None


def render(settings: EdgeSettings, run_directory: Path) -> dict[str, str]:
    """The files of an edge by name. presence.cfg holds the database's password."""
    if len(os.fsencode(run_directory / CONTROL_SOCKET)) > LONGEST_SOCKET_PATH or re.search(
        r'[\s"\\]', str(run_directory)
    ):
        raise EdgeFailed(f"no place for a socket: {run_directory} is too long, or has blanks or quotes")
    words = _words(settings, run_directory)
    files = {
        "kamailio.cfg": _head(settings) + _fill("edge.cfg", words) + "\n" + _fill("phones.cfg", words),
        "dispatcher.list": _dispatcher_list(settings),
        "address.list": _address_list(settings),
    }
    if settings.database:
        own = f"debug={LOG_LEVELS[settings.log_level]}\nlisten=udp:{settings.presence}\n"
        files["presence.cfg"] = own + _fill("presence.cfg", words)
    return files


def write(settings: EdgeSettings, run_directory: Path) -> None:
    """Write the files of an edge into `run_directory`, each whole or not at all, readable by us only."""
    for name, text in render(settings, run_directory).items():
        fresh = run_directory / f".{name}.new"
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.rename(run_directory / name)


def argv(run_directory: Path, memory: int = 64) -> list[str]:
    """The command that runs the edge in the foreground, logging to stderr; `memory` in MiB."""
    return _command(run_directory, "kamailio.cfg", "edge.pid", memory)


def presence_argv(run_directory: Path, memory: int = 32) -> list[str]:
    """The command that runs the presence server in the foreground. It ends at once, with a message,
    when the database is not there: start it again later."""
    return _command(run_directory, "presence.cfg", "presence.pid", memory)


def _command(run_directory: Path, config: str, pid: str, memory: int) -> list[str]:
    where = str(run_directory)
    files = ["-f", f"{where}/{config}", "-P", f"{where}/{pid}", "-Y", where, "-w", where]
    return ["kamailio", "-DD", "-E", "-m", str(memory), *files]


def _head(settings: EdgeSettings) -> str:
    lines = [f"debug={LOG_LEVELS[settings.log_level]}"]
    lines.append(f'edge.serving = {int(settings.serving)} desc "1: calls are taken"')
    for listen in settings.listen:
        advertise = f" advertise {listen.advertised}" if listen.advertised else ""
        lines += [f"listen={protocol}:{listen.address}{advertise}" for protocol in ("udp", "tcp")]
    if settings.database:
        lines.append("#!define PRESENCE")
    return "\n".join(lines) + "\n"


def _words(settings: EdgeSettings, run_directory: Path) -> dict[str, str]:
    """What the capitals in sip/data/*.cfg stand for."""
    first = settings.listen[0]
    public = first.advertised or first.address
    return {
        "RUN_DIRECTORY": str(run_directory),
        "PING_HOST": str(public).rpartition(":")[0],
        "WORKER_RATE": str(settings.calls_per_worker_second),
        "SOURCE_RATE": str(settings.requests_per_source_second),
        "SOURCE_FLOOD": str(4 * settings.requests_per_source_second),
        "RETRY_AFTER": str(settings.retry_after),
        "LAMP_DOMAIN": LAMP_DOMAIN,
        "PRESENCE_ADDRESS": str(settings.presence),
        "DATABASE_URL": settings.database,
        "PUBLIC_ADDRESS": str(public),
        "REALM": digest.REALM,
        "NONCE_SECRET": settings.digest_secret,
        "TRUSTED_TRUNK": " || ".join(f'$avp(trunk) == "{t.name}"' for t in settings.trunks if t.trusted)
        or '"" != ""',
        "FROM_EDGE": " || ".join(_from(listen.address) for listen in settings.listen),
    }


def _from(address: Address) -> str:
    return f'($si == "{address.host}" && $sp == {address.port})'


def _fill(name: str, words: dict[str, str]) -> str:
    text = resources.files("sip").joinpath("data", name).read_text()
    pattern = r"\b(" + "|".join(words) + r")\b"
    return re.sub(pattern, lambda match: words[match[0]], text)


def _dispatcher_list(settings: EdgeSettings) -> str:
    """Set 1: own workers. Set 2: the peer, believed dead (1) and probed (8) until it answers, and
    always called from our first address, since that is the one it knows us by."""
    lines = [f"1 sip:{worker} 0 0" for worker in settings.workers]
    if settings.peer:
        lines.append(f"2 sip:{settings.peer} 9 0 socket=udp:{settings.listen[0].address}")
    return "\n".join(lines) + "\n"


def _address_list(settings: EdgeSettings) -> str:
    """Lines of group, address, mask, port (0: any) and, for a trunk, its name."""
    inside = (*settings.workers, settings.presence, *settings.members)
    lines = [_address_line(INSIDE, address.host, address.port) for address in dict.fromkeys(inside)]
    if settings.peer:
        lines.append(_address_line(PEER, settings.peer.host, settings.peer.port))
    for trunk in settings.trunks:
        lines += [_address_line(TRUNK, network, 0, trunk.name) for network in trunk.addresses]
    lines += [_address_line(PHONE, network, 0) for network in settings.allowed_networks]
    lines += [_address_line(BALANCER, address.host, address.port) for address in settings.balancers]
    return "\n".join(lines) + "\n"


def _address_line(group: int, network: str, port: int, tag: str = "") -> str:
    parsed = network_of(network)
    return f"{group} {parsed.network_address} {parsed.prefixlen} {port} {tag}".rstrip()
