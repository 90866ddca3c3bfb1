"""A mail server that takes everything, and can be made to refuse, to hang, and to hang up."""

import asyncio
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from voicemail.sink import Sink


@dataclass
class Faults:
    """What goes wrong from now on, by verb ("EHLO", "MAIL", "RCPT", "DATA"): an answer such as "450 4.2.0
    later", or one of the two words below."""

    HANG = "hang"
    CLOSE = "close"
    by_verb: dict[str, str] = field(default_factory=dict)

    async def strike(self, verb: str, server: SMTP) -> str:
        """The answer that refuses this verb; "" when nothing is wrong."""
        fault = self.by_verb.get(verb, "")
        if fault == self.HANG:
            await asyncio.Event().wait()
        if fault == self.CLOSE:
            assert server.transport is not None
            server.transport.close()
            return "421 bye"
        return fault


class MailServer(Sink):
    """The sink of ./run with settable failures. `options` go to aiosmtpd (tls_context, authenticator …)."""

    def __init__(self, folder: Path, port: int = 0, **options: Any) -> None:
        super().__init__(folder, port=port, **options)
        self.faults = Faults()
        self.sessions = 0

    def parsed(self) -> list[EmailMessage]:
        """The mails that were taken, in order."""
        mails = [message_from_bytes(path.read_bytes(), policy=POLICY) for path in self.mails()]
        return [mail for mail in mails if isinstance(mail, EmailMessage)]

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, name: str, answers: list[str]
    ) -> list[str]:
        self.sessions += 1
        session.host_name = name  # type: ignore[assignment]
        fault = await self.faults.strike("EHLO", server)
        return [fault] if fault else answers

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if fault := await self.faults.strike("MAIL", server):
            return fault
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if fault := await self.faults.strike("RCPT", server):
            return fault
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if fault := await self.faults.strike("DATA", server):
            return fault
        return await super().handle_DATA(server, session, envelope)
