"""What is kept of hearing messages: what became of each, where the user was, how fast and loud it played."""

from collections.abc import Awaitable
from enum import Enum, auto
from uuid import UUID

import structlog

from store.errors import NotFound, NotYet, StoreError, Unavailable
from store.model import Folder, Mark, Message, User
from voicemail import receipts
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.tape import Tape

log = structlog.get_logger()


class Do(Enum):
    """What keys do while a message plays and after it (functions.md section 3)."""

    RESTART = auto()
    SAVE = auto()
    ACCEPT = auto()
    DECLINE = auto()
    DELETE = auto()
    SLOWER = auto()
    LOUDER = auto()
    FASTER = auto()
    STEP_BACK = auto()
    STEP_FORWARD = auto()
    PAUSE = auto()
    REPLY = auto()
    REPLY_ALL = auto()
    CALL = auto()
    FORWARD = auto()
    MAIL = auto()
    MARK_NEW = auto()
    RESTORE = auto()
    PURGE = auto()
    PROPERTIES = auto()
    SKIP = auto()
    BACK = auto()


WORDS = {
    Mark.READ: "message_saved",
    Mark.DELETE: "message_deleted",
    Mark.UNREAD: "message_kept_new",
    Mark.UNDELETE: "message_restored",
    Mark.PURGE: "message_purged",
}


def mark_for(do: Do, message: Message, heard: bool) -> Mark | None:
    """What an action means for a message; None when nothing changes. Pure."""
    if message.open_dispatch:  # kept as it is until it is accepted
        return None
    match do, message.folder:
        case Do.PURGE, _:
            return Mark.PURGE
        case Do.RESTORE | Do.SAVE, Folder.DELETED:
            return Mark.UNDELETE
        case _, Folder.DELETED:
            return None
        case Do.DELETE, _:
            return Mark.DELETE
        case Do.SAVE, _:
            return Mark.READ
        case Do.MARK_NEW, _:
            return Mark.UNREAD
        case Do.BACK, Folder.NEW if heard:
            return Mark.READ
        case _:
            return None


async def keep_heard(desk: Desk, user: User, message: Message) -> None:
    """It was heard, and stays where it is: one that was saved only since it is old has a sender who waits to
    know. Raises Unavailable."""
    if message.folder is Folder.SAVED:
        await _tell_sender(receipts.before_mark(desk.store, message, Mark.READ, user, desk.now()), message)


async def keep_unplayable(desk: Desk, user: User, message: Message) -> None:
    """Its sender is told that instead of that it was heard. Raises Unavailable."""
    await _tell_sender(receipts.unplayable(desk.store, message, user), message)


async def _tell_sender(telling: Awaitable[object], message: Message) -> None:
    try:
        await reach(telling)
    except Unavailable:
        raise
    except StoreError as error:  # its sender is gone
        log.warning("no read receipt", message_id=str(message.id), why=str(error))


async def keep_mark(desk: Desk, user: User, message: Message, mark: Mark, heard: bool) -> str:
    """Mark a message; what to say of it. Who heard it before deleting it has heard it, so its sender is
    told. Somebody else may have made it go for good a moment ago. Raises Unavailable."""
    told = Mark.READ if heard and mark is Mark.DELETE else mark
    await _tell_sender(receipts.before_mark(desk.store, message, told, user, desk.now()), message)
    try:
        await reach(desk.store.messages.mark(message.id, mark))
    except NotFound:
        log.warning("message not marked: it is gone", message_id=str(message.id), mark=str(mark))
        return WORDS[Mark.PURGE]
    except NotYet as error:  # one node has still the older release
        log.warning("message not marked", message_id=str(message.id), mark=str(mark), why=str(error))
        return "nothing_changed"
    log.info("message marked", message_id=str(message.id), mark=str(mark))
    return WORDS[mark]


async def keep_place(desk: Desk, user: User, message: UUID | None, at: float = 0.0) -> None:
    """Where to go on next time: in this message at so many seconds. Raises Unavailable."""
    await _keep(desk, user, resume_message=message, resume_at=round(at, 1))


async def keep_manner(desk: Desk, user: User, tape: Tape) -> None:
    """Speed and volume. Raises Unavailable."""
    await _keep(desk, user, speed=tape.speed, volume=tape.volume)


async def _keep(desk: Desk, user: User, **changes: object) -> None:
    """Read again first: the web pages may have changed something else meanwhile."""
    options = await desk.policies.current_options(user.id)
    changed = options.model_copy(update=changes)
    if changed != options:
        await reach(desk.policies.set_options(user.id, changed))
