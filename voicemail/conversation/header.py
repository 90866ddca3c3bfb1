"""What is said about a message: kind, from whom, when, how long."""

from collections.abc import Sequence

from sip.call import Sound
from store.errors import NotFound, Unavailable
from store.model import Envelope, Message, MessageKind, User
from voicemail import postroom
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.elsewhere import spoken_elsewhere
from voicemail.greetings import NAME
from voicemail.policy.elsewhere import mailbox_of
from voicemail.policy.listening import Says
from voicemail.recipients import list_of
from voicemail.words import Words

KINDS = {
    MessageKind.BROADCAST: ("broadcast_message",),
    MessageKind.READ_RECEIPT: ("read_receipt",),
    MessageKind.OVERRULED: ("dispatch_overruled",),
}
WHY = {
    postroom.GONE: "nobody_has_this_extension",
    postroom.FULL: "mailbox_full",
    postroom.HELD: "not_allowed",
}
"""Of a non-delivery."""
MOST = 5
"""Addressees of a non-delivery that are named."""


def place(number: int, of: int) -> str:
    """How a message is announced: first, next, last; just "message" when it is the only one."""
    if of == 1:
        return "message"
    return {0: "first_message", of - 1: "last_message"}.get(number, "next_message")


async def header(
    desk: Desk, message: Message, says: Sequence[Says] = (Says.SENDER, Says.TIME)
) -> tuple[Sound, ...]:
    """Kind, urgent, private, and what else the listener wants to know (but the place). Of a non-delivery
    who did not get it is always said."""
    e = message.envelope
    if e.kind is MessageKind.NON_DELIVERY:
        more = [each for each in says if each in (Says.TIME, Says.LENGTH)]
        return (*undelivered(desk.words, e), *await told(desk, message, more))
    marks = (*(("urgent",) if message.urgent else ()), *(("private",) if e.private else ()))
    kind = ("dispatch_message",) if message.open_dispatch else KINDS.get(e.kind, ())
    return (*kind, *marks, *await told(desk, message, says))


async def told(desk: Desk, message: Message, says: Sequence[Says]) -> tuple[Sound, ...]:
    """Each of these, in this order."""
    sounds: list[Sound] = []
    for each in says:
        match each:
            case Says.SENDER:
                sounds += await sender(desk, message)
            case Says.NUMBER if message.caller:
                sounds += ("from", *desk.words.phone_number(message.caller))
            case Says.TIME:
                sounds += received(desk, message)
            case Says.LENGTH:
                sounds += ("length", *desk.words.duration(message.seconds))
    return tuple(sounds)


def undelivered(words: Words, envelope: Envelope) -> tuple[str, ...]:
    """Who did not get a message, and why. Pure."""
    whom: tuple[str, ...] = ()
    for each in envelope.recipients[:MOST]:
        spoken = (
            ("distribution_list",) if list_of(each) is not None else words.digits(mailbox_of(each) or each)
        )
        whom = (*whom, "and", *spoken) if whom and spoken else whom or spoken
    if envelope.why.startswith(postroom.LATE):
        return ("message_waits", *whom)
    return ("non_delivery", *whom, *(WHY[why] for why in envelope.why.split(", ") if why in WHY))


async def sender(desk: Desk, message: Message) -> tuple[Sound, ...]:
    """A user for sure by recorded name; a number that is a user's extension digit by digit; anybody else
    is "an outside caller"."""
    try:
        if remote := message.envelope.remote:
            said = await spoken_elsewhere(desk, remote.address)
            return said if said == ("from_outside_caller",) else ("from", *said)
        if known := await sending_user(desk, message):
            return await named(desk, known)
        inside = await reach(desk.store.users.by_extension(message.caller)) if message.caller else None
    except Unavailable:
        inside = None
    return ("from_extension", *desk.words.digits(message.caller)) if inside else ("from_outside_caller",)


async def sending_user(desk: Desk, message: Message) -> User | None:
    """The user who certainly sent it, if he still is one."""
    sent_by = message.envelope.sender
    return await reach(desk.store.users.get(sent_by)) if sent_by else None


async def named(desk: Desk, user: User) -> tuple[Sound, ...]:
    """ "From" a recorded name, else the extension."""
    audio = await reach(desk.store.users.greeting(user.id, NAME))
    if audio:
        return ("from", await desk.sounds.file(audio))
    return ("from_extension", *desk.words.digits(user.extension))


def received(desk: Desk, message: Message) -> tuple[str, ...]:
    """When, by this node's clock and time zone."""
    now = desk.now()
    return ("received", *desk.words.moment(message.recorded.astimezone(now.tzinfo), now))


async def part_header(desk: Desk, message: Message, number: int) -> tuple[Sound, ...]:
    """Before a part that somebody else has spoken: who, and when."""
    parts = message.envelope.parts
    if not 0 < number < len(parts):
        return ()
    part, now = parts[number], desk.now()
    who: tuple[Sound, ...] = ("from_outside_caller",)
    if known := await reach(desk.store.users.get(part.sender)) if part.sender else None:
        who = await named(desk, known)
    elif spoken := desk.words.phone_number(part.caller):
        who = ("from", *spoken)
    when = part.recorded.astimezone(now.tzinfo) if part.recorded else None
    return ("forwarded_message", *who, *(("received", *desk.words.moment(when, now)) if when else ()))


async def properties(desk: Desk, message: Message) -> tuple[Sound, ...]:
    """All that is known of a message: number, time, length, and who may have it."""
    e = message.envelope
    by_number = ("from", *desk.words.phone_number(message.caller)) if message.caller else ()
    known = await sender(desk, message) if e.sender or e.remote or not by_number else by_number
    if e.kind is MessageKind.NON_DELIVERY:
        known = undelivered(desk.words, e)
    private = (*(("private",) if e.private else ()), *(("message_marked_secure",) if e.secure else ()))
    return (*private, *known, *received(desk, message), "length", *desk.words.duration(message.seconds))


async def audio_of(desk: Desk, message: Message) -> bytes:
    """b"" when it is gone: the other node may have purged it a moment ago."""
    try:
        return await reach(desk.store.messages.audio(message.id))
    except NotFound:
        return b""
