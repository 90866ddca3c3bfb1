"""A caller's way from place to place: mailbox, handler, directory, signing in, until it ends.

Every place says where it leads; nothing here loops, because a call visits a bounded number of places."""

from dataclasses import replace
from uuid import UUID

import structlog

from sip.call import Call, Screen, Sound, Transferred
from sip.invite import Reason
from store.errors import Unavailable
from store.model import User, setting_id
from voicemail.conversation.desk import Desk
from voicemail.conversation.directory import Left, search
from voicemail.conversation.greet import greet
from voicemail.conversation.handler import handler_host
from voicemail.conversation.host import (
    Caller,
    Directory,
    Elsewhere,
    Host,
    Inquiry,
    Mailbox,
    Over,
    Place,
    Reception,
    Service,
    SignIn,
    place_with,
)
from voicemail.conversation.interview import inquire
from voicemail.conversation.leave_message import leave_message
from voicemail.conversation.lookup import AWAY, WITHIN, Lookup
from voicemail.conversation.mailbox import mailbox_host
from voicemail.conversation.screening import Callee, screening
from voicemail.conversation.services import SERVICES, serve
from voicemail.conversation.transfer import by_rule, put_through
from voicemail.conversation.user_side import user_side
from voicemail.greetings import Greetings
from voicemail.phonebook import Phonebook, may_be_extension
from voicemail.policy.builtin import GOODBYE, OPENING
from voicemail.policy.interview import Interview
from voicemail.policy.model import Action, CallHandler, ClassOfService, Go, RestrictionTable
from voicemail.policy.numbers import allowed
from voicemail.policy.transferred import HANDLERS_TABLE
from voicemail.words import DEFAULT

log = structlog.get_logger()

HOPS = 20
"""Places that a call visits at most."""
WRONG = 10
"""Wishes at one greeting that lead nowhere."""
BYE = Over(("goodbye",))


