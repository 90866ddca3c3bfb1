"""Whose a mail address is: mailboxes by number, lists by name or number."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import structlog

from store.api import Store
from store.errors import StoreError
from store.model import ALTERNATE_EXTENSION, User
from voicemail.intake.decide import Claim, fits
from voicemail.policy.book import parsed
from voicemail.policy.locations import Location
from voicemail.policy.model import Members
from voicemail.recipients import LIST, UNDELIVERABLE
from voicemail.secrets import write_private
from voicemail.vpim.addresses import Kind, is_nobody, read_local

log = structlog.get_logger()

WITHIN = 2.0
"""Seconds a sender waits for the store."""
SETTINGS_EVERY, USERS_EVERY = 5.0, 60.0
"""Seconds between two looks at lists and locations, and at all users."""
POSTMASTER = "postmaster"


class Away(Exception):
    """Nobody can tell now: the store is away, and this address was never known."""


@dataclass(frozen=True, slots=True)
class Found:
    """`addressee` is what recipients.py understands; `mailbox` None for a list."""

    addressee: str
    mailbox: UUID | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """All addresses at one moment."""

    numbers: Mapping[str, UUID] = field(default_factory=dict)
    mails: Mapping[str, UUID] = field(default_factory=dict)
    """Users by mail address, in lower case."""
    lists: Mapping[str, str] = field(default_factory=dict)
    """Names of lists by name in lower case, and by number."""
    locations: tuple[Location, ...] = ()


def candidates(local: str) -> tuple[str, ...]:
    """Numbers and names that a local part may mean, likelier first: the mailbox or list of a voice-mail
    address (2722+111 is extension 111 behind mailbox 2722), the whole as a name, what stands before a `+`
    (1001+holiday is mailbox 1001). None for an address that asks us to dial out."""
    said = read_local(local)
    if said.kind is Kind.REFUSED:
        return ()
    if said.to_list:
        return (said.to_list,)
    if said.number:
        return tuple(dict.fromkeys((said.number, said.number.removeprefix("+"))))
    whole = local.strip('"').lower()
    head, plus, _ = whole.partition("+")
    return (whole, head) if plus and head else (whole,)


class Addresses:
    """`kept` is a file for the addresses known last, over a restart."""

    def __init__(self, store: Store, kept: Path | None = None) -> None:
        self._store, self._kept = store, kept
        self.book = Book(numbers=_remembered(kept)) if kept else Book()

    async def find(self, local: str) -> Found | None:
        """Whose mails to this local part are; None when nobody's. Raises Away."""
        if is_nobody(f"{local}@"):
            return None
        if local.lower() == POSTMASTER:
            return Found(UNDELIVERABLE)
        names = candidates(local)
        away = False
        for name in names:
            if name[:1].isdigit() or name[:1] == "+":
                try:
                    mailbox = await self._mailbox(name)
                except Away:
                    away, mailbox = True, self.book.numbers.get(name)
                if mailbox:
                    return Found(name, mailbox)
            if listed := self.book.lists.get(name):
                return Found(LIST + listed)
        if away:
            raise Away
        return None

    async def _mailbox(self, number: str) -> UUID | None:
        try:
            async with asyncio.timeout(WITHIN):
                user = await self._store.users.by_extension(number)
        except (StoreError, TimeoutError):
            raise Away from None
        return user.id if user else None

    async def user(self, wanted: Claim) -> User | None:
        """The user of ours who a mail is from. Raises store errors."""
        if wanted.extension:
            user = await self._store.users.by_extension(wanted.extension)
            if user:
                return user
        known = self.book.mails.get(wanted.mail.lower()) if wanted.mail else None
        user = await self._store.users.get(known) if known else None
        return user if user and fits(user, wanted) else None

    async def refresh(self, users: bool = True) -> None:
        """Read all again, or only what is set. Raises store errors."""
        lists: dict[str, str] = {}
        for each in await self._store.settings.all(Members.KIND):
            if policy := parsed(Members, each):
                lists[each.name.lower()] = each.name
                lists |= {policy.extension: each.name} if policy.extension else {}
        places = [parsed(Location, each) for each in await self._store.settings.all(Location.KIND)]
        numbers, mails = await self._users() if users else (self.book.numbers, self.book.mails)
        changed = numbers != self.book.numbers
        self.book = Book(numbers, mails, lists, tuple(place for place in places if place))
        if changed and self._kept:
            await asyncio.to_thread(_remember, self._kept, numbers)

    async def _users(self) -> tuple[dict[str, UUID], dict[str, UUID]]:
        everybody = await self._store.users.all()
        mails = {user.mail.lower(): user.id for user in reversed(everybody) if user.mail}
        numbers = {user.extension: user.id for user in reversed(everybody)}
        for each in await self._store.settings.all(ALTERNATE_EXTENSION):
            numbers.setdefault(each.name, UUID(json.loads(each.body)["user"]))
        return numbers, mails

    async def keep(self) -> None:
        """Keep the book fresh, until cancelled."""
        rounds, away = 0, False
        every = int(USERS_EVERY / SETTINGS_EVERY)
        while True:
            try:
                await self.refresh(users=rounds % every == 0)
                rounds, away = rounds + 1, False
            except (StoreError, ValueError, KeyError, TypeError) as error:
                if not away:
                    log.warning("addresses cannot be looked up; those known last hold", why=str(error))
                away = True
            await asyncio.sleep(SETTINGS_EVERY)


def _remembered(kept: Path) -> dict[str, UUID]:
    try:
        return {str(number): UUID(user) for number, user in json.loads(kept.read_bytes()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _remember(kept: Path, numbers: Mapping[str, UUID]) -> None:
    try:
        write_private(kept, json.dumps({number: str(user) for number, user in numbers.items()}).encode())
    except OSError as error:
        log.warning("addresses could not be kept over a restart", why=str(error))
