"""Calling whoever left a message, as far as the user's class of service lets him."""

from sip.call import Call, HungUp, Transferred
from store.model import Message, MessageKind, User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.header import sending_user
from voicemail.conversation.setup.greetings import cos_of
from voicemail.conversation.transfer import put_through
from voicemail.policy.model import RestrictionTable


async def call_sender(desk: Desk, call: Call, user: User, message: Message) -> None:
    """Put the user through. Raises HungUp when that is done: he is gone from us."""
    cos = await cos_of(desk, user)
    if not cos.may_call_sender:
        await call.play("not_allowed")
        return
    colleague = await sending_user(desk, message)
    number = colleague.extension if colleague else number_of(message)
    inside = colleague or await reach(desk.store.users.by_extension(number))
    name = cos.transfer_table if inside else cos.dial_out_table
    table = await desk.policies.get(RestrictionTable, name) or RestrictionTable()
    if await put_through(call, number, table) is Transferred.DONE:
        raise HungUp


def number_of(message: Message) -> str:
    """The number of somebody who is no user here; "" for none: what tells of a non-delivery comes from the
    user himself, and a mailbox on another system may be somebody else's number here. Pure."""
    elsewhere = message.envelope.remote and not message.caller.startswith("+")
    return "" if elsewhere or message.envelope.kind is MessageKind.NON_DELIVERY else message.caller
