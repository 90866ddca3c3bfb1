"""Sending a message to one's own mail address: once, now, whatever else tells of messages there."""

from dataclasses import replace
from uuid import uuid5

import structlog

from store.errors import NotYet
from store.ids import uuid7
from store.model import Message, User
from voicemail.conversation.desk import Desk, reach
from voicemail.policy.devices import MAIL_DEVICE
from voicemail.policy.note import Event, Note

log = structlog.get_logger()


async def mail(desk: Desk, user: User, message: Message) -> str:
    """Have the Primary mail it; what to say of it. A secure message never leaves the store. Raises
    Unavailable."""
    present = await reach(desk.store.users.get(user.id)) or user
    if message.envelope.secure:
        return "secure_not_mailed"
    if not present.mail:
        return "no_mail_address"
    note = Note(Event.WISH, uuid5(message.id, str(uuid7())), MAIL_DEVICE, facts={"message": str(message.id)})
    try:
        await reach(desk.store.outbox.add([replace(note.work(user.id), message_id=message.id)]))
    except NotYet as error:
        log.warning("message not mailed", message_id=str(message.id), why=str(error))
        return "not_allowed"
    log.info("message is mailed as its owner wished", message_id=str(message.id), mailbox=user.extension)
    return "message_will_be_mailed"
