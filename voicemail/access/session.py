"""One SMTP connection (RFC 5321; STARTTLS RFC 3207, AUTH RFC 4954, SIZE RFC 1870, DSN RFC 3461, SMTPUTF8 RFC
6531). aiosmtpd reads commands and keeps the connection; whatever they mean is decided here.

A mail goes to the spool while it comes in. 250 is said when mail and envelope are on disk under their names,
so that a crash after it loses nothing; a client that has not heard it sends again, and the second is dropped
by its Message-ID (intake/decide.py).
"""

import asyncio
import contextlib
import time
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

import structlog
from aiosmtpd.smtp import MISSING, SMTP, TLSSetupException

from store.ids import uuid7
from voicemail.access.body import CRLF, END, Body
from voicemail.access.desk import Desk
from voicemail.access.door import source_of
from voicemail.access.params import Refused, greeting_name, recipient, sender
from voicemail.access.transaction import Mail, received_line
from voicemail.intake.letter import Letter
from voicemail.intake.spool import Incoming

log = structlog.get_logger()

READ_LIMIT = 65536
"""Bytes of a line that are kept in memory; twice as much is read ahead."""
MOST_RECIPIENTS = 100
MOST_STRANGERS = 20
"""Recipients that are refused on one connection until it is closed: who guesses addresses takes longer."""
MOST_COMMANDS = 2000
"""Of each kind, on one connection."""
FLOOD = 2
"""Times the largest mail, after which a mail that is too large is read no further."""
WHOLE_MAIL = 900.0
"""Seconds that one mail may take, however steadily it drips."""
WRONG_PASSWORDS = 3
FATAL = "552 5.3.4 the mail is far too large"
"""Said to a client that goes on sending; the connection is closed."""


