"""What all SMTP connections of a node share: who may send, whose addresses are ours, spool, bounds."""

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from store.api import Store
from store.errors import StoreError
from voicemail.access.door import Accounts, Crowd, Rate, admitted, within
from voicemail.access.params import Refused, Sender
from voicemail.config import Smtp
from voicemail.intake.addresses import POSTMASTER, WITHIN, Addresses, Away, Found
from voicemail.intake.decide import claimed
from voicemail.intake.letter import Letter, Trust
from voicemail.intake.limits import OWN_FULL, is_full, may_send
from voicemail.intake.spool import Incoming, MailSpool
from voicemail.policy.elsewhere import domain_of, mailbox_of
from voicemail.recipients import LIST

log = structlog.get_logger()

MEGABYTE = 1_000_000
MINUTE, HOUR = timedelta(minutes=1).total_seconds(), timedelta(hours=1).total_seconds()
MOST_WAITING = 10_000
"""Mails in the spool; with more of them the senders keep theirs."""


class Desk:
    """`node` and `name` are what this server calls itself; `reports_to` is an address of ours that takes
    reports only, what the mails of this cluster are sent from."""

    def __init__(
        self,
        settings: Smtp,
        store: Store,
        addresses: Addresses,
        spool: MailSpool,
        taken: Callable[[Letter], None],
        *,
        node: str,
        tls: ssl.SSLContext | None,
        reports_to: str = "",
        least_free: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self.spool, self.node, self.tls = settings, spool, node, tls
        self.name = f"{node}.{settings.domains[0]}" if "." not in node else node
        self.largest = settings.largest_megabytes * MEGABYTE
        self.accounts = Accounts(settings.users_file)
        self.crowd = Crowd(settings.connections, settings.connections_per_source)
        self._store, self._addresses, self._taken = store, addresses, taken
        self._reports_to, self._least_free, self._clock = reports_to.lower(), least_free, clock
        self._by_source = Rate(settings.mails_per_minute_per_source, MINUTE)
        self._by_mailbox = Rate(settings.mails_per_hour_per_mailbox, HOUR)

    def refused(self, source: str) -> str:
        """The answer that ends a new connection; "" when it was let in, to leave the crowd later."""
        if not (self.accounts.any or self._knows(source)):
            return "554 5.7.1 no mails are taken from there"
        return self.crowd.enter(source)

    def _knows(self, source: str) -> bool:
        places = self._addresses.book.locations
        return within(source, self.settings.allowed_networks) or any(
            within(source, place.networks) for place in places
        )

    async def admit(self, source: str, user: str, said: Sender) -> Trust:
        """Why this mail is taken. Raises Refused."""
        admission = admitted(
            self.settings.allowed_networks,
            self._addresses.book.locations,
            source,
            user,
            said.address,
            self.accounts.any,
        )
        if admission.trust is None:
            raise Refused(admission.answer)
        if said.size > self.largest:
            raise Refused(f"552 5.3.4 the mail is larger than {self.largest} bytes")
        if self._by_source.full(source, self._clock()):
            raise Refused("450 4.7.1 too many mails from there, try again later")
        await self._room(said.size)
        if said.address and await self._is_barred(admission.trust, user, said.address):
            raise Refused(f"552 5.2.2 {OWN_FULL}")
        return admission.trust

    async def _is_barred(self, trust: Trust, user: str, address: str) -> bool:
        """Whether a user of ours writes whose mailbox lets him send no more. Looked at once more when the
        mail is settled, so what cannot be known now is let through."""
        try:
            async with asyncio.timeout(WITHIN):
                writer = await self._addresses.user(claimed(trust, user, address, self.settings.domains))
                return writer is not None and not await may_send(self._store, writer.id)
        except (StoreError, TimeoutError) as error:
            log.warning("sender cannot be looked up", why=str(error) or "no answer")
            return False

    async def _room(self, size: int) -> None:
        try:
            free, waiting = await asyncio.to_thread(self._disk)
        except OSError as error:
            log.error("spool of mails cannot be used", why=str(error))
            raise Refused("452 4.3.1 no room for mails, try again later") from None
        if free - size < self._least_free or waiting >= MOST_WAITING:
            log.error("no room for mails", free=free, waiting=waiting)
            raise Refused("452 4.3.1 no room for mails, try again later")

    def _disk(self) -> tuple[int, int]:
        return self.spool.free_bytes(), self.spool.waiting()

    async def receives(self, address: str, said: Sender) -> str:
        """What this recipient counts as, for the rates: a mailbox or a list; "" for what has none. Raises
        Refused."""
        if address.lower() == POSTMASTER:
            address = f"{POSTMASTER}@{self.settings.domains[0]}"
        if domain_of(address) not in self.settings.domains:
            raise Refused("550 5.7.1 mails to other domains are not taken here")
        if self._reports_to and address.lower() == self._reports_to and not said.address:
            return ""
        found = await self._found(address)
        if not found.mailbox and not found.addressee.startswith(LIST):
            return ""
        counted = str(found.mailbox or found.addressee)
        if self._by_mailbox.full(counted, self._clock()):
            raise Refused("450 4.2.1 this mailbox gets too many mails, try again later")
        if found.mailbox and await self._full(found.mailbox):
            raise Refused("452 4.2.2 the mailbox is full")
        return counted

    async def _found(self, address: str) -> Found:
        try:
            found = await self._addresses.find(mailbox_of(address))
        except Away:
            raise Refused("451 4.3.0 mailboxes cannot be looked up now, try again later") from None
        if not found:
            raise Refused("550 5.1.1 there is no such mailbox")
        return found

    async def _full(self, mailbox: UUID) -> bool:
        """Not known while the store is away: then it is taken, and looked at once more when it is settled."""
        try:
            async with asyncio.timeout(WITHIN):
                return await is_full(self._store, mailbox)
        except (StoreError, TimeoutError) as error:
            log.warning("mailbox size cannot be looked up", why=str(error) or "no answer")
            return False

    async def keep(self, incoming: Incoming, letter: Letter, mailboxes: Sequence[str]) -> None:
        """On disk when it returns, and on its way. Raises OSError."""
        await asyncio.to_thread(incoming.keep, letter)
        now = self._clock()
        self._by_source.note(letter.source, now)
        for each in mailboxes:
            self._by_mailbox.note(each, now)
        self._taken(letter)
