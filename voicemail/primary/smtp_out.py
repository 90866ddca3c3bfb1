"""Hands mails to other mail servers (SMTP, RFC 5321): one mailer for all that leaves, be it a notification,
a voice message, or a report.

STARTTLS: RFC 3207. AUTH: RFC 4954. SIZE: RFC 1870. 8BITMIME: RFC 6152. SMTPUTF8: RFC 6531. Delivery status
notifications asked for: RFC 3461. A connection stays open for the next mail to the same destination
(kept.py). Each mail takes a bounded time: a host that answers a byte a second costs its own lane some places,
and nobody else anything.
"""

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import aiosmtplib

from voicemail.config import Mail
from voicemail.policy.locations import Tls
from voicemail.primary.agenda import Outcome, Verdict
from voicemail.primary.kept import Kept, Line
from voicemail.primary.lease import Permit
from voicemail.primary.routes import Dns, Names, Place, Route, places, smart_host

COMMANDS = 6
"""Connection, greeting, TLS, AUTH, envelope, data: a mail takes at most so many time-outs."""
LEAST_RATE = 100_000
"""Bytes a second that a host must take; slower ones are given up."""
CONTEXT_FOR = 600.0
"""Seconds for which the authorities that were read are believed."""
NOT_ALLOWED_YET = range(530, 540)
"""Answers that ask for AUTH or TLS, or refuse ours: our configuration is wrong, not the mail."""
BAD_IN_ADDRESS = re.compile(r"[\x00-\x20\x7f<>]")


@dataclass(frozen=True, slots=True)
class Parcel:
    """A mail as it goes over the wire. `sender` "" is the null sender of reports, which nobody answers."""

    content: bytes = field(repr=False)
    """Headers and body; lines end with CRLF."""
    sender: str
    receiver: str
    tracked: bool = False
    """Whether the sender wants a report when it is late or fails."""
    envelope_id: str = ""
    """ENVID: comes back in such a report."""


