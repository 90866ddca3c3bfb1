"""A user hears messages: who and when, what was said, and what shall become of it.

What counts as heard: a message whose end was reached. It is saved when the user says so, or when he leaves
after hearing it; `#` leaves it as it is; hanging up in its middle keeps it new (functions.md section 3), and
the place is kept, so that he can go on there. Every mark goes to the store before it is confirmed aloud.
"""

from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from uuid import UUID

import structlog

from sip import wav
from sip.call import Call, HungUp, Sound
from store.errors import StoreError, Unavailable
from store.model import Folder, Mark, Message, MessageKind, User
from voicemail.conversation.call_sender import call_sender
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.forward import forward
from voicemail.conversation.header import audio_of, header, part_header, place, properties
from voicemail.conversation.menu import HELP, Menu, choose
from voicemail.conversation.reply import reply
from voicemail.conversation.setup.greetings import cos_of
from voicemail.conversation.tape import Tape

log = structlog.get_logger()

STEP = 5.0
"""Seconds forward and back."""
LONGEST_PAUSE = 60.0
"""Seconds; then the message goes on."""


class Do(Enum):
    """What keys do while a message plays and after it (functions.md section 3)."""

    RESTART = auto()
    SAVE = auto()
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
    MARK_NEW = auto()
    RESTORE = auto()
    PURGE = auto()
    PROPERTIES = auto()
    SKIP = auto()
    BACK = auto()


# 9 goes forward by five seconds, and so to the end in the end: going there at once has no use that
# skipping has not.
DURING = Menu(
    help=("during_message_menu",),
    keys={
        "1": Do.RESTART,
        "2": Do.SAVE,
        "3": Do.DELETE,
        "4": Do.SLOWER,
        "5": Do.LOUDER,
        "6": Do.FASTER,
        "7": Do.STEP_BACK,
        "8": Do.PAUSE,
        "9": Do.STEP_FORWARD,
        "#": Do.SKIP,
        "*": Do.BACK,
    },
)
AFTER = Menu(
    help=("after_message_menu",),
    brief=("after_message_brief",),
    keys={
        "1": Do.RESTART,
        "2": Do.SAVE,
        "3": Do.DELETE,
        "4": Do.REPLY,
        "42": Do.REPLY_ALL,
        "44": Do.CALL,
        "5": Do.FORWARD,
        "6": Do.MARK_NEW,
        "7": Do.STEP_BACK,
        "9": Do.PROPERTIES,
        "#": Do.SKIP,
        "*": Do.BACK,
    },
)
AFTER_DELETED = Menu(
    help=("after_deleted_menu",),
    keys={
        "1": Do.RESTART,
        "2": Do.RESTORE,
        "3": Do.PURGE,
        "7": Do.STEP_BACK,
        "9": Do.PROPERTIES,
        "#": Do.SKIP,
        "*": Do.BACK,
    },
)
DAMAGED = Menu(
    help=("message_damaged",),
    keys={"2": Do.SAVE, "3": Do.DELETE, "#": Do.SKIP, "*": Do.BACK},
    wait=1.0,
)
WORDS = {
    Mark.READ: "message_saved",
    Mark.DELETE: "message_deleted",
    Mark.UNREAD: "message_kept_new",
    Mark.UNDELETE: "message_restored",
    Mark.PURGE: "message_purged",
}
NOTHING_IN = {
    Folder.NEW: "no_new_messages",
    Folder.SAVED: "no_saved_messages",
    Folder.DELETED: "no_deleted_messages",
}
WINDING = {Do.STEP_BACK: -STEP, Do.STEP_FORWARD: STEP}
SPEED = {Do.SLOWER: -1, Do.FASTER: 1}


async def hear_messages(desk: Desk, call: Call, user: User, folder: Folder) -> None:
    """Those of a folder. Raises HungUp, Unavailable."""
    messages = await reach(desk.store.messages.listing(user.id, folder))
    if not messages:
        await call.play(NOTHING_IN[folder])
        return
    await hear_all(desk, call, user, messages)


