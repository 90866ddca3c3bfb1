"""A user sends a message, or looks after those that wait for their day."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from store.errors import NotFound
from store.model import Envelope, Mark, Message, User
from voicemail.conversation.address import address, class_of
from voicemail.conversation.broadcast import record_broadcast
from voicemail.conversation.compose import Sheet, compose, may_send
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.policy.elsewhere import mailbox_of

log = structlog.get_logger()


class Do(Enum):
    """What a user can send, and what can be done with what waits."""

    SEND = auto()
    LATER = auto()
    BROADCAST = auto()
    HEAR = auto()
    CANCEL = auto()
    SKIP = auto()
    BACK = auto()


WHAT = Menu(help=("send_what_menu",), keys={"1": Do.SEND, "2": Do.LATER, "3": Do.BROADCAST, "*": Do.BACK})
WAITING = Menu(help=("later_menu",), keys={"1": Do.HEAR, "3": Do.CANCEL, "#": Do.SKIP, "*": Do.BACK})


async def send_message(desk: Desk, call: Call, user: User) -> None:
    """Who has nothing waiting, and may not speak to everybody, is asked for addressees at once. Raises
    HungUp, Unavailable."""
    waiting = grouped(await reach(desk.store.messages.sent(user.id, desk.now())))
    may_broadcast = (await class_of(desk, user)).may_broadcast
    if not waiting and not may_broadcast:
        return await _send(desk, call, user)
    said = ("you_have", *desk.words.count("later_message", len(waiting))) if waiting else ()
    match await choose(call, WHAT, *said):
        case Do.SEND:
            await _send(desk, call, user)
        case Do.LATER:
            await _look_after(desk, call, waiting)
        case Do.BROADCAST if may_broadcast:
            await record_broadcast(desk, call, user)
        case Do.BROADCAST:
            await call.play("not_allowed")


async def _send(desk: Desk, call: Call, user: User) -> None:
    if not await may_send(desk, call, user):
        return
    record_first = (await desk.policies.options(user.id)).record_first
    to = () if record_first else await address(desk, call, user)
    if to or record_first:
        await compose(desk, call, user, Sheet(to, Envelope()))


def grouped(sent: Sequence[Message]) -> list[list[Message]]:
    """Messages of the same recording are one, to several; by when they are due."""
    together: dict[tuple[datetime | None, datetime], list[Message]] = {}
    for each in sent:
        together.setdefault((each.envelope.deliver_at, each.recorded), []).append(each)
    return list(together.values())


async def _look_after(desk: Desk, call: Call, waiting: Sequence[Sequence[Message]]) -> None:
    """One by one: heard, cancelled, left as it is."""
    for copies in waiting:
        said = _about(desk, copies[0])
        while (do := await choose(call, WAITING, *said)) is Do.HEAR:
            said = await _sound(desk, copies[0])
        if do is Do.CANCEL:
            await call.play(await _cancelled(desk, copies))
        elif do is not Do.SKIP:
            return
    await call.play("end_of_messages")


def _about(desk: Desk, message: Message) -> tuple[Sound, ...]:
    now, due = desk.now(), message.envelope.deliver_at
    to = [
        sound for each in message.envelope.recipients for sound in desk.words.digits(mailbox_of(each) or each)
    ]
    return (*to, "will_be_delivered", *(desk.words.moment(due, now) if due else ()))


async def _sound(desk: Desk, message: Message) -> tuple[Sound, ...]:
    try:
        return (await desk.sounds.file(await reach(desk.store.messages.audio(message.id))),)
    except NotFound:
        return ("message_damaged",)


async def _cancelled(desk: Desk, copies: Sequence[Message]) -> str:
    """Take it back from all, unless its moment came while the user thought about it."""
    due = copies[0].envelope.deliver_at
    if due and due <= desk.now():
        return "later_delivered"
    for each in copies:
        await reach(desk.store.messages.mark(each.id, Mark.PURGE))
    log.info("message to be delivered later was cancelled", copies=len(copies))
    return "later_cancelled"
