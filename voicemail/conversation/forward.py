"""Passing a message on, with words of one's own before it or without. The sound behind the introduction is
joined to it at delivery (SpoolEntry.forwards), so that nothing half joined is ever sent."""

from dataclasses import replace
from enum import Enum, auto

from sip.call import Call, Sound
from store.errors import NotFound
from store.model import Envelope, Message, User
from voicemail.conversation.address import address
from voicemail.conversation.compose import Sheet, compose, may_send
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose


class Do(Enum):
    """Whether something is said before it."""

    INTRODUCE = auto()
    AS_IT_IS = auto()
    CANCEL = auto()


INTRODUCTION = Menu(
    help=("forward_menu",),
    brief=("forward_brief",),
    keys={"1": Do.INTRODUCE, "#": Do.AS_IT_IS, "*": Do.CANCEL},
)


async def forward(desk: Desk, call: Call, user: User, message: Message) -> None:
    """Ask to whom, then for an introduction, then send. A private message is refused; a secure one stays
    secure. Raises HungUp, Unavailable."""
    if message.envelope.private:
        await call.play("private_not_forwarded")
        return
    if not await may_send(desk, call, user):
        return
    to = await address(desk, call, user)
    if not to:
        return
    do = await choose(call, INTRODUCTION, style=desk.style)
    if do in (None, Do.CANCEL):
        return
    secure = message.envelope.secure
    sheet = Sheet(
        to,
        Envelope(secure=secure),
        secure_for_good=secure,
        behind=await _behind(desk, message),
        entry=lambda entry: replace(entry, forwards=message.id, urgent=message.urgent),
        blank=do is Do.AS_IT_IS,
    )
    await compose(desk, call, user, sheet)


async def _behind(desk: Desk, message: Message) -> tuple[Sound, ...]:
    try:
        return (await desk.sounds.file(await reach(desk.store.messages.audio(message.id))),)
    except NotFound:
        return ()