class Connection(SMTP):
    """`desk` has all that connections share."""

    line_length_limit = READ_LIMIT
    command_size_limit = 2048
    command_size_limits: dict[str, int] = defaultdict(lambda: 2048)

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._source, self._entered = "", False
        self._user = ""
        self._strangers = self._wrong = 0
        self._called = "unknown"
        super().__init__(
            object(),
            data_size_limit=desk.largest,
            enable_SMTPUTF8=True,
            hostname=desk.name,
            ident="ESMTP",
            tls_context=desk.tls,
            require_starttls=desk.settings.require_tls,
            timeout=desk.settings.timeout,
            command_call_limit=MOST_COMMANDS,
        )

    def _create_envelope(self) -> Mail:
        return Mail()

    def _mail(self) -> Mail:  # no property: aiosmtpd looks at all attributes before there is an envelope
        assert isinstance(self.envelope, Mail)
        return self.envelope

    # ---- from connection to end

    async def _handle_client(self) -> None:
        assert self.session and self.transport
        self._source = source_of(self.session.peer)
        refused = self.desk.refused(self._source)
        if refused:
            log.warning("mail client refused", source=self._source, answer=refused)
            await self.push(refused)
            self.transport.close()
            return
        self._entered = True
        await super()._handle_client()

    def connection_lost(self, error: Exception | None) -> None:
        if self._entered:
            self._entered = False
            self.desk.crowd.leave(self._source)
        if self.session is not None and self._handler_coroutine is not None:
            super().connection_lost(error)

    def _timeout_cb(self) -> None:
        with contextlib.suppress(Exception):
            self._writer.write(b"421 4.4.2 it takes too long\r\n")
        super()._timeout_cb()  # type: ignore[no-untyped-call]

    async def handle_exception(self, error: Exception) -> str:
        if not isinstance(error, TLSSetupException):
            log.error("mail dialogue failed", source=self._source, why=repr(error)[:300])
        return "451 4.3.0 something went wrong here, try again later"

    async def _hang_up(self, answer: str) -> NoReturn:
        """What the client has sent already must not be taken for commands: this ends the dialogue here."""
        await self.push(answer)
        if self.transport:
            self.transport.close()
        raise asyncio.CancelledError

    # ---- greeting

    async def smtp_EHLO(self, hostname: str | None) -> None:
        if not hostname or not self.session:
            await self.push("501 5.5.4 Syntax: EHLO name")
            return
        self._set_rset_state()  # type: ignore[no-untyped-call]
        self.session.extended_smtp, self.session.host_name = True, hostname
        self._called = greeting_name(hostname)
        lines = [self.desk.name, *self._extensions()]
        for line in lines[:-1]:
            await self.push(f"250-{line}")
        await self.push(f"250 {lines[-1]}")

    def _extensions(self) -> list[str]:
        secured = self._tls_protocol is not None
        return [
            "PIPELINING",
            f"SIZE {self.desk.largest}",
            *(["STARTTLS"] if self.desk.tls and not secured else []),
            *(["AUTH PLAIN LOGIN"] if self._may_auth() else []),
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
        ]

    async def smtp_HELO(self, hostname: str | None) -> None:
        if not hostname or not self.session:
            await self.push("501 5.5.4 Syntax: HELO name")
            return
        self._set_rset_state()  # type: ignore[no-untyped-call]
        self.session.extended_smtp, self.session.host_name = False, hostname
        self._called = greeting_name(hostname)
        await self.push(f"250 {self.desk.name}")

    async def smtp_VRFY(self, arg: str | None) -> None:
        await self.push("252 2.5.2 send it, and see")

    async def smtp_HELP(self, arg: str | None) -> None:
        await self.push("214 2.0.0 RFC 5321")

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        if self._tls_protocol:
            await self.push("503 5.5.1 TLS is on already")
            return
        await super().smtp_STARTTLS(arg or "")
        # What was said before in plain text, by whomever, counts for nothing (RFC 3207 section 4.2).
        self._user, self._called = "", "unknown"

    # ---- AUTH

    def _may_auth(self) -> bool:
        return self.desk.accounts.any and self._tls_protocol is not None

    async def smtp_AUTH(self, arg: str | None) -> None:
        words = (arg or "").split()
        if not self.desk.accounts.any:
            await self.push("502 5.5.1 there is no AUTH here")
        elif not self._may_auth():
            await self.push("538 5.7.11 STARTTLS first")
        elif self._user or self._mail().sender:
            await self.push("503 5.5.1 not now")
        elif self.desk.accounts.locked(self._source, time.monotonic()):
            log.warning("AUTH refused: too many wrong passwords", source=self._source)
            await self._hang_up("421 4.7.0 too many wrong passwords, try again later")
        elif not words or len(words) > 2 or words[0].upper() not in ("PLAIN", "LOGIN"):
            await self.push("504 5.5.4 PLAIN or LOGIN")
        elif said := await self._credentials(words[0].upper(), words[1] if len(words) == 2 else None):
            await self._sign_in(*said)

    async def _credentials(self, how: str, first: str | None) -> tuple[str, str] | None:
        """Name and password; None when the client was told what is wrong."""
        try:
            if how == "PLAIN":
                blob = await self._answer("", first)
                _, name, password = blob.decode().split("\0")
            else:
                name = (await self._answer(self.AuthLoginUsernameChallenge, first)).decode()
                password = (await self._answer(self.AuthLoginPasswordChallenge, None)).decode()
        except _Aborted:
            return None
        except ValueError:
            await self.push("501 5.5.2 that cannot be read")
            return None
        return name, password

    async def _answer(self, challenge: str, given: str | None) -> bytes:
        if given is not None:
            return b64decode("" if given == "=" else given, validate=True)
        blob = await self.challenge_auth(challenge)
        if blob is MISSING or not isinstance(blob, bytes):
            raise _Aborted
        return blob

    async def _sign_in(self, name: str, password: str) -> None:
        if await self.desk.accounts.right(name, password, self._source, time.monotonic()):
            self._user = name.lower()
            log.info("mail client signed in", source=self._source, user=self._user)
            await self.push("235 2.7.0 signed in")
            return
        self._wrong += 1
        log.warning("wrong password of a mail client", source=self._source)
        if self._wrong >= WRONG_PASSWORDS:
            await self._hang_up("421 4.7.0 too many wrong passwords")
        else:
            await self.push("535 5.7.8 name or password is wrong")

    # ---- envelope

    async def smtp_MAIL(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        if self._mail().sender:
            await self.push("503 5.5.1 one mail at a time")
            return
        try:
            said = sender(_after(arg, "FROM:"))
            trust = await self.desk.admit(self._source, self._user, said)
        except Refused as refused:
            log.warning("mail refused", source=self._source, mail_from=arg, answer=str(refused))
            await self.push(str(refused))
            return
        self._mail().sender, self._mail().trust = said, trust
        await self.push("250 2.1.0 go on")

    async def smtp_RCPT(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        mail = self._mail()
        if not mail.sender:
            await self.push("503 5.5.1 MAIL first")
            return
        try:
            said = recipient(_after(arg, "TO:"))
            if len(self._mail().recipients) >= MOST_RECIPIENTS:
                raise Refused("452 4.5.3 too many recipients")
            mailbox = await self.desk.receives(said.address, mail.sender)
        except Refused as refused:
            log.warning("recipient refused", source=self._source, rcpt_to=arg, answer=str(refused))
            self._strangers += str(refused)[:3] == "550"
            if self._strangers > MOST_STRANGERS:
                await self._hang_up("421 4.7.0 too many unknown recipients")
            else:
                await self.push(str(refused))
            return
        if said not in self._mail().recipients:
            self._mail().recipients.append(said)
            self._mail().mailboxes += [mailbox] if mailbox else []
        await self.push("250 2.1.5 go on")

    # ---- content

    async def smtp_DATA(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        if arg or not self._mail().recipients:
            await self.push("501 5.5.4 Syntax: DATA" if arg else "503 5.5.1 RCPT first")
            return
        identifier = uuid7()
        try:
            incoming = self.desk.spool.begin(identifier)
            incoming.write(self._trace(str(identifier)))
        except OSError as error:
            log.error("spool of mails cannot be used", why=str(error))
            await self.push("452 4.3.1 no room for mails, try again later")
            return
        try:
            await self.push("354 end with <CR><LF>.<CR><LF>")
            answer = await self._received(incoming)
        except BaseException:
            incoming.discard()
            raise
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        if answer.startswith(FATAL):
            await self._hang_up(answer)
        await self.push(answer)

    async def _received(self, incoming: Incoming) -> str:
        """Take the mail; the answer to it."""
        body, failed = Body(self.desk.largest), ""
        try:
            async with asyncio.timeout(WHOLE_MAIL):
                await self._lines(body, incoming.write)
        except TimeoutError:
            incoming.discard()
            log.warning("mail took too long", source=self._source)
            return "451 4.4.2 it takes too long"
        except OSError as error:
            failed = str(error)
        if not failed and not body.fault:
            return await self._kept(incoming)
        incoming.discard()
        if failed:
            log.error("mail not taken: the spool cannot be written", why=failed)
            await self._drained(body)
            return "452 4.3.1 no room for mails, try again later"
        log.warning("mail refused", source=self._source, mail_from=self._from(), answer=body.fault)
        if body.size > FLOOD * self.desk.largest:
            return f"{FATAL}, and goes on"
        return body.fault

    async def _lines(self, body: Body, write: Callable[[bytes], None]) -> None:
        """Until the end of the mail. What is refused is read on, and kept no longer, since the client hears
        of it only after the end; but not for ever."""
        whole = True
        while True:
            try:
                line = await self._reader.readuntil(CRLF)
            except asyncio.LimitOverrunError as over:
                body.too_long(len(await self._reader.read(max(over.consumed, 1))))
                if body.size > FLOOD * self.desk.largest:
                    return
                whole = False
                continue
            self._reset_timeout()
            if whole and line == END:
                return
            kept, whole = body.line(line), True
            if body.size > FLOOD * self.desk.largest:
                return
            if not body.fault:
                write(kept)

    async def _drained(self, body: Body) -> None:
        """The rest of a mail that nobody keeps."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WHOLE_MAIL):
                await self._lines(body, lambda _: None)

    async def _kept(self, incoming: Incoming) -> str:
        mail, said = self._mail(), self._mail().sender
        assert said and mail.trust
        letter = Letter(
            id=incoming.id,
            sender=said.address,
            recipients=tuple(mail.recipients),
            received=now(),
            source=self._source,
            trust=mail.trust,
            user=self._user,
            envelope_id=said.envelope_id,
            ret=said.ret,
            node=self.desk.node,
        )
        try:
            await asyncio.shield(self.desk.keep(incoming, letter, mail.mailboxes))
        except OSError as error:
            log.error("mail not taken: the spool cannot be written", why=str(error))
            return "452 4.3.1 no room for mails, try again later"
        log.info(
            "mail taken",
            letter=str(letter.id),
            source=self._source,
            sender=letter.sender,
            to=letter.addresses,
            trust=letter.trust.value,
        )
        return f"250 2.0.0 taken as {letter.id}"

    def _trace(self, identifier: str) -> bytes:
        how = "ESMTP" + "S" * (self._tls_protocol is not None) + "A" * bool(self._user)
        return received_line(self._called, self._source, self.desk.name, how, identifier, now())

    def _from(self) -> str:
        said = self._mail().sender
        return said.address if said else ""


class _Aborted(Exception):
    """The client has given up AUTH, and was told so."""


def now() -> datetime:
    """In this machine's time zone."""
    return datetime.now().astimezone()


def _after(argument: str | None, keyword: str) -> str:
    text = (argument or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if text[: len(keyword)].upper() != keyword:
        raise Refused(f"501 5.5.4 Syntax: {keyword}<address>")
    return text[len(keyword) :]
