"""Who may send mails, and how many: bounds by source and by mailbox. Knows no socket and no clock."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import structlog

from voicemail import pins
from voicemail.intake.letter import Trust
from voicemail.policy.elsewhere import domain_of
from voicemail.policy.locations import Location

log = structlog.get_logger()

MOST_KEYS = 10_000
"""Sources or mailboxes that are counted; the one seen longest ago is forgotten."""
WRONG_PASSWORDS, WRONG_WINDOW = 10, 600.0
"""From one source, within so many seconds, until AUTH is refused there."""


def source_of(peer: object) -> str:
    """The IP address of a connection; "" when it is unknown."""
    host = peer[0] if isinstance(peer, tuple) and peer else ""
    try:
        address: IPv4Address | IPv6Address = ip_address(str(host).partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def within(source: str, networks: Sequence[str]) -> bool:
    """Whether an address is in one of these networks; a network that is none holds nobody."""
    try:
        address = ip_address(source)
    except ValueError:
        return False
    for each in networks:
        try:
            if address in ip_network(each, strict=False):
                return True
        except ValueError:
            continue
    return False


@dataclass(frozen=True, slots=True)
class Admission:
    """`trust` None: refused with `answer`."""

    trust: Trust | None
    answer: str = ""


def admitted(
    networks: Sequence[str],
    locations: Sequence[Location],
    source: str,
    user: str,
    sender: str,
    may_auth: bool,
) -> Admission:
    """Whether `source` may send a mail from `sender`. Another system's network sends for its own domain, and
    reports (null sender); nobody else sends for a system that says where its mails come from."""
    if user:
        return Admission(Trust.USER)
    own = [p for p in locations if p.networks and sender and domain_of(sender) == p.domain.lower()]
    if own and not any(within(source, place.networks) for place in own):
        return Admission(None, "550 5.7.1 mails of that domain are not taken from there")
    if within(source, networks):
        return Admission(Trust.NETWORK)
    theirs = [place for place in locations if within(source, place.networks)]
    if any(not sender or domain_of(sender) == place.domain.lower() for place in theirs):
        return Admission(Trust.LOCATION)
    if theirs:
        return Admission(None, "550 5.7.1 this server does not send for that domain")
    if may_auth:
        return Admission(None, "530 5.7.0 sign in first")
    return Admission(None, "550 5.7.1 no mails are taken from there")


class Rate:
    """At most so many within so many seconds, by key."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def full(self, key: str, now: float) -> bool:
        times = self._seen.get(key)
        while times and times[0] <= now - self.seconds:
            times.popleft()
        return bool(times) and len(times or ()) >= self.most

    def note(self, key: str, now: float) -> None:
        times = self._seen.setdefault(key, deque(maxlen=self.most))
        times.append(now)
        self._seen.move_to_end(key)
        if len(self._seen) > MOST_KEYS:
            self._seen.popitem(last=False)


@dataclass
class Crowd:
    """Connections that are open."""

    most: int
    most_per_source: int
    open: dict[str, int] = field(default_factory=dict)

    def enter(self, source: str) -> str:
        """The answer that refuses one more; "" when it is in, to `leave` later."""
        if sum(self.open.values()) >= self.most:
            return "421 4.7.0 too many connections, try again later"
        if self.open.get(source, 0) >= self.most_per_source:
            return "421 4.7.0 too many connections from there, try again later"
        self.open[source] = self.open.get(source, 0) + 1
        return ""

    def leave(self, source: str) -> None:
        left = self.open.pop(source, 0) - 1
        if left > 0:
            self.open[source] = left


class Accounts:
    """Who may sign in: the users_file, lines "name:argon2-hash", read again whenever it is another."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._wrong = Rate(WRONG_PASSWORDS, WRONG_WINDOW)

    @property
    def any(self) -> bool:
        return self._path is not None

    def locked(self, source: str, now: float) -> bool:
        """Whether there were too many wrong passwords from there."""
        return self._wrong.full(source, now)

    async def right(self, name: str, password: str, source: str, now: float) -> bool:
        """Whether this is his password. An unknown name takes as long as a wrong password."""
        hashes = await asyncio.to_thread(self._read)
        known = await pins.compare(hashes.get(name.lower(), ""), password) if len(password) <= 256 else False
        if not known:
            self._wrong.note(source, now)
        return known

    def _read(self) -> dict[str, str]:
        try:
            lines = self._path.read_text().splitlines() if self._path else []
        except (OSError, UnicodeDecodeError) as error:
            log.error("users_file of [smtp] cannot be read", file=str(self._path), why=str(error))
            return {}
        pairs = (line.partition(":") for line in lines if not line.startswith("#"))
        return {name.strip().lower(): kept.strip() for name, colon, kept in pairs if colon}
