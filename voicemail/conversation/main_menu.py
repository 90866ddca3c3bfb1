"""What a user hears after signing in: how many messages there are, then what can be done."""

from collections.abc import Sequence
from enum import Enum, auto

from sip.call import Call, Sound
from store.model import REPORTS, Counts, Folder, Message, User
from store.signing_in import Glance
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.find_message import find_message
from voicemail.conversation.hear_messages import hear_messages
from voicemail.conversation.menu import Mapped, choose
from voicemail.conversation.send_message import send_message
from voicemail.conversation.setup import setup
from voicemail.policy.key_map import MainKeys
from voicemail.words import Words


class Do(Enum):
    """Rows of the main menu (functions.md section 3)."""

    NEW = auto()
    SEND = auto()
    SAVED = auto()
    DELETED = auto()
    SETUP = auto()
    FIND = auto()
    EXIT = auto()


MAIN = Mapped(
    MainKeys(),
    help=("main_menu",),
    brief=("main_menu_brief",),
    rows=(
        (Do.NEW, "new", "to_hear_new_press"),
        (Do.SEND, "send", "to_send_press"),
        (Do.SAVED, "saved", "to_hear_saved_press"),
        (Do.DELETED, "deleted", "to_hear_deleted_press"),
        (Do.SETUP, "setup", "for_settings_press"),
        (Do.FIND, "find", "to_find_press"),
        (Do.EXIT, "exit", "to_exit_press"),
    ),
)
FOLDERS = {Do.NEW: Folder.NEW, Do.SAVED: Folder.SAVED, Do.DELETED: Folder.DELETED}


async def main_menu(desk: Desk, call: Call, user: User, glance: Glance | None = None) -> None:
    """Say what is there, as the `glance` of this moment says if there is one, then offer it until the user
    leaves or says nothing more."""
    if glance:
        said = counted(desk.words, glance.counts, glance.reports)
    else:
        new = await reach(desk.store.messages.listing(user.id, Folder.NEW))
        said = counted(desk.words, await reach(desk.store.messages.counts(user.id)), reports(new))
    while (do := await _asked(desk, call, *said)) not in (Do.EXIT, None):
        said = ()
        match do:
            case Do.SEND:
                await send_message(desk, call, user)
            case Do.SETUP:
                desk = await setup(desk, call, user)
            case Do.FIND:
                await find_message(desk, call, user)
            case Do.NEW | Do.SAVED | Do.DELETED:
                await hear_messages(desk, call, user, FOLDERS[do])
    await call.play("goodbye")


async def _asked(desk: Desk, call: Call, *said: Sound) -> Do | None:
    return await choose(call, MAIN.menu(desk.keys.main, desk.words), *said, style=desk.style)


def reports(messages: Sequence[Message]) -> int:
    """How many of them tell what became of a message that was sent."""
    return sum(message.envelope.kind in REPORTS for message in messages)


def counted(words: Words, counts: Counts, of_reports: int = 0) -> tuple[str, ...]:
    """ "You have" one urgent new message "and" two new messages "and" three saved messages."""
    kinds = (
        ("urgent_new_message", counts.new_urgent),
        ("new_message", counts.new - counts.new_urgent - of_reports),
        ("new_receipt", of_reports),
        ("saved_message", counts.old),
    )
    parts = [words.count(noun, number) for noun, number in kinds if number > 0]
    if not parts:
        return ("no_messages",)
    spoken = parts[0]
    for part in parts[1:]:
        spoken = (*spoken, "and", *part)
    return ("you_have", *spoken)
