"""From a mail that was read to whoever it is for.

Every step may be repeated after a crash: ids are made of the mail's Message-ID and sender, so a mail that
came twice, or was settled half, adds nothing that is there. Nothing is thrown away: what nobody gets goes to
the Undeliverable list, what nobody understands into quarantine, and its sender is told where that is right.
Private mails are kept private by their envelope: nothing forwards those.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from sip import wav
from sip.errors import BadSound
from store.api import Store
from store.blob import Blob
from store.errors import StoreError, Unavailable
from store.model import Envelope, NewMessage, Part, Remote, User
from voicemail import departures, postroom
from voicemail.intake import contacts, quarantine, reports
from voicemail.intake.addresses import Addresses, Away
from voicemail.intake.decide import (
    claim,
    header_values,
    mail_id,
    may_be_told,
    moment,
    number_of,
    our_mail,
    report,
    sender_address,
    to_be_told,
)
from voicemail.intake.letter import Letter, Recipient
from voicemail.intake.quota import class_of
from voicemail.intake.wire import Outcome
from voicemail.policy.elsewhere import domain_of, mailbox_of
from voicemail.recipients import LIST, UNDELIVERABLE, Plan
from voicemail.vpim.model import Report, Unreadable, VoiceMail

log = structlog.get_logger()

MOST_RECIPIENTS = 50
"""That are noted for an answer to all."""
MOST_PARTS = 50
GONE, NOT_ALLOWED, TAKEN = "5.1.1", "5.7.1", "2.1.5"
"""Enhanced status codes (RFC 3463)."""
WHY = {
    GONE: "There is no such mailbox any more.",
    NOT_ALLOWED: "You may not send to lists.",
    TAKEN: "It is in the mailbox.",
}
MOST_NAME = 80


@dataclass(frozen=True, slots=True)
class Settings:
    domains: tuple[str, ...]
    """Ours."""
    message_id_domain: str = ""
    """Of the mails that leave here, if it is another."""
    wait_for_peer: float = 1.0
    released: bool = False
    """The mails are in quarantine, and an operator wants them delivered, whoever sent them: their senders
    were told, and they stay where they are if it cannot be done."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a mail."""

    text: str
    quarantined: bool = False

    def __str__(self) -> str:
        return self.text


