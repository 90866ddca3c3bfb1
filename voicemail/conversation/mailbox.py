"""A user's mailbox as it answers now: which greeting, which keys, whether it is full."""

import asyncio

from sip.call import Sound
from sip.invite import Reason
from store.model import User
from voicemail.conversation.desk import Desk
from voicemail.conversation.host import Caller, Host, Letterbox, Mailbox
from voicemail.conversation.lookup import ON, Greeted, Lookup
from voicemail.policy import quota
from voicemail.policy.listening import Sort
from voicemail.policy.model import (
    CALLER_KEYS,
    Action,
    ClassOfService,
    Go,
    RestrictionTable,
    Source,
    UserOptions,
)
from voicemail.policy.quota import QuotaState
from voicemail.policy.transfers import rules_of

IGNORED = Action(go=Go.IGNORE)


async def mailbox_host(look: Lookup, place: Mailbox, caller: Caller) -> Host:
    """Never raises."""
    if place.user is None:
        return stranger_host(look.desk, place)
    user, policies = place.user, look.desk.policies
    options, switches, size, room = await asyncio.gather(
        policies.options(user.id, look.within),
        look.switches(user.id),
        look.size(user.id),
        look.desk.delivery.has_room(),
    )
    cos = await policies.get(ClassOfService, options.cos) or ClassOfService()
    greeted = await look.greeted(
        user.id,
        switches,
        options.schedule,
        time_zone=options.time_zone,
        busy=place.reason is Reason.BUSY,
        internal=caller.internal,
    )
    box = letterbox(look.desk, place.extension, user, cos, size)
    takes_any = Sort.VOICE not in options.rejects
    takes = greeted.switch.after.go is Go.TAKE_MESSAGE and room and not box.full and takes_any
    return Host(
        words=(greeted.recording,) if greeted.recording else words(look.desk, place, greeted, takes),
        switch=greeted.switch,
        keys=CALLER_KEYS if options.keys is None else options.keys,
        other=IGNORED,
        error=greeted.error,
        box=box if takes_any else None,
        before_tone=("record_at_tone",) if greeted.switch.record_prompt else (),
        after_message=options.after_message,
        transfer=await look.transfer(rules_of(options), options.schedule, options.time_zone),
        number=user.extension,
        table=await policies.get(RestrictionTable, cos.transfer_table) or RestrictionTable(),
        language=user.language,
    )


def stranger_host(desk: Desk, place: Mailbox) -> Host:
    """A number that cannot be looked up now: its message finds the mailbox later."""
    return Host(
        words=system_words(desk, place, None, takes=True),
        switch=ON,
        keys=CALLER_KEYS,
        other=IGNORED,
        box=Letterbox(place.extension, longest=desk.limits.longest),
        after_message=UserOptions().after_message,
    )


def letterbox(desk: Desk, extension: str, user: User, cos: ClassOfService, size: int) -> Letterbox:
    """What the owner's class of service lets callers do. `size` is the mailbox's, in bytes."""
    return Letterbox(
        extension,
        user.id,
        full=quota.state(cos.quota, size) is QuotaState.NO_RECEIVE,
        longest=min(cos.longest_from_outside, desk.limits.longest),
        may_edit=cos.callers_may_edit,
        may_mark_urgent=cos.callers_may_mark_urgent,
        may_mark_private=cos.callers_may_mark_private,
    )


def words(desk: Desk, place: Mailbox, greeted: Greeted, takes: bool) -> tuple[Sound, ...]:
    """What is said where there is no recording."""
    if greeted.switch.source is Source.NONE:
        return ()
    return system_words(desk, place, greeted.name, takes)


def system_words(desk: Desk, place: Mailbox, name: Sound | None, takes: bool) -> tuple[Sound, ...]:
    """ "Anna", or "the person at extension" 1001, "is not available. Please leave …"."""
    who = (name,) if name else ("default_greeting_before", *desk.words.digits(place.extension))
    if not takes:
        return (*who, "default_greeting_no_message")
    busy = place.reason is Reason.BUSY
    return (*who, "default_greeting_after_busy" if busy else "default_greeting_after")
