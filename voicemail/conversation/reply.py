"""Answering a message: to its sender, or to all who have it."""

from sip.call import Call
from store.model import Envelope, Message, User
from voicemail.conversation.address import Addressee, spoken
from voicemail.conversation.compose import Sheet, compose, may_send
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.elsewhere import answer_to, may_send_elsewhere, spoken_elsewhere
from voicemail.recipients import is_remote, list_of


async def reply(desk: Desk, call: Call, user: User, message: Message, to_all: bool) -> None:
    """Record an answer and send it, to another system if the message came from there. A sender who is no
    user for sure is refused in words. The answer to a secure message is secure. Raises HungUp,
    Unavailable."""
    sender = await _sender(desk, message)
    if not sender:
        await call.play("caller_cannot_be_answered")
        return
    if is_remote(sender.keys[0]) and not await may_send_elsewhere(desk, user):
        await call.play("not_allowed")
        return
    if not await may_send(desk, call, user):
        return
    to = [sender]
    if to_all:
        to += [await _as_addressed(desk, key) for key in others(message, user, sender.keys[0])]
    secure = message.envelope.secure
    await compose(desk, call, user, Sheet(tuple(to), Envelope(secure=secure), secure_for_good=secure))


async def _sender(desk: Desk, message: Message) -> Addressee | None:
    """Whom to answer; None when nobody can be."""
    if message.envelope.remote:
        return await answer_to(desk, message)
    known = message.envelope.sender
    sender = await reach(desk.store.users.get(known)) if known else None
    return Addressee((sender.extension,), await spoken(desk, sender)) if sender else None


def others(message: Message, user: User, sender: str) -> list[str]:
    """Who else had it, as it was addressed: neither the one who answers nor the one who is answered."""
    not_again = (user.extension, sender.casefold())
    return [each for each in message.envelope.recipients if each.casefold() not in not_again]


async def _as_addressed(desk: Desk, key: str) -> Addressee:
    if list_of(key) is not None:
        return Addressee((key,), ("distribution_list",))
    if is_remote(key):
        return Addressee((key,), await spoken_elsewhere(desk, key))
    found = await reach(desk.store.users.by_extension(key))
    return Addressee((key,), await spoken(desk, found) if found else desk.words.digits(key))