class Mailer:
    """`name` is what we say in EHLO; `timeout` (seconds) is that of one command."""

    def __init__(self, name: str, timeout: float, names: Names) -> None:
        self._name, self._timeout, self._names = name, timeout, names
        self._contexts: dict[Tls, tuple[float, ssl.SSLContext]] = {}
        self._kept = Kept()

    async def send(self, parcel: Parcel, route: Route, permit: Permit) -> None:
        """Ask `permit`, then hand over. The next host, or address, is tried when one cannot be spoken to; not
        when it refuses the mail. Raises SMTPException, OSError (TimeoutError among them), NotPrimary."""
        _check(parcel)
        rate = len(parcel.content) / LEAST_RATE
        async with asyncio.timeout(COMMANDS * self._timeout + rate):
            if line := self._kept.take(route):
                with suppress(_Stale):
                    return await self._hand_over(line, route, parcel, permit)
            line = Line(await self._any(route))
            await self._hand_over(line, route, parcel, permit)

    async def _any(self, route: Route) -> aiosmtplib.SMTP:
        """The first that can be spoken to. Raises SMTPException, OSError."""
        why: Exception | None = None
        for place in await places(self._names, route):
            try:
                return await self._connected(place, route)
            except (aiosmtplib.SMTPException, OSError) as error:
                why = error
        raise why or OSError("no address")

    async def _connected(self, place: Place, route: Route) -> aiosmtplib.SMTP:
        """Greeted, protected as the route demands, and signed in."""
        if route.tls is not Tls.OPPORTUNISTIC:
            return await self._greeted(place, route, encrypt=route.tls is not Tls.NONE)
        try:
            return await self._greeted(place, route, encrypt=None)
        except (ssl.SSLError, _Handshake):  # what cannot be encrypted may go in clear
            return await self._greeted(place, route, encrypt=False)

    async def _greeted(self, place: Place, route: Route, encrypt: bool | None) -> aiosmtplib.SMTP:
        client = aiosmtplib.SMTP(
            hostname=place.address,
            port=place.port,
            local_hostname=self._name,
            timeout=self._timeout,
            use_tls=False,
            start_tls=False,
        )
        try:
            await client.connect()
            await client.ehlo()
            if encrypt or (encrypt is None and client.supports_extension("starttls")):
                await self._protect(client, place, route.tls)
                await client.ehlo()
            if route.user:
                await self._sign_in(client, route)
        except BaseException:
            Line(client).drop()
            raise
        return client

    async def _protect(self, client: aiosmtplib.SMTP, place: Place, tls: Tls) -> None:
        context = await self._context(tls)
        try:
            await client.starttls(tls_context=context, server_hostname=place.host)
        except ssl.SSLError:
            raise
        except (OSError, aiosmtplib.SMTPResponseException) as error:
            raise _Handshake(f"STARTTLS: {error}") from error

    async def _context(self, tls: Tls) -> ssl.SSLContext:
        """Made anew now and then: the authorities of this machine may change."""
        now = asyncio.get_running_loop().time()
        made, context = self._contexts.get(tls, (float("-inf"), None))
        if context is None or now - made > CONTEXT_FOR:
            context = await asyncio.to_thread(_context, tls)
            self._contexts[tls] = (now, context)
        return context

    async def _sign_in(self, client: aiosmtplib.SMTP, route: Route) -> None:
        if route.tls is not Tls.NONE and client.get_transport_info("sslcontext") is None:
            raise aiosmtplib.SMTPException("the password is not sent in clear")
        password = await asyncio.to_thread(
            Path(route.password_file).read_text
        )  # so a new one needs no restart
        await client.login(route.user, password.strip())

    async def _hand_over(self, line: Line, route: Route, parcel: Parcel, permit: Permit) -> None:
        """Raises _Stale where the host has closed a connection that was kept, before it took anything."""
        data_timeout = self._timeout + len(parcel.content) / LEAST_RATE
        try:
            mail_options, rcpt_options, encoding = _options(line.client, parcel)
            permit()
            try:
                await line.client.mail(parcel.sender, options=mail_options, encoding=encoding)
                await line.client.rcpt(
                    _ascii_domain(parcel.receiver), options=rcpt_options, encoding=encoding
                )
            except (aiosmtplib.SMTPException, OSError) as error:
                if line.used and _is_gone(error):
                    raise _Stale from error
                raise
            await line.client.data(parcel.content, timeout=data_timeout)
        except BaseException:
            line.drop()
            raise
        self._kept.give(route, line)


class _Stale(Exception):
    """A connection that was kept is gone."""


def _is_gone(error: Exception) -> bool:
    """Whether it says nothing of the mail."""
    return not isinstance(error, aiosmtplib.SMTPResponseException) or error.code == 421


class _Handshake(aiosmtplib.SMTPException, OSError):
    """The host did not go on to TLS."""

    def __init__(self, why: str) -> None:
        aiosmtplib.SMTPException.__init__(self, why)


class SmartHost:
    """The configured mail server, for notifications. `name` is what we say in EHLO."""

    def __init__(self, settings: Mail, name: str) -> None:
        self._route = smart_host(settings) or Route()
        self._mailer = Mailer(name, settings.timeout, Dns())

    async def take(self, mail: EmailMessage, receiver: str, permit: Permit) -> None:
        """Ask `permit`, then hand over. Raises SMTPException, OSError (TimeoutError among them)."""
        sender = mail["From"].addresses[0].addr_spec
        content = await asyncio.to_thread(wire, mail)
        await self._mailer.send(Parcel(content, sender, receiver), self._route, permit)


def wire(mail: EmailMessage) -> bytes:
    """A mail as it goes over the wire; UTF-8 headers only where an address is not ASCII."""
    addresses = [
        each for key in ("From", "To", "Cc", "Reply-To") for each in getattr(mail[key], "addresses", ())
    ]
    utf8 = not all(each.addr_spec.isascii() for each in addresses)
    return mail.as_bytes(policy=SMTP.clone(utf8=utf8))


