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

from sip.errors import BadSound
from store.api import Store
from store.blob import Blob
from store.errors import StoreError, Unavailable
from store.model import NewMessage, User, copy_id
from voicemail import departures, postroom
from voicemail.intake import contacts, limits, quarantine, reports, returned
from voicemail.intake.addresses import Addresses, Away
from voicemail.intake.decide import (
    claim,
    header_values,
    mail_id,
    may_be_told,
    our_mail,
    receipt_address,
    report,
    to_be_told,
    undecodable,
)
from voicemail.intake.letter import Letter, Recipient
from voicemail.intake.limits import FULL, TAKES_NONE, TOO_LONG
from voicemail.intake.message import joined, message_of
from voicemail.intake.wire import Outcome
from voicemail.policy.book import class_of
from voicemail.policy.elsewhere import location_of, mailbox_of
from voicemail.recipients import LIST, UNDELIVERABLE, Plan
from voicemail.vpim.model import Report, Unreadable, VoiceMail

log = structlog.get_logger()

MOST_NAMED = 5
"""Addresses that the reason of a quarantined mail names."""
GONE, NOT_ALLOWED, TAKEN = "5.1.1", "5.7.1", "2.1.5"
"""Enhanced status codes (RFC 3463)."""
WHY = {
    GONE: "There is no such mailbox any more.",
    NOT_ALLOWED: "You may not send to lists.",
    TAKES_NONE: "The mailbox, or that of a member of the list, takes no messages.",
    FULL: "The mailbox, or that of a member of the list, is full.",
    TOO_LONG: "The recording is longer than the mailbox, or that of a member of the list, takes.",
    TAKEN: "It is in the mailbox.",
}


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