async def hear_all(desk: Desk, call: Call, user: User, messages: Sequence[Message], at: float = 0.0) -> None:
    """One after the other, the first from `at` seconds on, until the last or until the user goes back."""
    for number, message in enumerate(messages):
        said = () if at else (place(number, len(messages)), *await header(desk, message))
        if await hear(desk, call, user, message, said, at) is Do.BACK:
            return
        at = 0.0
    await call.play("end_of_messages")


async def resume(desk: Desk, call: Call, user: User) -> None:
    """Where the last call broke off, if it did in the middle of a message that is still there."""
    options = await desk.policies.options(user.id)
    if not options.resume_message:
        return
    await _keep_place(desk, user, None, 0.0)
    message = await reach(desk.store.messages.get(options.resume_message))
    if message is None or message.mailbox_id != user.id or message.folder is Folder.DELETED:
        return
    await call.play("going_on")
    rest = await reach(desk.store.messages.listing(user.id, message.folder))
    after = [each.id for each in rest].index(message.id) if message in rest else len(rest)
    await hear_all(desk, call, user, [message, *rest[after + 1 :]], options.resume_at)


async def hear(
    desk: Desk, call: Call, user: User, message: Message, said: Sequence[Sound], at: float = 0.0
) -> Do:
    """Play it and do as the user says. The action that ended it: BACK leaves the list."""
    audio = await audio_of(desk, message)
    if message.envelope.kind is MessageKind.READ_RECEIPT:
        return await conclude(desk, call, user, message, await _asked(desk, call, user, message, *said), True)
    if not wav.is_sound(audio):
        return await skip_damaged(desk, call, user, message, said)
    tape = await _tape(desk, user, message, audio)
    tape.wind(at)
    try:
        do = await listen(desk, call, message, tape, *said)
        while True:
            match do:
                case None:
                    do = await _asked(desk, call, user, message, *ending(message))
                case Do.RESTART:
                    tape.restart()
                    do = await listen(desk, call, message, tape)
                case Do.STEP_BACK:
                    tape.wind(-STEP)
                    do = await listen(desk, call, message, tape)
                case _:
                    await _keep_manner(desk, user, tape)
                    return await conclude(desk, call, user, message, do, tape.heard)
    except HungUp:
        await _broken_off(desk, user, message, tape)
        raise


async def _tape(desk: Desk, user: User, message: Message, audio: bytes) -> Tape:
    options = await desk.policies.options(user.id)
    stops, end = [], 0.0
    for part in message.envelope.parts[:-1]:
        end += part.seconds
        stops.append(end)
    return Tape(audio, desk.sounds, desk.now, speed=options.speed, volume=options.volume, stops=stops)


async def listen(desk: Desk, call: Call, message: Message, tape: Tape, *first: Sound) -> Do | None:
    """Play `first` and the rest of the tape until a key decides something; None at the end. Before what
    somebody else has said, who that is and when."""
    said, key = first, ""
    while True:
        key = key or (await call.play(*said, until=DURING.offered) if said else "")
        key = key or await tape.play(call, DURING.offered)
        said = ()
        match do := DURING.keys.get(key):
            case _ if key == HELP:
                said, key = DURING.help, ""
            case Do.STEP_BACK | Do.STEP_FORWARD:
                tape.wind(WINDING[do])
                key = ""
            case Do.SLOWER | Do.FASTER:
                tape.change_speed(SPEED[do])
                key = ""
            case Do.LOUDER:
                tape.change_volume()
                key = ""
            case Do.PAUSE:
                key = await _pause(call)
            case None if not tape.ended:
                said = await part_header(desk, message, tape.part)
            case _:
                return do
        if not key and tape.ended:
            return None


async def _pause(call: Call) -> str:
    """Wait for a key; "" when it is the one that goes on, or none."""
    key = await call.ask("paused", keys=DURING.offered, wait=LONGEST_PAUSE)
    return key if key in DURING.keys and DURING.keys[key] is not Do.PAUSE else ""


