"""From an INVITE to a conversation: who is wanted, then answer, then talk; every failure ends here, once.

`route` is the decision, a pure function (functions.md section 2.1). What the store could not say in time
is missing in `found`; a call is never refused for that: its message is taken for the extension as it was
dialled, and finds its mailbox when the store is back.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from sip.call import Call, HungUp, RecordLimits
from sip.errors import SipError
from sip.invite import Invite, Reason, Redirection, Source
from store.api import Store
from store.errors import Unavailable
from store.model import User
from store.signing_in import PinPolicy
from voicemail.conversation.desk import Desk, Sounds
from voicemail.conversation.host import Caller, Inquiry, Mailbox, Place, Reception, SignIn, place_with
from voicemail.conversation.switchboard import Switchboard
from voicemail.delivery import Delivery
from voicemail.greetings import Greetings
from voicemail.missed import report
from voicemail.phonebook import Phonebook, may_be_extension
from voicemail.policy.book import Policies
from voicemail.policy.builtin import OPENING
from voicemail.policy.interview import Interview
from voicemail.policy.model import Action, CallHandler, Go, Holidays, RoutingRule, Schedule, Table
from voicemail.policy.numbers import spellings
from voicemail.policy.routing import LAST, Facts, decide
from voicemail.policy.schedule import is_active

log = structlog.get_logger()

MOST_FORWARDINGS = 5
"""Forwardings that are looked up: nobody forwards so often in earnest."""

Found = Mapping[str, User | None]
"""Number -> its user, None when nobody has it; missing when the store could not say."""


@dataclass(frozen=True)
class Book:
    """The policies that routing needs, as they are now."""

    rules: Mapping[str, RoutingRule]
    handlers: Mapping[str, CallHandler]
    """Of these and of interviews those that may be meant."""
    schedules: Mapping[str, Schedule]
    holidays: Mapping[str, Holidays]
    now: datetime
    interviews: Mapping[str, Interview] = field(default_factory=dict)

    def active(self, schedule: str) -> bool:
        """Whether a schedule is active now; one that does not exist never is."""
        hours = self.schedules.get(schedule)
        return hours is not None and is_active(hours, self.holidays.get(hours.holidays), self.now)

    def place(self, extension: str) -> Place | None:
        """The handler or interview that has this number; None when none has."""
        return place_with(extension, self.handlers, self.interviews)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes, and why: `because` is what the log says."""

    to: Place | Action
    because: str
    rule: str = ""
    """The rule that said so; "" for none, after which nothing is tried."""


def caller_of(invite: Invite) -> str:
    """The number to recognise a user by: a hint, never more; the PIN is always asked."""
    return invite.asserted or invite.caller


def caller_known(invite: Invite, found: "Found") -> User | None:
    """The user whose number calls, as it came or with a + for 00."""
    return next(filter(None, map(found.get, spellings(caller_of(invite)))), None)


def candidates(invite: Invite, settings: "PilotSettings") -> tuple[str, ...]:
    """The numbers that may name the mailbox, in order: who forwarded the call, the one called originally
    first or last as the trunk's setting says, then the number dialled."""
    forwarded = forwarding(invite, settings)[:MOST_FORWARDINGS]
    dialled = () if invite.dialled == settings.pilot else (invite.dialled,)
    return tuple(form for each in filter(None, (*forwarded, *dialled)) for form in spellings(each))


def forwarding(invite: Invite, settings: "PilotSettings") -> tuple[str, ...]:
    """The numbers that forwarded the call; () for a direct one."""
    last = settings.redirecting.get(invite.trunk) == "last"
    found = redirections(invite, settings)
    order = reversed(found) if last else found
    return tuple(each.number for each in order if each.number not in ("", settings.pilot))


def redirections(invite: Invite, settings: "PilotSettings") -> tuple[Redirection, ...]:
    """As the source tells them that the trunk believes first."""
    sources = settings.forwarded_by.get(invite.trunk)
    return invite.redirections if sources is None else invite.by_sources(sources)


def route(invite: Invite, settings: "PilotSettings", found: Found, book: Book, after: str = "") -> Route:
    """Where this call goes: what the first rule says that leads somewhere, `after` one that turned out to
    lead nowhere."""
    forwarded = forwarding(invite, settings)
    table = Table.FORWARDED if forwarded else Table.DIRECT
    facts = Facts(caller_of(invite), invite.dialled, forwarded[0] if forwarded else "", invite.trunk)
    name, action = decide(book.rules, table, facts, book.active, after)
    for _ in book.rules:
        match action.go:
            case Go.ATTEMPT_SIGN_IN:
                place = _attempt_sign_in(invite, found)
            case Go.ATTEMPT_FORWARD:
                place = _attempt_forward(invite, settings, found, book)
            case Go.NEXT_RULE:
                place = None
            case _:
                return Route(action, f"rule {name}", name)
        if place:
            return Route(place, f"rule {name}", name)
        name, action = decide(book.rules, table, facts, book.active, name)
    return Route(Reception(OPENING), "no rule leads anywhere")


