"""Hands notification mails to the smart host (smtp_out.py)."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from email.message import EmailMessage
from typing import Protocol

import aiosmtplib
import structlog

from store.api import Store
from store.errors import NotFound, Unavailable
from store.model import Folder, Mark, Message, OutboxItem, User, Work
from voicemail.config import Mail
from voicemail.policy.book import aging_of, options_of, parsed
from voicemail.policy.devices import MAIL_DEVICE, Attachment, Device
from voicemail.policy.model import AfterMail
from voicemail.policy.note import Event, Note
from voicemail.policy.secrecy import as_it_is_now
from voicemail.primary.agenda import STORE_REST, Job, Outcome, Plan, Subject, Verdict
from voicemail.primary.alarm_mail import alarm_mail
from voicemail.primary.handler import LaneSettings
from voicemail.primary.lease import Permit
from voicemail.primary.mail import (
    PLAIN,
    Look,
    NoAddress,
    forewarning,
    missed_call,
    notification,
    summary,
    trial,
)
from voicemail.primary.smtp_out import SmartHost, outcome

__all__ = ["MailHost", "Postman", "SmartHost"]

log = structlog.get_logger()

AT_ONCE = 1
"""Mails handed over to one host at once: the next starts when the store has recorded what became of the last,
so that whoever takes over repeats one at most. It costs no speed (tests/bench/mails.py)."""
WAITING = 2000
"""Rows in hand (a mail is written when its turn comes); more are left in the store until there is room."""
WRITTEN_AT_ONCE = 2
"""Mails written at once: encoding a recording takes a processor and some memory."""


class MailHost(Protocol):
    """Takes mails. The real one is SmartHost."""

    async def take(self, mail: EmailMessage, receiver: str, permit: Permit) -> None:
        """Ask `permit`, then hand over. Raises SMTPException, OSError (TimeoutError among them)."""


class Postman:
    """The handler of mails: notifications and alarms. `zone` is that of the times shown."""

    def __init__(
        self, store: Store, settings: Mail, host: MailHost, zone: tzinfo, look: Look = PLAIN
    ) -> None:
        self._store, self._settings, self._host, self._zone = store, settings, host, zone
        self._look = look
        self._writing = asyncio.Semaphore(WRITTEN_AT_ONCE)
        self.lane = f"mail {settings.host}:{settings.port}" if settings.host else ""
        """"" without a host: nothing is sent."""

    def lanes(self) -> Mapping[str, LaneSettings]:
        return {self.lane: LaneSettings(AT_ONCE, WAITING)} if self.lane else {}

    async def plan(self, item: OutboxItem) -> Plan:
        if not self.lane:
            return Plan(item.id, otherwise="no mail host")
        return Plan(item.id, frozenset({self.lane}))

    async def refresh(self) -> Sequence[tuple[str, Subject]]:
        return ()

    def subjects(self, lane: str) -> Iterable[Subject]:
        return ()

    async def perform(self, job: Job, permit: Permit) -> Outcome:
        (item,) = job.items
        try:
            if item.kind is Work.ALARM:
                return await self.hand(alarm_mail(item, self._settings), permit)
            user, message = await self._told(item)
            after = (await options_of(self._store, user.id)).after_mail
            return await self.message(user, message, item, self._plain(user), self._zone, permit, after)
        except (NoAddress, NotFound) as error:
            return Outcome(Verdict.SENT, f"nothing sent: {error}")

    async def message(
        self,
        user: User,
        message: Message,
        item: OutboxItem,
        look: Look,
        zone: tzinfo,
        permit: Permit,
        after: AfterMail,
    ) -> Outcome:
        """Send the mail that tells of a message to `user.mail`, and do with it what is wanted then. Raises
        NoAddress, NotPrimary, Unavailable."""
        message = await self._as_it_is_now(message, item)
        secure = message.envelope.secure  # a secure one never leaves the store
        attached = look.form is not Attachment.NONE and not secure
        audio = await self._audio(message) if attached else None
        async with self._writing:  # 5 minutes of audio take a while, and some memory
            mail = await asyncio.to_thread(
                notification, user, message, audio, self._settings, item, zone, look
            )
        outcome = await self.hand(mail, permit)
        if outcome.verdict is Verdict.SENT and any(mail.iter_attachments()):
            await self._after(message, after)
        return outcome

    def _plain(self, user: User) -> Look:
        form = Attachment.WAV if user.attach else Attachment.NONE
        return replace(self._look, form=form)

    async def event(
        self, user: User, note: Note, item: OutboxItem, look: Look, zone: tzinfo, permit: Permit
    ) -> Outcome:
        """Send the mail that tells of what is no message. Raises NoAddress, NotPrimary."""
        try:
            mail = self._of_event(user, note, item, look, zone)
        except (ValueError, KeyError, TypeError) as error:
            log.error("ALARM event cannot be told", item=str(item.id), why=repr(error))
            return Outcome(Verdict.REFUSED, f"its facts make no sense: {error!r}")
        return await self.hand(mail, permit)

    def _of_event(self, user: User, note: Note, item: OutboxItem, look: Look, zone: tzinfo) -> EmailMessage:
        match note.event:
            case Event.MISSED:
                return missed_call(user, note.facts, self._settings, item, zone, look)
            case Event.SUMMARY:
                return summary(user, note.facts, self._settings, item, zone, look)
            case Event.AGING:
                return forewarning(user, note.facts, self._settings, item, zone, look)
        return trial(user, self._settings, item, look)

    async def hand(self, mail: EmailMessage, permit: Permit) -> Outcome:
        """Give a mail to the host. Raises NotPrimary."""
        try:
            await self._host.take(mail, mail["To"].addresses[0].addr_spec, permit)
        except (aiosmtplib.SMTPException, OSError) as error:
            return outcome(error)
        return Outcome(Verdict.SENT, "sent")

    async def _told(self, item: OutboxItem) -> tuple[User, Message]:
        """Raises NoAddress, NotFound, Unavailable."""
        user = await self._store.users.get(item.mailbox_id)
        message = item.message_id and await self._store.messages.get(item.message_id)
        if user is None or not user.mail:
            raise NoAddress("the user has no mail address")
        if not message or message.folder is Folder.DELETED:
            raise NotFound("the message was deleted")
        if not await self._wanted(user):
            raise NoAddress("the user has turned mails off")
        return user, message

    async def _wanted(self, user: User) -> bool:
        """Raises Unavailable."""
        setting = await self._store.settings.get(Device.KIND, MAIL_DEVICE, user.id)
        device = parsed(Device, setting) if setting else None
        return device is None or device.enabled

    async def _as_it_is_now(self, message: Message, item: OutboxItem) -> Message:
        """As of when it was to be told: a mail that waited for its host says what it would have said."""
        return as_it_is_now(message, await aging_of(self._store), item.created)

    async def _audio(self, message: Message) -> bytes:
        """Empty when there is none: the mail will say so."""
        try:
            return await self._store.messages.audio(message.id)
        except NotFound:
            return b""

    async def _after(self, message: Message, wish: AfterMail) -> None:
        """However long the store is away: the mail was accepted, and must not be sent again for this."""
        mark = {AfterMail.HEARD: Mark.READ, AfterMail.DELETED: Mark.DELETE}.get(wish)
        if message.open_dispatch:  # somebody has to accept it first
            return
        while mark:
            try:
                await self._store.messages.mark(message.id, mark)
            except NotFound:
                log.info("message is gone already", message_id=str(message.id))
            except Unavailable:
                await asyncio.sleep(STORE_REST)
                continue
            else:
                log.info("message marked after its mail", message_id=str(message.id), mark=str(mark))
            return