def outcome(error: Exception) -> Outcome:
    """What a failed attempt means: refused for good, not now, or nobody there."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        error = error.recipients[0]
    code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else 0
    said = str(error.message) if isinstance(error, aiosmtplib.SMTPResponseException) else str(error)
    text = f"{type(error).__name__}: {code or ''} {' '.join(said.split()) or 'no answer in time'}"
    text = " ".join(text.split())[:500]
    about_us = (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPHeloError, aiosmtplib.SMTPAuthenticationError)
    if code == 421 or code in NOT_ALLOWED_YET or isinstance(error, about_us):
        return Outcome(Verdict.SILENT, text)
    if code >= 500 or isinstance(error, aiosmtplib.SMTPNotSupported):
        return Outcome(Verdict.REFUSED, text)
    if code >= 400:
        return Outcome(Verdict.FAILED, text)
    return Outcome(Verdict.SILENT, text)


def _check(parcel: Parcel) -> None:
    """An address goes into a command as it is. Raises SMTPRecipientRefused, SMTPSenderRefused."""
    if BAD_IN_ADDRESS.search(parcel.receiver) or "@" not in parcel.receiver:
        raise aiosmtplib.SMTPRecipientRefused(553, "5.1.3 not a mail address", parcel.receiver)
    if BAD_IN_ADDRESS.search(parcel.sender) or (parcel.sender and "@" not in parcel.sender):
        raise aiosmtplib.SMTPSenderRefused(553, "5.1.7 not a mail address", parcel.sender)


def _options(client: aiosmtplib.SMTP, parcel: Parcel) -> tuple[list[str], list[str], str]:
    """Of MAIL and RCPT, and how addresses are encoded. Raises SMTPNotSupported, SMTPSenderRefused."""
    mail: list[str] = []
    rcpt: list[str] = []
    if client.supports_extension("size"):
        most = client.esmtp_extensions.get("size", "").strip()
        if most.isdecimal() and 0 < int(most) < len(parcel.content):
            raise aiosmtplib.SMTPSenderRefused(
                552, f"5.3.4 more than the {most} bytes it takes", parcel.sender
            )
        mail.append(f"SIZE={len(parcel.content)}")
    head = parcel.content.partition(b"\r\n\r\n")[0]
    utf8 = not (parcel.sender + _ascii_domain(parcel.receiver)).isascii() or not head.isascii()
    for needed, extension, option in (
        (not parcel.content.isascii(), "8bitmime", "BODY=8BITMIME"),
        (utf8, "smtputf8", "SMTPUTF8"),
    ):
        if needed and not client.supports_extension(extension):
            raise aiosmtplib.SMTPNotSupported(f"the host has no {extension.upper()}")
        mail += [option] if needed else []
    if client.supports_extension("dsn") and (parcel.tracked or not parcel.sender):
        rcpt.append("NOTIFY=FAILURE,DELAY" if parcel.tracked else "NOTIFY=NEVER")
        mail += ["RET=HDRS", *([f"ENVID={xtext(parcel.envelope_id)}"] if parcel.envelope_id else [])]
    return mail, rcpt, "utf-8" if utf8 else "ascii"


def xtext(text: str) -> str:
    """As RFC 3461 section 4 writes it in an option."""
    return "".join(
        c if "!" <= c <= "~" and c not in "+=" else "".join(f"+{b:02X}" for b in c.encode()) for c in text
    )


def _ascii_domain(address: str) -> str:
    """A domain of other letters in its ASCII form; the local part is left as it is."""
    local, _, domain = address.rpartition("@")
    with suppress(UnicodeError):
        domain = domain if domain.isascii() else domain.encode("idna").decode()
    return f"{local}@{domain}"


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    if tls is not Tls.VERIFY:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
