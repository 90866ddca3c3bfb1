"""What users set by telephone: greetings, how they are told of messages, themselves, how calls reach them.

Each menu says how things are before it offers to change them, and keeps a change before it confirms it.
"""

from enum import Enum, auto

from sip.call import Call
from store.model import User
from voicemail.conversation.desk import Desk
from voicemail.conversation.menu import Mapped, choose
from voicemail.conversation.setup.greetings import greetings
from voicemail.conversation.setup.messages import message_settings
from voicemail.conversation.setup.personal import personal
from voicemail.conversation.setup.transfer import transfer_settings
from voicemail.policy.key_map import SetupKeys


class Do(Enum):
    """Rows of the setup menu (functions.md section 3)."""

    GREETINGS = auto()
    MESSAGES = auto()
    PERSONAL = auto()
    TRANSFER = auto()
    BACK = auto()


SETUP = Mapped(
    SetupKeys(),
    help=("setup_menu",),
    brief=("setup_brief",),
    rows=(
        (Do.GREETINGS, "greetings", "for_greetings_press"),
        (Do.MESSAGES, "messages", "for_messages_press"),
        (Do.PERSONAL, "personal", "for_personal_press"),
        (Do.TRANSFER, "transfer", "for_transfer_press"),
        (Do.BACK, "back", "to_go_back_press"),
    ),
)


async def setup(desk: Desk, call: Call, user: User) -> Desk:
    """Until the user goes back. The desk as it is now: in another language, perhaps, or menu style.
    Raises HungUp, Unavailable."""
    while (do := await _asked(desk, call)) not in (Do.BACK, None):
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


async def _asked(desk: Desk, call: Call) -> Do | None:
    return await choose(call, SETUP.menu(desk.keys.setup, desk.words), style=desk.style)