@dataclass(frozen=True, slots=True)
class Going:
    """What was decided of a voice message, before anything is done."""

    mailboxes: tuple[UUID, ...]
    elsewhere: tuple[str, ...]
    """Addresses on other systems."""
    lost: Mapping[str, str]
    """Status codes of the addresses that do not get it."""


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
            whole = await self._returned(letter, key, raw)
            work = report(letter, key, raw, message_id, missed, wrong.code, str(wrong), whole)
            await self._store.outbox.add([work])
            return Settled(f"quarantined, {letter.sender} is told", True)
        if not missed and self._tells(letter, raw):
            return await self._undecodable(letter, raw, wrong, key)
        return Settled("quarantined", True)

    async def _undecodable(self, letter: Letter, raw: Blob, wrong: Unreadable, key: UUID) -> Settled:
        """Reports of failures were declined; a receipt may have been asked for (RFC 8098)."""
        to = receipt_address(letter, raw)
        location = location_of(to, await departures.locations(self._store)) if to else None
        if not location or not location.receipts:
            return Settled("quarantined", True)
        await self._store.outbox.add([undecodable(letter, key, raw, _message_id(raw), to, str(wrong))])
        return Settled(f"quarantined, {to} gets a receipt that says so", True)

    async def _returned(self, letter: Letter, key: UUID, raw: Blob) -> UUID | None:
        return await returned.keep(self._store, letter, key, raw, self._settings.wait_for_peer)

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
        """Whether its sender may send it, whom it goes to, and then: there, and word to its sender."""
        try:
            audio, seconds = await asyncio.to_thread(joined, mail)
        except BadSound as error:
            return await self._unreadable(letter, raw, Unreadable(f"its sound: {error}", "5.6.1"))
        sender = await self._addresses.user(claim(letter, mail, self._settings.domains))
        key = mail_id(letter, raw, mail.message_id, mail.sender.address)
        book, domains = self._addresses.book, self._settings.domains
        message = message_of(letter, key, mail, seconds, sender, book, domains)
        going = await self._going(letter, mail, message, sender)
        if (why := await self._may_not_send(sender, mail)) and not await self._is_there(message, going):
            return await self._unreadable(letter, raw, why)
        sent = await self._sent(message, going, audio)
        told = await self._told(letter, key, raw, mail, going.lost)
        kept = await self._held_back(letter, key, raw, mail, going)
        if not (sent or told or kept):
            return await self._undeliverable(letter, key, raw, mail, message, audio)
        await self._learn(mail)
        return Settled(", ".join(filter(None, (sent, told, kept))), quarantined=bool(kept and not sent))

    async def _may_not_send(self, sender: User | None, mail: VoiceMail) -> Unreadable | None:
        if not sender or self._settings.released:
            return None
        return await limits.barred(self._store, sender.id, mail)

    async def _is_there(self, message: NewMessage, going: Going) -> bool:
        """Whether an earlier try, before a crash, has sent it already."""
        copies = [await self._store.messages.get(copy_id(message.id, box)) for box in going.mailboxes]
        return any(copies)

    async def _going(
        self, letter: Letter, mail: VoiceMail, message: NewMessage, sender: User | None
    ) -> Going:
        """Where the message goes, and to which addresses it does not."""
        wanted = await self._addressees(letter)
        barred = await self._barred(wanted, sender)
        named = {each: name for each, name in wanted.items() if name and each not in barred}
        plan = await postroom.planned(self._store, tuple(named.values()))
        full = await self._refusing(message, plan, mail, outside=sender is None)
        away = await departures.sorted_out(self._store, message, plan.remote, None)
        lost = {**gone(letter.recipients, wanted, plan), **dict.fromkeys(barred, NOT_ALLOWED)}
        if full:
            lost |= await self._whose(full, named)
        return Going(tuple(box for box in plan.mailboxes if box not in full), tuple(away.going), lost)

    async def _refusing(
        self, message: NewMessage, plan: Plan, mail: VoiceMail, outside: bool
    ) -> Mapping[UUID, str]:
        if self._settings.released:
            return {}
        return await limits.refusing(self._store, message.id, plan.mailboxes, mail, outside)

    async def _whose(self, refusing: Mapping[UUID, str], named: Mapping[str, str]) -> dict[str, str]:
        """Addresses that lead to one of these mailboxes, with its code: a list, when it is a member's."""
        found: dict[str, str] = {}
        for address, name in named.items():
            boxes = (await postroom.planned(self._store, (name,))).mailboxes
            status = next((refusing[box] for box in boxes if box in refusing), None)
            found |= {address: status} if status else {}
        return found

    async def _sent(self, message: NewMessage, going: Going, audio: bytes) -> str:
        """What was done, for the log; "" when it went nowhere."""
        wait, done = self._settings.wait_for_peer, []
        if going.mailboxes:
            await self._store.messages.send(message, going.mailboxes, audio, wait=wait)
            done.append(f"{len(going.mailboxes)} mailboxes")
        if going.elsewhere:
            await departures.depart(self._store, message, going.elsewhere, audio, wait)
            done.append(f"{len(going.elsewhere)} elsewhere")
        return ", ".join(done)

    async def _held_back(self, letter: Letter, key: UUID, raw: Blob, mail: VoiceMail, going: Going) -> str:
        """Keep the mail that some mailbox did not take, so that an operator can still let it in."""
        held = [(each, status) for each, status in going.lost.items() if status in (FULL, TOO_LONG)]
        if not held:
            return ""
        why = f"{held[0][1]} {WHY[held[0][1]]} ({', '.join(each for each, _ in held[:MOST_NAMED])})"
        await self._keep(letter, key, raw, mail.message_id, why)
        return f"quarantined for {len(held)}"

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
            if not told:
                continue
            whole = await self._returned(letter, key, raw) if status != TAKEN else None
            failed += len(told) if status != TAKEN else 0
            work.append(report(letter, key, raw, mail.message_id, told, status, why, whole))
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

    async def _learn(self, mail: VoiceMail) -> None:
        """The message is there: want of a contact must not bring it back."""
        try:
            await contacts.learn(self._store, mail)
        except StoreError as error:
            log.warning("contact not kept", address=mail.sender.address, why=str(error))


def gone(recipients: Sequence[Recipient], wanted: Mapping[str, str], plan: Plan) -> dict[str, str]:
    """Addresses whose mailbox or list has vanished since they were asked for."""
    lost: set[Any] = {"", *plan.gone}
    return {each.address: GONE for each in recipients if wanted.get(each.address, "") in lost}


def _message_id(raw: Blob) -> str:
    return next(iter(header_values(raw, "Message-ID")), "").strip("<> ")[:250]