class Switchboard:
    """One per call. `away` says that the store did not answer a moment ago."""

    def __init__(
        self,
        desk: Desk,
        call: Call,
        phonebook: Phonebook,
        greetings: Greetings,
        caller: Caller,
        away: bool = False,
    ) -> None:
        self._desk, self._call, self._caller = desk, call, caller
        self._phonebook, self._greetings = phonebook, greetings
        self._within = AWAY if away else WITHIN
        self._chosen, self._spoken = "", DEFAULT
        self.missed: User | None = None
        """Whose greeting the caller has heard without leaving a message, or going on to anything else."""

    async def run(self, place: Place) -> None:
        """From place to place until the call is over. Raises HungUp, and Unavailable where a user needs the
        store."""
        for _ in range(HOPS):
            if isinstance(place, Over):
                break
            place = await self._visit(place)
        else:
            log.warning("call ended: it went from place to place", hops=HOPS)
            place = BYE
        await self._call.answer()
        await self._call.play(*place.said)

    async def _visit(self, place: Place) -> Place:
        match place:
            case Mailbox():
                self._speak(place.user.language if place.user else "")
                return await self._attend(await mailbox_host(self._look(), place, self._caller), place)
            case Reception(name):
                handler = await self._desk.policies.get(CallHandler, name)
                if handler is None:
                    log.error("there is no such handler", handler=name)
                    return BYE
                self._speak(handler.language, for_good=True)
                return await self._attend(await handler_host(self._look(), name, handler), place)
            case Inquiry(name):
                return await self._inquire(name)
            case Directory():
                return await self._search()
            case SignIn():
                await self._sign_in()
                return Over()
            case Elsewhere(number):
                return await self._transfer(number)
            case Service(go):
                return await self._serve(go)
            case Over():
                return place

    def _look(self) -> Lookup:
        return Lookup(self._desk, self._greetings, self._within, self._spoken)

    def _speak(self, language: str, for_good: bool = False) -> None:
        """A mailbox answers in its owner's language, unless a handler has chosen one for the call."""
        self._chosen = (language if for_good else "") or self._chosen
        wanted = self._chosen or language or DEFAULT
        if wanted != self._spoken:
            self._desk, self._spoken = self._desk.in_language(self._call, wanted), wanted

    async def _attend(self, host: Host, place: Mailbox | Reception) -> Place:
        """Answer for a host, until the caller goes on."""
        await self._call.answer()
        if place.transfer and host.transfer.enabled:
            return await self._first_through(host, place)
        if isinstance(place, Mailbox):
            self.missed = place.user
        first: tuple[Sound, ...] = ()
        for _ in range(WRONG):
            wish = await greet(self._call, host, *first)
            dialled = isinstance(wish, str)
            following = await (self._dialled(wish) if isinstance(wish, str) else self._follow(host, wish))
            if following:
                if isinstance(wish, str) or wish.go not in (Go.TAKE_MESSAGE, Go.HANG_UP):
                    self.missed = None
                return following
            first = ("not_a_mailbox",) if dialled else host.error
        return BYE

    async def _first_through(self, host: Host, place: Mailbox | Reception) -> Place:
        """To the host's own telephone. When nobody answers there, the greeting follows."""
        rule = host.transfer
        number = rule.number or host.number
        screen = await self._screening(host, place) if allowed(host.table, number) else None
        done = await by_rule(self._call, rule, number, host.table, screen)
        if done is Transferred.DONE:
            return Over()
        if isinstance(place, Mailbox):
            reason = Reason.BUSY if done is Transferred.BUSY else Reason.NO_REPLY
            return replace(place, transfer=False, reason=reason)
        return replace(place, transfer=False)

    async def _screening(self, host: Host, place: Mailbox | Reception) -> Screen | None:
        """What whoever answers for a host is asked first."""
        if isinstance(place, Reception):
            owner: UUID | None = setting_id(CallHandler.KIND, place.name)
        else:
            owner = place.user.id if place.user else None
        callee = Callee(owner, host.number, host.language)
        return await screening(
            self._desk, self._call, self._greetings, host.transfer, callee, self._caller, self._within
        )

    async def _dialled(self, number: str) -> Place | None:
        """Whose extension that is; None when it is nobody's."""
        if mailbox := await self._mailbox(number, transfer=True):
            return mailbox
        policies = self._desk.policies
        handlers = await policies.numbered(CallHandler, number)
        return place_with(number, handlers, await policies.numbered(Interview, number))

    async def _mailbox(self, number: str, transfer: bool) -> Mailbox | None:
        """Of a number that is a user's, or may be one while nobody can tell."""
        looked = await self._phonebook.look_up((number,), within=self._within)
        if (user := looked.found.get(number)) or (looked.away and may_be_extension(number)):
            return Mailbox(number, user, transfer=transfer)
        return None

    async def _follow(self, host: Host, action: Action) -> Place | None:
        """Do what a key, or the end of a greeting, asks for; None when that cannot be done."""
        match action.go:
            case Go.TAKE_MESSAGE:
                return await self._take_message(host)
            case Go.TRANSFER:
                done = await put_through(self._call, action.target, host.table)
                return Over() if done is Transferred.DONE else None
        return await self.place_of(action)

    async def place_of(self, action: Action) -> Place | None:
        """Where an action leads that needs nobody to answer; None when there is no such place."""
        match action.go:
            case Go.HANG_UP:
                return Over()
            case Go.HANDLER if await self._desk.policies.get(CallHandler, action.target):
                return Reception(action.target, action.transfer)
            case Go.USER if mailbox := await self._mailbox(action.target, action.transfer):
                return mailbox
            case Go.INTERVIEW if await self._desk.policies.get(Interview, action.target):
                return Inquiry(action.target)
            case Go.DIRECTORY:
                return Directory()
            case Go.SIGN_IN:
                return SignIn()
            case go if go in SERVICES:
                return Service(go)
            case Go.TRANSFER:
                return Elsewhere(action.target)
        log.warning("this leads nowhere", go=str(action.go), target=action.target)
        return None

    async def _take_message(self, host: Host) -> Place:
        if host.box is None:
            return BYE
        sender = await self._sender()
        await leave_message(
            self._desk, self._call, host.box, *host.before_tone, sender=sender, sent=self._not_missed
        )
        return await self.place_of(host.after_message) or BYE

    def _not_missed(self) -> None:
        self.missed = None

    async def _sender(self) -> UUID | None:
        """The user who certainly is calling, whose messages can then be answered."""
        user = self._caller.identified
        if user is None:
            return None
        options = await self._desk.policies.options(user.id, self._within)
        cos = await self._desk.policies.get(ClassOfService, options.cos) or ClassOfService()
        return user.id if cos.identified_messages else None

    async def _inquire(self, name: str) -> Place:
        interview = await self._desk.policies.get(Interview, name)
        if interview is None:
            log.error("there is no such interview", interview=name)
            return BYE
        self._speak(interview.language, for_good=True)
        await self._call.answer()
        await inquire(self._look(), self._call, name, interview, await self._sender())
        return await self.place_of(interview.after_message) or BYE

    async def _search(self) -> Place:
        await self._call.answer()
        try:
            found = await search(self._desk, self._call, self._phonebook, self._greetings)
        except Unavailable as error:
            log.warning("directory cannot be searched", why=str(error))
            await self._call.play("cannot_put_through")
            return Reception(GOODBYE)
        if isinstance(found, User):
            return Mailbox(found.extension, found, transfer=True)
        return Reception(OPENING if found is Left.BACK else GOODBYE)

    async def _transfer(self, number: str) -> Place:
        """A routing rule's transfer."""
        await self._call.answer()
        table = await self._desk.policies.get(RestrictionTable, HANDLERS_TABLE) or RestrictionTable()
        done = await put_through(self._call, number, table)
        return Over() if done is Transferred.DONE else BYE

    async def _serve(self, go: Go) -> Place:
        await self._call.answer()
        certain, hint = self._caller.identified, self._caller.hint
        done = await serve(self._desk, self._call, go, certain or hint, certain is not None)
        return Over() if done is Transferred.DONE else BYE

    async def _sign_in(self) -> None:
        await self._call.answer()
        certain, hint = self._caller.identified, self._caller.hint
        await user_side(self._desk, self._call, certain or hint, certain is not None)
