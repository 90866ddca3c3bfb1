"""From an INVITE to a conversation: who is wanted, then answer, then talk; every failure ends here, once.

`route` is the decision, a pure function (functions.md section 2.1). What the store could not say in time
is missing in `found`; a call is never refused for that: its message is taken for the extension as it was
dialled, and finds its mailbox when the store is back.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import structlog

from sip.call import Call, HungUp, RecordLimits
from sip.errors import SipError
from sip.invite import Invite, Reason
from store.api import Store
from store.errors import Unavailable
from store.model import PinPolicy, User
from voicemail.conversation.desk import Box, Desk, Sounds
from voicemail.conversation.leave_message import Next, leave_message
from voicemail.conversation.main_menu import main_menu
from voicemail.conversation.sign_in import sign_in
from voicemail.delivery import Delivery
from voicemail.greetings import Greetings
from voicemail.phonebook import Phonebook
from voicemail.policy.book import Policies

log = structlog.get_logger()

EXTENSION = re.compile(r"\+?[0-9*#]{1,20}")
"""What a mailbox's number looks like: with the store away, only such are believed."""

Found = Mapping[str, User | None]
"""Number -> its user, None when nobody has it; missing when the store could not say."""


class Kind(StrEnum):
    """Where a call can go."""

    LEAVE_MESSAGE = "leave message"
    SIGN_IN = "sign in"
    NOT_A_MAILBOX = "not a mailbox"
    NOT_AVAILABLE = "not available now"


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes, and why: `because` is what the log says."""

    kind: Kind
    because: str
    extension: str = ""
    user: User | None = None
    """The mailbox's owner, or who is expected to sign in."""
    reason: Reason = Reason.UNKNOWN


def caller_of(invite: Invite) -> str:
    """The number to recognise a user by: a hint, never more; the PIN is always asked."""
    return invite.asserted or invite.caller


def candidates(invite: Invite, pilot: str) -> tuple[str, ...]:
    """The numbers to look up, in order, until one is a user's."""
    if forwarded := _forwarded(invite, pilot):
        return forwarded
    return (caller_of(invite),) if invite.dialled == pilot else (invite.dialled,)


def route(invite: Invite, pilot: str, found: Found) -> Route:
    """Where this call goes. Forwarded: the mailbox of the first party called that has one. Direct to
    the pilot: sign in. Direct to an extension: its mailbox."""
    forwarded = _forwarded(invite, pilot)
    if not forwarded and invite.dialled == pilot:
        return _to_the_pilot(invite, found)
    because = "forwarded" if forwarded else "dialled directly"
    reasons = {each.number: each.reason for each in reversed(invite.redirections)}
    for number in forwarded or (invite.dialled,):
        if (user := found.get(number)) and number == caller_of(invite):
            return Route(Kind.SIGN_IN, "calls the own mailbox", number, user)
        if user or (number not in found and EXTENSION.fullmatch(number)):
            told = because if user else f"{because}; the database is away"
            return Route(Kind.LEAVE_MESSAGE, told, number, user, reasons.get(number, Reason.UNKNOWN))
    return Route(Kind.NOT_A_MAILBOX, f"{because}, and nobody has this number")


def _to_the_pilot(invite: Invite, found: Found) -> Route:
    caller = caller_of(invite)
    if user := found.get(caller):
        return Route(Kind.SIGN_IN, "the pilot was dialled from a user's number", caller, user)
    if caller and caller not in found:
        return Route(Kind.NOT_AVAILABLE, "the pilot was dialled; the database is away")
    return Route(Kind.SIGN_IN, "the pilot was dialled")


def _forwarded(invite: Invite, pilot: str) -> tuple[str, ...]:
    return tuple(each.number for each in invite.redirections if each.number not in ("", pilot))


@dataclass(frozen=True, slots=True)
class PilotSettings:
    """What the configuration says about calls. `folder` holds sounds for the length of a call, and below
    it the greetings of the latest mailboxes called."""

    pilot: str
    folder: Path
    limits: RecordLimits = RecordLimits()
    policy: PinPolicy = PinPolicy()


class Pilot:
    """One per worker. `handle` is a `sip.call.Handler`."""

    def __init__(
        self, store: Store, delivery: Delivery, settings: PilotSettings, now: Callable[[], datetime]
    ) -> None:
        self._store, self._delivery, self._settings, self._now = store, delivery, settings, now
        self._policies = Policies(store, now)
        self._phonebook = Phonebook(store.users)
        self._greetings = Greetings(store.users, settings.folder / "greetings")

    async def handle(self, call: Call) -> None:
        """Run one call from INVITE to BYE. Raises nothing but cancellation."""
        try:
            with self._desk() as desk:
                await self._converse(desk, call)
        except HungUp:
            log.info("call over: the caller hung up")
        except Unavailable as error:
            log.warning("call over: the database is away", why=str(error))
            await _say(call, "not_available_now", "goodbye")
        except SipError as error:  # never acknowledged, or its sound cannot be played: nothing of ours broke
            log.warning("call over: the call failed", why=str(error))
            await _say(call, "failure", "goodbye")
        except Exception:
            log.exception("call over: something broke")
            await _say(call, "failure", "goodbye")
        else:
            log.info("call over: all was said")
        await _hang_up(call)

    @contextmanager
    def _desk(self) -> Iterator[Desk]:
        sounds = Sounds(self._settings.folder)
        try:
            settings = self._settings
            yield Desk(
                self._store,
                self._delivery,
                sounds,
                self._policies,
                self._now,
                settings.limits,
                settings.policy,
            )
        finally:
            sounds.close()

    async def _converse(self, desk: Desk, call: Call) -> None:
        """Everything is looked up while it still rings, so that the caller hears no silence."""
        invite, pilot = call.invite, self._settings.pilot
        found = await self._phonebook.find_first(candidates(invite, pilot))
        where = route(invite, pilot, found)
        log.info("call routed", to=str(where.kind), mailbox=where.extension, because=where.because)
        greeting = await self._greeting(where)
        await call.answer()
        match where.kind:
            case Kind.LEAVE_MESSAGE:
                box = Box(where.extension, where.user, greeting, where.reason)
                if await leave_message(desk, call, box) is Next.SIGN_IN:
                    await self._user_side(desk, call, await self._known(caller_of(invite)))
            case Kind.SIGN_IN:
                await self._user_side(desk, call, where.user)
            case Kind.NOT_A_MAILBOX:
                await call.play("not_a_mailbox", "goodbye")
            case Kind.NOT_AVAILABLE:
                await call.play("not_available_now", "goodbye")

    async def _user_side(self, desk: Desk, call: Call, known: User | None) -> None:
        if user := await sign_in(desk, call, known):
            await main_menu(desk, call, user)

    async def _known(self, number: str) -> User | None:
        return (await self._phonebook.find_first((number,))).get(number)

    async def _greeting(self, where: Route) -> Path | None:
        """The owner's recording as a file; None for the system's greeting."""
        if where.kind is not Kind.LEAVE_MESSAGE or where.user is None:
            return None
        return await self._greetings.of(where.user.id)


async def _say(call: Call, *words: str) -> None:
    """Last words to somebody who may have gone."""
    try:
        await call.answer()
        await call.play(*words)
    except HungUp:
        log.info("the caller had hung up")
    except SipError as error:
        log.warning("last words could not be said", why=str(error))


async def _hang_up(call: Call) -> None:
    try:
        await call.hang_up()
    except (HungUp, SipError) as error:
        log.warning("hanging up failed", why=str(error))
