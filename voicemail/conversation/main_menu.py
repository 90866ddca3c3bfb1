"""What a user hears after signing in: how many messages there are, then what can be done."""

from enum import Enum, auto

from sip.call import Call
from store.model import Counts, Folder, User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.hear_messages import hear_messages
from voicemail.conversation.menu import Menu, choose
from voicemail.words import Words


class Do(Enum):
    """Rows of the main menu that are built (functions.md section 3 has all)."""

    NEW = auto()
    SAVED = auto()
    EXIT = auto()


MAIN = Menu(help=("main_menu",), keys={"1": Do.NEW, "3": Do.SAVED, "*": Do.EXIT})


async def main_menu(desk: Desk, call: Call, user: User) -> None:
    """Say what is there, then offer it until the user leaves or says nothing more."""
    said = counted(desk.words, await reach(desk.store.messages.counts(user.id)))
    while (do := await choose(call, MAIN, *said)) not in (Do.EXIT, None):
        await hear_messages(desk, call, user, Folder.NEW if do is Do.NEW else Folder.SAVED)
        said = ()
    await call.play("goodbye")


def counted(words: Words, counts: Counts) -> tuple[str, ...]:
    """ "You have" one urgent new message "and" two new messages "and" three saved messages."""
    kinds = (
        ("urgent_new_message", counts.new_urgent),
        ("new_message", counts.new - counts.new_urgent),
        ("saved_message", counts.old),
    )
    parts = [words.count(noun, number) for noun, number in kinds if number > 0]
    if not parts:
        return ("no_messages",)
    spoken = parts[0]
    for part in parts[1:]:
        spoken = (*spoken, "and", *part)
    return ("you_have", *spoken)