class Settling:
    """`now` gives the time with time zone."""

    def __init__(
        self, store: Store, addresses: Addresses, settings: Settings, now: Callable[[], datetime]
    ) -> None:
        self._store, self._addresses, self._settings, self._now = store, addresses, settings, now

    async def take(self, letter: Letter, raw: Blob, outcome: Outcome) -> Settled:
        """Settle one mail; says what became of it. Raises store errors."""
        if isinstance(outcome, Unreadable):
            return await self._unreadable(letter, raw, outcome)
        if isinstance(outcome, Report):
            return await self._report(letter, raw, outcome)
        if outcome.automatic and not outcome.is_vpim and not self._settings.released:
            return await self._unreadable(
                letter, raw, Unreadable("no person sent it (Auto-Submitted)", "5.7.1")
            )
        return await self._voice(letter, raw, outcome)

    # ---- what is no voice message

    async def _unreadable(self, letter: Letter, raw: Blob, wrong: Unreadable) -> Settled:
        message_id = _message_id(raw)
        key = mail_id(letter, raw, message_id, letter.sender)
        await self._keep(letter, key, raw, message_id, f"{wrong.code} {wrong}")
        missed = to_be_told(letter.recipients)
        if missed and self._tells(letter, raw):
            work = report(letter, key, raw, message_id, missed, wrong.code, str(wrong))
            await self._store.outbox.add([work])
            return Settled(f"quarantined, {letter.sender} is told", True)
        return Settled("quarantined", True)

    def _tells(self, letter: Letter, raw: Blob) -> bool:
        return not self._settings.released and may_be_told(letter, raw)

    async def _keep(self, letter: Letter, key: UUID, raw: Blob, message_id: str, why: str) -> None:
        if self._settings.released:
            return
        await quarantine.deposit(self._store, letter, key, raw, message_id, why, self._settings.wait_for_peer)

    async def _report(self, letter: Letter, raw: Blob, told: Report) -> Settled:
        author = await self._author(letter)
        done = []
        for each in (replace(told, more=()), *told.more):
            about = await reports.about(self._store, each, self._own(), author)
            if about:
                wait = self._settings.wait_for_peer
                done.append(await reports.take(self._store, each, about, self._now(), wait))
        if done:
            return Settled(", ".join(dict.fromkeys(done)))
        if our_mail(told, self._own()):
            return Settled(f"a notification did not reach {told.recipient}: {told.status} {told.diagnostic}")
        if told.action not in reports.NOT_DELIVERED:
            return Settled("nothing to be told: a report on a message that is not known here")
        message_id = _message_id(raw)
        key = mail_id(letter, raw, message_id, letter.sender)
        await self._keep(letter, key, raw, message_id, "a report on a message that is not known here")
        return Settled("quarantined", True)

    def _own(self) -> tuple[str, ...]:
        return (*self._settings.domains, self._settings.message_id_domain.lower())

    async def _author(self, letter: Letter) -> User | None:
        """Whom a report is addressed to, if that is one user."""
        for address in (await self._addressees(letter)).values():
            user = await self._store.users.by_extension(address) if address[:1].isdigit() else None
            if user:
                return user
        return None

    # ---- a voice message

    async def _voice(self, letter: Letter, raw: Blob, mail: VoiceMail) -> Settled:
        try:
            audio, seconds = await asyncio.to_thread(joined, mail)
        except BadSound as error:
            return await self._unreadable(letter, raw, Unreadable(f"its sound: {error}", "5.6.1"))
        sender = await self._addresses.user(claim(letter, mail, self._settings.domains))
        key = mail_id(letter, raw, mail.message_id, mail.sender.address)
        wanted = await self._addressees(letter)
        barred = await self._barred(wanted, sender)
        plan = await postroom.planned(
            self._store, [name for each, name in wanted.items() if name and each not in barred]
        )
        message = self._message(letter, key, mail, sender, seconds)
        wait = self._settings.wait_for_peer
        if plan.mailboxes:
            await self._store.messages.send(message, plan.mailboxes, audio, wait=wait)
        away = await departures.sorted_out(self._store, message, plan.remote, None)
        if away.going:
            await departures.depart(self._store, message, away.going, audio, wait)
        lost = {**gone(letter.recipients, wanted, plan), **dict.fromkeys(barred, NOT_ALLOWED)}
        told = await self._told(letter, key, raw, mail, lost)
        if plan.mailboxes or away.going or told:
            await self._learn(mail)
            far = f"{len(away.going)} elsewhere" if away.going else ""
            return Settled(", ".join(filter(None, (f"{len(plan.mailboxes)} mailboxes", far, told))))
        return await self._undeliverable(letter, key, raw, mail, message, audio)

    async def _addressees(self, letter: Letter) -> dict[str, str]:
        """What each recipient's address names now; "" when nobody's."""
        named: dict[str, str] = {}
        for each in letter.addresses:
            try:
                found = await self._addresses.find(mailbox_of(each))
            except Away:
                raise Unavailable("addresses cannot be looked up") from None
            named[each] = found.addressee if found else ""
        return named

    async def _barred(self, wanted: Mapping[str, str], sender: User | None) -> list[str]:
        """Addresses of lists, where a user of ours wrote who may not send to any."""
        lists = [each for each, name in wanted.items() if name.startswith(LIST)]
        if not lists or not sender or (await class_of(self._store, sender.id)).may_send_to_lists:
            return []
        return lists

    async def _told(
        self, letter: Letter, key: UUID, raw: Blob, mail: VoiceMail, lost: Mapping[str, str]
    ) -> str:
        """Tell the sender who has not got it (status by address), and who has if he wants to know."""
        if not self._tells(letter, raw):
            return ""
        work, failed = [], 0
        for status, why in WHY.items():
            these = [each for each in letter.recipients if lost.get(each.address, TAKEN) == status]
            told = to_be_told(these, "SUCCESS" if status == TAKEN else "FAILURE")
            failed += len(told) if status != TAKEN else 0
            work += [report(letter, key, raw, mail.message_id, told, status, why)] if told else []
        if work:
            await self._store.outbox.add(work)
        return f"{letter.sender} is told of {failed} who do not get it" if failed else ""

    async def _undeliverable(
        self, letter: Letter, key: UUID, raw: Blob, mail: VoiceMail, message: NewMessage, audio: bytes
    ) -> Settled:
        boxes = (await postroom.planned(self._store, (UNDELIVERABLE,))).mailboxes
        if boxes:
            await self._store.messages.send(message, boxes, audio, wait=self._settings.wait_for_peer)
            return Settled("sent to the undeliverable list")
        await self._keep(letter, key, raw, mail.message_id, "nobody is there to get it")
        return Settled("quarantined", True)

    def _message(
        self, letter: Letter, key: UUID, mail: VoiceMail, sender: User | None, seconds: float
    ) -> NewMessage:
        address = sender_address(letter, mail)
        return NewMessage(
            id=key,
            mailbox_id=key,  # not used: it goes to many
            caller=sender.extension if sender else number_of(address),
            caller_name=sender.name if sender else mail.sender.name[:MOST_NAME],
            recorded=moment(mail.sent, letter.received),
            seconds=seconds,
            urgent=mail.urgent,
            envelope=Envelope(
                sender=sender.id if sender else None,
                recipients=self._recipients(letter, mail),
                private=mail.private,
                receipt=bool(sender and mail.receipt_to),
                parts=self._parts(mail, sender),
                remote=None if sender else remote(mail, address),
            ),
        )

    def _recipients(self, letter: Letter, mail: VoiceMail) -> tuple[str, ...]:
        """As the header names them, for an answer to all: ours by number, those of locations by address. The
        header of a hostile mail could name the whole world, which nobody here must be made to answer."""
        known = {place.domain.lower() for place in self._addresses.book.locations}
        named: dict[str, None] = {}
        for each in (person.address for person in (*mail.to, *mail.cc)):
            if domain_of(each) in self._settings.domains:
                named[self._as_addressed(mailbox_of(each))] = None
            elif domain_of(each) in known:
                named[each] = None
        return tuple(each for each in named if each)[:MOST_RECIPIENTS]

    def _as_addressed(self, local: str) -> str:
        if listed := self._addresses.book.lists.get(local.lower()):
            return f"list:{listed}"
        return number_of(f"{local}@")

    def _parts(self, mail: VoiceMail, sender: User | None) -> tuple[Part, ...]:
        """Who spoke which stretch, where somebody else did."""
        if not any(each.sender for each in mail.speech):
            return ()
        return tuple(
            Part(
                each.seconds,
                sender.id if sender and not each.sender else None,
                number_of((each.sender or mail.sender).address),
                each.sent or mail.sent,
            )
            for each in mail.speech[:MOST_PARTS]
        )

    async def _learn(self, mail: VoiceMail) -> None:
        """The message is there: want of a contact must not bring it back."""
        try:
            await contacts.learn(self._store, mail)
        except StoreError as error:
            log.warning("contact not kept", address=mail.sender.address, why=str(error))


def remote(mail: VoiceMail, address: str) -> Remote:
    """Who sent it, elsewhere; nobody can answer a caller without a mailbox."""
    if mail.unanswerable:
        return Remote(address, mail.sender.name[:MOST_NAME], mail.message_id)
    return Remote(address, mail.sender.name[:MOST_NAME], mail.message_id, mail.receipt_to)


def gone(recipients: Sequence[Recipient], wanted: Mapping[str, str], plan: Plan) -> dict[str, str]:
    """Addresses whose mailbox or list has vanished since they were asked for."""
    lost: set[Any] = {"", *plan.gone}
    return {each.address: GONE for each in recipients if wanted.get(each.address, "") in lost}


def joined(mail: VoiceMail) -> tuple[bytes, float]:
    """All that was said as one WAV file in mu-law, and its seconds. Raises BadSound."""
    if not mail.speech:
        raise BadSound("there is none")
    whole = wav.join(wav.parse(each.sound) for each in mail.speech)
    return whole, wav.parse(whole).seconds


def _message_id(raw: Blob) -> str:
    return next(iter(header_values(raw, "Message-ID")), "").strip("<> ")[:250]
