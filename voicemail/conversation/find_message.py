"""Finding messages by the number they came from."""

from collections.abc import Sequence

from sip.call import Call
from store.model import Folder, Message, User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.hear_messages import hear_all
from voicemail.policy.numbers import normalised

MOST = 20
"""Digits taken."""


async def find_message(desk: Desk, call: Call, user: User) -> None:
    """Ask for a number or an extension, or its last digits; play what came from there, newest first."""
    pressed = await call.digits("enter_callers_number", most=MOST)
    if pressed in ("", "*"):
        return
    listed = await reach(desk.store.messages.listing(user.id, Folder.NEW, Folder.SAVED))
    colleague = await reach(desk.store.users.by_extension(pressed))
    found = matching(listed, pressed, colleague)
    if not found:
        await call.play("no_message_from_there")
        return
    await call.play("you_have", *desk.words.count("found_message", len(found)))
    await hear_all(desk, call, user, found)


def matching(messages: Sequence[Message], pressed: str, colleague: User | None) -> Sequence[Message]:
    """Those whose caller's number ends so, or is the same written otherwise (0049 and +49), or that this
    colleague sent. Pure."""
    written = normalised(pressed)

    def came_from(message: Message) -> bool:
        sent = colleague is not None and message.envelope.sender == colleague.id
        same = written != "" and normalised(message.caller) == written
        return sent or same or message.caller.endswith(pressed)

    return sorted(filter(came_from, messages), key=lambda message: message.recorded, reverse=True)
