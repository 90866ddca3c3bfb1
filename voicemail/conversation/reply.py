"""Answering a message: to its sender, or to all who have it."""

from sip.call import Call
from store.model import Envelope, Message, User
from voicemail.conversation.address import Addressee, spoken
from voicemail.conversation.compose import Sheet, compose, may_send
from voicemail.conversation.desk import Desk, reach
from voicemail.recipients import list_of


async def reply(desk: Desk, call: Call, user: User, message: Message, to_all: bool) -> None:
    """Record an answer and send it. A sender who is not a user for sure is refused in words. The answer to
    a secure message is secure. Raises HungUp, Unavailable."""
    known = message.envelope.sender
    sender = await reach(desk.store.users.get(known)) if known else None
    if not sender:
        await call.play("caller_cannot_be_answered")
        return
    if not await may_send(desk, call, user):
        return
    to = [Addressee((sender.extension,), await spoken(desk, sender))]
    if to_all:
        to += [await _as_addressed(desk, key) for key in others(message, user, sender)]
    secure = message.envelope.secure
    await compose(desk, call, user, Sheet(tuple(to), Envelope(secure=secure), secure_for_good=secure))


def others(message: Message, user: User, sender: User) -> list[str]:
    """Who else had it, as it was addressed: neither the one who answers nor the one who is answered."""
    return [each for each in message.envelope.recipients if each not in (user.extension, sender.extension)]


async def _as_addressed(desk: Desk, key: str) -> Addressee:
    if list_of(key) is not None:
        return Addressee((key,), ("distribution_list",))
    found = await reach(desk.store.users.by_extension(key))
    return Addressee((key,), await spoken(desk, found) if found else desk.words.digits(key))
