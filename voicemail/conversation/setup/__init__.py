"""What users set by telephone: greetings, how they are told of messages, themselves, how calls reach them.

Each menu says how things are before it offers to change them, and keeps a change before it confirms it.
"""

from enum import Enum, auto

from sip.call import Call
from store.model import User
from voicemail.conversation.desk import Desk
from voicemail.conversation.menu import Menu, choose
from voicemail.conversation.setup.greetings import greetings
from voicemail.conversation.setup.messages import message_settings
from voicemail.conversation.setup.personal import personal
from voicemail.conversation.setup.transfer import transfer_settings


class Do(Enum):
    """Rows of the setup menu (functions.md section 3)."""

    GREETINGS = auto()
    MESSAGES = auto()
    PERSONAL = auto()
    TRANSFER = auto()
    BACK = auto()


SETUP = Menu(
    help=("setup_menu",),
    brief=("setup_brief",),
    keys={"1": Do.GREETINGS, "2": Do.MESSAGES, "3": Do.PERSONAL, "4": Do.TRANSFER, "*": Do.BACK},
)


async def setup(desk: Desk, call: Call, user: User) -> Desk:
    """Until the user goes back. The desk as it is now: in another language, perhaps, or menu style.
    Raises HungUp, Unavailable."""
    while (do := await choose(call, SETUP, style=desk.style)) not in (Do.BACK, None):
        match do:
            case Do.GREETINGS:
                await greetings(desk, call, user)
            case Do.MESSAGES:
                desk = await message_settings(desk, call, user)
            case Do.PERSONAL:
                await personal(desk, call, user)
            case Do.TRANSFER:
                await transfer_settings(desk, call, user)
    return desk