async def _asked(desk: Desk, call: Call, user: User, message: Message, *first: Sound) -> Do:
    """The menu after a message, until something ends it; silence means going back."""
    menu, said = AFTER_DELETED if message.folder is Folder.DELETED else AFTER, first
    while True:
        match do := await choose(call, menu, *said, style=desk.style):
            case Do.PROPERTIES:
                said = await properties(desk, message)
            case Do.REPLY | Do.REPLY_ALL:
                await reply(desk, call, user, message, do is Do.REPLY_ALL)
                said = ()
            case Do.FORWARD:
                await forward(desk, call, user, message)
                said = ()
            case Do.CALL:
                await _heard(desk, message)
                await call_sender(desk, call, user, message)
                said = ()
            case _:
                return do or Do.BACK


async def skip_damaged(desk: Desk, call: Call, user: User, message: Message, said: Sequence[Sound]) -> Do:
    """Say that it cannot be played, and go on; who wants it gone can say so meanwhile."""
    log.error("message cannot be played", message_id=str(message.id))
    key = await call.ask(*said, *DAMAGED.help, keys=DAMAGED.offered, wait=DAMAGED.wait)
    return await conclude(desk, call, user, message, DAMAGED.keys.get(key, Do.SKIP), False)


def mark_for(do: Do, message: Message, heard: bool) -> Mark | None:
    """What an action means for a message; None when nothing changes. Pure."""
    match do, message.folder:
        case Do.PURGE, _:
            return Mark.PURGE
        case Do.RESTORE, _:
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


async def conclude(desk: Desk, call: Call, user: User, message: Message, do: Do, heard: bool) -> Do:
    """Keep what the action means, then confirm it. Gives the action back."""
    if mark := mark_for(do, message, heard):
        await _mark(desk, message, mark)
        if mark is Mark.DELETE and not (await cos_of(desk, user)).keep_deleted:
            await _mark(desk, message, Mark.PURGE)
        await call.play(WORDS[mark])
    return do


async def _mark(desk: Desk, message: Message, mark: Mark) -> None:
    await reach(desk.store.messages.mark(message.id, mark))
    log.info("message marked", message_id=str(message.id), mark=str(mark))


async def _heard(desk: Desk, message: Message) -> None:
    """Before the call leaves us: nobody is there afterwards to say what shall become of it."""
    if message.folder is Folder.NEW:
        await _mark(desk, message, Mark.READ)


async def _broken_off(desk: Desk, user: User, message: Message, tape: Tape) -> None:
    """The user hung up: what was heard to the end is no longer new, the place in anything else is kept."""
    try:
        if mark := mark_for(Do.BACK, message, tape.heard):
            await _mark(desk, message, mark)
        elif not tape.ended and message.folder is not Folder.DELETED:
            await _keep_place(desk, user, message.id, tape.at)
    except Unavailable:
        log.warning("message stays new: the database is away", message_id=str(message.id))
    except StoreError as error:
        log.warning("place not kept", message_id=str(message.id), why=str(error))


async def _keep_place(desk: Desk, user: User, message: UUID | None, at: float) -> None:
    options = await desk.policies.options(user.id)
    changes = {"resume_message": message, "resume_at": round(at, 1)}
    await reach(desk.policies.set_options(user.id, options.model_copy(update=changes)))


async def _keep_manner(desk: Desk, user: User, tape: Tape) -> None:
    """Speed and volume are remembered; not worth an error."""
    options = await desk.policies.options(user.id)
    if (options.speed, options.volume) != (tape.speed, tape.volume):
        changed = options.model_copy(update={"speed": tape.speed, "volume": tape.volume})
        with suppress(StoreError):
            await reach(desk.policies.set_options(user.id, changed))


def ending(message: Message) -> tuple[str, ...]:
    """What is said behind a message."""
    return ("message_cut_off",) if message.cut_off else ("end_of_message",)