def _attempt_sign_in(invite: Invite, found: Found) -> Place | None:
    known = found.get(invite.identified) or caller_known(invite, found)
    return SignIn() if known else None


def _attempt_forward(invite: Invite, settings: "PilotSettings", found: Found, book: Book) -> Place | None:
    """The mailbox of the first candidate that is somebody's."""
    caller = found.get(invite.identified) or caller_known(invite, found)
    reasons = {
        form: each.reason
        for each in reversed(redirections(invite, settings))
        for form in spellings(each.number)
    }
    for number in candidates(invite, settings):
        user = found.get(number)
        if user and caller and user.id == caller.id:
            return SignIn()
        if place := None if user else book.place(number):
            return place
        if user or (number not in found and may_be_extension(number)):
            return Mailbox(number, user, reasons.get(number, Reason.UNKNOWN))
    return None


@dataclass(frozen=True, slots=True)
class PilotSettings:
    """What the configuration says about calls. `folder` holds sounds for the length of a call, and below
    it the greetings of the latest mailboxes called."""

    pilot: str
    folder: Path
    limits: RecordLimits = RecordLimits()
    policy: PinPolicy = PinPolicy()
    redirecting: Mapping[str, str] = field(default_factory=dict)
    """By trunk: "last" where the last forwarding names the mailbox, and not the first."""
    forwarded_by: Mapping[str, Sequence[Source]] = field(default_factory=dict)
    """By trunk: which sources are believed, in this order; for others all, in the order of Source."""


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
        missed: list[User] = []
        try:
            with self.desk() as desk:
                await self._converse(desk, call, missed)
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
        for user in missed:
            await report(self._store, user, call.invite, self._now())

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """What one call has at hand."""
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

    async def _converse(self, desk: Desk, call: Call, missed: list[User]) -> None:
        """What routing needs is looked up while it still rings, so that the caller hears no silence.
        `missed` gets the user whose caller leaves no message."""
        invite, settings = call.invite, self._settings
        callers = (invite.identified, *spellings(caller_of(invite)))
        numbers = candidates(invite, settings)
        looked, book = await asyncio.gather(self._phonebook.look_up(numbers, callers), self._book(numbers))
        caller = _caller(invite, looked.found)
        board = Switchboard(desk, call, self._phonebook, self._greetings, caller, looked.away)
        place, because = await _first_place(board, invite, settings, looked.found, book)
        log.info("call routed", **told(place), because=because, database_away=looked.away)
        try:
            await board.run(place)
        finally:
            missed += filter(None, [board.missed])

    async def _book(self, numbers: Sequence[str]) -> Book:
        """With whatever is dialled by these numbers."""
        policies = self._policies
        handlers: dict[str, CallHandler] = {}
        interviews: dict[str, Interview] = {}
        for number in numbers:
            handlers |= await policies.numbered(CallHandler, number)
            interviews |= await policies.numbered(Interview, number)
        return Book(
            await policies.all(RoutingRule),
            handlers,
            await policies.all(Schedule),
            await policies.all(Holidays),
            self._now(),
            interviews,
        )


async def _first_place(
    board: Switchboard, invite: Invite, settings: PilotSettings, found: Found, book: Book
) -> tuple[Place, str]:
    """Where the first rule leads that leads anywhere, and why."""
    where = route(invite, settings, found, book)
    for _ in range(len(book.rules)):
        if not isinstance(where.to, Action):
            return where.to, where.because
        if place := await board.place_of(where.to):
            return place, where.because
        if where.rule in LAST.values():
            break
        where = route(invite, settings, found, book, where.rule)
    return Reception(OPENING), "no rule leads anywhere"


def told(place: Place) -> dict[str, str]:
    """What the log says of a place: never more of a user than the extension."""
    match place:
        case Mailbox(extension, _, reason):
            return {"to": "mailbox", "mailbox": extension, "reason": str(reason)}
        case Reception(name):
            return {"to": "handler", "handler": name}
        case Inquiry(name):
            return {"to": "interview", "interview": name}
    return {"to": type(place).__name__.lower()}


def _caller(invite: Invite, found: Found) -> Caller:
    identified, hint = found.get(invite.identified), caller_known(invite, found)
    return Caller(hint, identified, internal=bool(identified or (hint and invite.trunk)))


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
