"""Hands notification mails to the smart host (smtp_out.py)."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from email.message import EmailMessage
from typing import Protocol

import aiosmtplib

from store.api import Store
from store.errors import NotFound
from store.model import Folder, Message, OutboxItem, User, Work
from voicemail.config import Mail
from voicemail.policy.book import parsed
from voicemail.policy.model import MAIL_DEVICE, Device
from voicemail.primary.agenda import Job, Outcome, Plan, Subject, Verdict
from voicemail.primary.alarm_mail import alarm_mail
from voicemail.primary.handler import LaneSettings
from voicemail.primary.lease import Permit
from voicemail.primary.mail import NoAddress, notification
from voicemail.primary.smtp_out import SmartHost, outcome

__all__ = ["MailHost", "Postman", "SmartHost"]

AT_ONCE = 1
"""So many mails are repeated after a node was killed: nobody knows whether the host took them."""
WAITING = 200
"""Mails in hand; more are postponed, so that a slow host fills nobody's memory."""


class MailHost(Protocol):
    """Takes mails. The real one is SmartHost."""

    async def take(self, mail: EmailMessage, receiver: str, permit: Permit) -> None:
        """Ask `permit`, then hand over. Raises SMTPException, OSError (TimeoutError among them)."""


class Postman:
    """The handler of mails: notifications and alarms. `zone` is that of the times shown."""

    def __init__(self, store: Store, settings: Mail, host: MailHost, zone: tzinfo) -> None:
        self._store, self._settings, self._host, self._zone = store, settings, host, zone
        self._lane = f"mail {settings.host}:{settings.port}"

    def lanes(self) -> Mapping[str, LaneSettings]:
        return {self._lane: LaneSettings(AT_ONCE, WAITING)} if self._settings.host else {}

    async def plan(self, item: OutboxItem) -> Plan:
        if not self._settings.host:
            return Plan(item.id, otherwise="no mail host")
        return Plan(item.id, frozenset({self._lane}))

    async def refresh(self) -> Sequence[tuple[str, Subject]]:
        return ()

    def subjects(self, lane: str) -> Iterable[Subject]:
        return ()

    async def perform(self, job: Job, permit: Permit) -> Outcome:
        (item,) = job.items
        try:
            mail, receiver = await self._written(item)
        except (NoAddress, NotFound) as error:
            return Outcome(Verdict.SENT, f"nothing sent: {error}")
        try:
            await self._host.take(mail, receiver, permit)
        except (aiosmtplib.SMTPException, OSError) as error:
            return outcome(error)
        return Outcome(Verdict.SENT, "sent")

    async def _written(self, item: OutboxItem) -> tuple[EmailMessage, str]:
        """The mail and whom it goes to. Raises NoAddress, NotFound, Unavailable."""
        if item.kind is Work.ALARM:
            alarm = alarm_mail(item, self._settings)
            return alarm, alarm["To"].addresses[0].addr_spec
        user = await self._store.users.get(item.mailbox_id)
        message = item.message_id and await self._store.messages.get(item.message_id)
        if user is None or not user.mail:
            raise NoAddress("the user has no mail address")
        if not message or message.folder is Folder.DELETED:
            raise NotFound("the message was deleted")
        if not await self._wanted(user):
            raise NoAddress("the user has turned mails off")
        attached = user.attach and not message.envelope.secure  # a secure one never leaves the store
        audio = await self._audio(message) if attached else None
        mail = await asyncio.to_thread(
            notification, user, message, audio, self._settings, item, self._zone
        )  # 5 minutes of audio take a while
        return mail, mail["To"].addresses[0].addr_spec

    async def _wanted(self, user: User) -> bool:
        """Raises Unavailable."""
        setting = await self._store.settings.get(Device.KIND, MAIL_DEVICE, user.id)
        device = parsed(Device, setting) if setting else None
        return device is None or device.enabled

    async def _audio(self, message: Message) -> bytes:
        """Empty when there is none: the mail will say so."""
        try:
            return await self._store.messages.audio(message.id)
        except NotFound:
            return b""
