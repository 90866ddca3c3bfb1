"""In which order messages are heard: by type, urgent first, then by time; and of which type."""

from collections.abc import Sequence
from enum import Enum, auto

from sip.call import Call
from store.model import Folder, Message, MessageKind, User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.policy.listening import Order, Sort
from voicemail.policy.model import UserOptions

TALK = (MessageKind.VOICE, MessageKind.BROADCAST)
"""Kinds that somebody has spoken; all others tell what became of something."""


class Do(Enum):
    """What can be heard."""

    VOICE = auto()
    REPORTS = auto()
    ALL = auto()
    BACK = auto()


TYPES = Menu(help=("which_messages_menu",), keys={"1": Do.VOICE, "2": Do.REPORTS, "#": Do.ALL, "*": Do.BACK})
WANTED = {Do.VOICE: Sort.VOICE, Do.REPORTS: Sort.REPORTS}


async def in_order(desk: Desk, user: User, folder: Folder) -> Sequence[Message]:
    """Those of a folder, as the user wants to hear them. Raises Unavailable."""
    listed = await reach(desk.store.messages.listing(user.id, folder))
    return ordered(listed, await desk.policies.options(user.id), folder)


def ordered(messages: Sequence[Message], options: UserOptions, folder: Folder) -> Sequence[Message]:
    """Pure. Types that the options do not name come last."""
    rank = {sort: place for place, sort in enumerate((*options.type_order, *Sort)[::-1])}
    latest_first = (options.new_order if folder is Folder.NEW else options.saved_order) is Order.NEWEST
    sign = -1 if latest_first else 1
    return sorted(
        messages,
        key=lambda m: (-rank[sort_of(m)], not m.urgent, sign * m.recorded.timestamp(), m.id),
    )


def sort_of(message: Message) -> Sort:
    return Sort.VOICE if message.envelope.kind in TALK else Sort.REPORTS


async def of_one_type(desk: Desk, call: Call, user: User, messages: Sequence[Message]) -> Sequence[Message]:
    """Those of the type that the user asks for, if he wants to be asked and there are several; () when he
    goes back, or says nothing."""
    options = await desk.policies.options(user.id)
    if not options.type_menu or len({sort_of(each) for each in messages}) < 2:
        return messages
    do = await choose(call, TYPES, style=desk.style)
    if do is Do.ALL:
        return messages
    return [each for each in messages if sort_of(each) is WANTED.get(do or Do.BACK)]
