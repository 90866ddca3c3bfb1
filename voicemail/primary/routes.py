"""Where mails for a destination go: to a host that was configured, or to the mail exchangers of a domain
(RFC 5321 section 5; null MX: RFC 7505). Names are looked up with a bound, and never in the loop's own
threads: somebody's dead name server must not delay mails to anybody else."""

import asyncio
import random
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver
from aiosmtplib import SMTPRecipientRefused

from voicemail.config import Mail
from voicemail.policy.elsewhere import MAIL_PORT, is_domain
from voicemail.policy.locations import Tls

LOOK_UP = 10.0
"""Seconds."""
MOST_EXCHANGERS, MOST_ADDRESSES = 5, 4
"""Of a domain, and of a host, that are tried."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way to a destination. Without a host it is that of the mail exchangers of `domain`."""

    host: str = ""
    port: int = MAIL_PORT
    domain: str = ""
    tls: Tls = Tls.OPPORTUNISTIC
    user: str = ""
    password_file: str = ""

    @property
    def name(self) -> str:
        """Of the destination: what has the same name shares a lane."""
        return f"{self.host}:{self.port}" if self.host else f"mx {self.domain}"


@dataclass(frozen=True, slots=True)
class Place:
    """One address to connect to. `host` is whose certificate it must have."""

    host: str
    address: str
    port: int


def smart_host(mail: Mail) -> Route | None:
    """[mail]'s way; None when there is none."""
    if not mail.host:
        return None
    tls = (Tls.VERIFY if mail.tls else Tls.NONE) if isinstance(mail.tls, bool) else Tls(mail.tls)
    return Route(mail.host, mail.port, tls=tls, user=mail.user, password_file=mail.password_file)


class Names(Protocol):
    """Looks names up. The real one is Dns."""

    async def exchangers(self, domain: str) -> Sequence[str]:
        """Mail exchangers, best first; the domain itself when it names none. Raises OSError when nobody can
        tell now, SMTPRecipientRefused when there is no such domain or it takes no mail."""

    async def addresses(self, host: str, configured: bool) -> Sequence[str]:
        """Of a host that was `configured` (as this machine knows it), or found in the DNS. Raises OSError."""


async def places(names: Names, route: Route) -> list[Place]:
    """What can be tried, in order. Raises OSError, SMTPRecipientRefused."""
    hosts = [route.host] if route.host else list(await names.exchangers(route.domain))[:MOST_EXCHANGERS]
    found: list[Place] = []
    why: OSError | None = None
    for host in hosts:
        try:
            addresses = await names.addresses(host, bool(route.host))
        except OSError as error:
            why = error
            continue
        found += [Place(host, each, route.port) for each in list(addresses)[:MOST_ADDRESSES]]
    if not found:
        raise why or OSError(f"{route.name}: no address")
    return found


class Dns:
    """The domain name system. `random` (0 <= x < 1) orders exchangers of the same preference; `resolver`
    makes what asks this machine's name servers, as they are configured at the moment."""

    def __init__(
        self,
        random: Callable[[], float] = random.random,
        resolver: Callable[[], dns.asyncresolver.Resolver] = dns.asyncresolver.Resolver,
        within: float = LOOK_UP,
    ) -> None:
        self._random, self._resolver, self._within = random, resolver, within
        self._threads = ThreadPoolExecutor(4, "host names")

    async def exchangers(self, domain: str) -> Sequence[str]:
        if not is_domain(_in_ascii(domain)):
            raise SMTPRecipientRefused(553, "5.1.2 not a domain", domain)
        try:
            answer = await self._asked(_in_ascii(domain), "MX")
        except dns.resolver.NXDOMAIN:
            raise SMTPRecipientRefused(550, "5.1.2 there is no such domain", domain) from None
        except dns.resolver.NoAnswer:
            return [domain]
        found = [(each.preference, self._random(), str(each.exchange).rstrip(".")) for each in answer]
        if [host for *_, host in found] == [""]:
            raise SMTPRecipientRefused(556, "5.1.10 the domain takes no mail", domain)
        return [host for *_, host in sorted(found) if host]

    async def addresses(self, host: str, configured: bool) -> Sequence[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            return await (self._known_here(host) if configured else self._in_dns(host))

    async def _known_here(self, host: str) -> Sequence[str]:
        def look() -> list[str]:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(each[4][0]) for each in found))

        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.run_in_executor(self._threads, look), self._within)

    async def _in_dns(self, host: str) -> Sequence[str]:
        """There are name servers that fail when asked for AAAA: the host has its A all the same."""
        found: list[str] = []
        why: OSError | None = None
        for kind in ("AAAA", "A"):
            try:
                found += [each.address for each in await self._asked(host, kind)]
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                continue
            except OSError as error:
                why = error
        if why and not found:
            raise why
        return found

    async def _asked(self, name: str, kind: str) -> dns.resolver.Answer:
        """Raises NXDOMAIN and NoAnswer, and OSError for whatever else goes wrong."""
        try:
            return await self._resolver().resolve(name, kind, lifetime=self._within, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            raise
        except dns.exception.DNSException as error:
            raise OSError(f"{name}: {type(error).__name__}: no answer from the name servers") from None


def _in_ascii(domain: str) -> str:
    """As the DNS has it; as it stands when it cannot be written so."""
    with suppress(UnicodeError):
        return domain if domain.isascii() else domain.encode("idna").decode()
    return domain
