"""A user hears messages: who and when, what was said, and what shall become of it.

What counts as heard: a message whose end was reached. It is saved when the user says so, or when he leaves
after hearing it; `#` leaves it as it is; hanging up in its middle keeps it new (functions.md section 3).
Every mark goes to the store before it is confirmed aloud.
"""

from collections.abc import Sequence
from enum import Enum, auto

import structlog

from sip import wav
from sip.call import Call, HungUp, Sound
from store.errors import NotFound, Unavailable
from store.model import Folder, Mark, Message, User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import HELP, Menu, choose
from voicemail.conversation.tape import Tape

log = structlog.get_logger()

STEP_BACK = 5.0
LONGEST_PAUSE = 60.0
"""Seconds; then the message goes on."""


class Do(Enum):
    """What keys do while a message plays and after it."""

    RESTART = auto()
    SAVE = auto()
    DELETE = auto()
    STEP_BACK = auto()
    PAUSE = auto()
    TO_END = auto()
    MARK_NEW = auto()
    PROPERTIES = auto()
    SKIP = auto()
    BACK = auto()


DURING = Menu(
    help=("during_message_menu",),
    keys={
        "1": Do.RESTART,
        "2": Do.SAVE,
        "3": Do.DELETE,
        "7": Do.STEP_BACK,
        "8": Do.PAUSE,
        "9": Do.TO_END,
        "#": Do.SKIP,
        "*": Do.BACK,
    },
)
AFTER = Menu(
    help=("after_message_menu",),
    keys={
        "1": Do.RESTART,
        "2": Do.SAVE,
        "3": Do.DELETE,
        "6": Do.MARK_NEW,
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
WORDS = {Mark.READ: "message_saved", Mark.DELETE: "message_deleted", Mark.UNREAD: "message_kept_new"}


async def hear_messages(desk: Desk, call: Call, user: User, folder: Folder) -> None:
    """One after the other, until the last or until the user goes back. Raises HungUp, Unavailable."""
    messages = await reach(desk.store.messages.listing(user.id, folder))
    if not messages:
        await call.play("no_new_messages" if folder is Folder.NEW else "no_saved_messages")
        return
    for number, message in enumerate(messages):
        said = (place(number, len(messages)), *await header(desk, message))
        if await hear(desk, call, message, said) is Do.BACK:
            return
    await call.play("end_of_messages")


async def hear(desk: Desk, call: Call, message: Message, said: Sequence[Sound]) -> Do:
    """Play it and do as the user says. The action that ended it: BACK leaves the list."""
    audio = await _audio(desk, message)
    if not wav.is_sound(audio):
        return await skip_damaged(desk, call, message, said)
    tape = Tape(audio, desk.sounds, desk.now)
    try:
        do = await listen(call, tape, *said)
        while True:
            match do:
                case None | Do.TO_END:
                    do = await what_now(call, *ending(message))
                case Do.PROPERTIES:
                    do = await what_now(call, *await properties(desk, message))
                case Do.RESTART:
                    tape.restart()
                    do = await listen(call, tape)
                case _:
                    await conclude(desk, call, message, mark_for(do, message, tape.heard))
                    return do
    except HungUp:
        await _note_heard(desk, message, tape)
        raise


async def listen(call: Call, tape: Tape, *first: Sound) -> Do | None:
    """Play `first` and the rest of the tape until a key decides something; None at the end."""
    said, key = first, ""
    while True:
        key = key or (await call.play(*said, until=DURING.offered) if said else "")
        match key := key or await tape.play(call, DURING.offered):
            case _ if key == HELP:
                said, key = DURING.help, ""
            case _ if DURING.keys.get(key) is Do.STEP_BACK:
                tape.back(STEP_BACK)
                said, key = (), ""
            case _ if DURING.keys.get(key) is Do.PAUSE:
                said, key = (), await _pause(call)
            case _:
                return DURING.keys.get(key)


async def _pause(call: Call) -> str:
    """Wait for a key; "" when it is the one that goes on, or none."""
    key = await call.ask("paused", keys=DURING.offered, wait=LONGEST_PAUSE)
    return key if key in DURING.keys and DURING.keys[key] is not Do.PAUSE else ""


async def what_now(call: Call, *first: Sound) -> Do:
    """The menu after a message; silence means going back."""
    return await choose(call, AFTER, *first) or Do.BACK


async def skip_damaged(desk: Desk, call: Call, message: Message, said: Sequence[Sound]) -> Do:
    """Say that it cannot be played, and go on; who wants it gone can say so meanwhile."""
    log.error("message cannot be played", message_id=str(message.id))
    key = await call.ask(*said, *DAMAGED.help, keys=DAMAGED.offered, wait=DAMAGED.wait)
    do = DAMAGED.keys.get(key, Do.SKIP)
    await conclude(desk, call, message, mark_for(do, message, heard=False))
    return do


def mark_for(do: Do, message: Message, heard: bool) -> Mark | None:
    """What an action means for a message; None when nothing changes. Pure."""
    match do, message.folder:
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


async def conclude(desk: Desk, call: Call, message: Message, mark: Mark | None) -> None:
    """Keep the mark, then confirm it."""
    if mark:
        await reach(desk.store.messages.mark(message.id, mark))
        log.info("message marked", message_id=str(message.id), mark=str(mark))
        await call.play(WORDS[mark])


async def _note_heard(desk: Desk, message: Message, tape: Tape) -> None:
    """The user hung up: what was heard to the end is no longer new."""
    mark = mark_for(Do.BACK, message, tape.heard)
    if mark:
        try:
            await reach(desk.store.messages.mark(message.id, mark))
            log.info("message marked", message_id=str(message.id), mark=str(mark))
        except Unavailable:
            log.warning("message stays new: the database is away", message_id=str(message.id))


def place(number: int, of: int) -> str:
    """How a message is announced: first, next, last; just "message" when it is the only one."""
    if of == 1:
        return "message"
    return {0: "first_message", of - 1: "last_message"}.get(number, "next_message")


async def header(desk: Desk, message: Message) -> tuple[Sound, ...]:
    """Urgent, from whom, when."""
    urgent = ("urgent",) if message.urgent else ()
    return (*urgent, *await sender(desk, message), *received(desk, message))


async def sender(desk: Desk, message: Message) -> tuple[str, ...]:
    """An extension is read out; anybody else is "an outside caller"."""
    try:
        inside = await reach(desk.store.users.by_extension(message.caller)) if message.caller else None
    except Unavailable:
        inside = None
    return ("from_extension", *desk.words.digits(message.caller)) if inside else ("from_outside_caller",)


def received(desk: Desk, message: Message) -> tuple[str, ...]:
    """When, by this node's clock and time zone."""
    now = desk.now()
    return ("received", *desk.words.moment(message.recorded.astimezone(now.tzinfo), now))


def ending(message: Message) -> tuple[str, ...]:
    """What is said behind a message."""
    return ("message_cut_off",) if message.cut_off else ("end_of_message",)


async def properties(desk: Desk, message: Message) -> tuple[Sound, ...]:
    """All that is known of a message: number, time, length."""
    known = (
        ("from", *desk.words.phone_number(message.caller)) if message.caller else await sender(desk, message)
    )
    return (*known, *received(desk, message), "length", *desk.words.duration(message.seconds))


async def _audio(desk: Desk, message: Message) -> bytes:
    """b"" when it is gone: the other node may have purged it a moment ago."""
    try:
        return await reach(desk.store.messages.audio(message.id))
    except NotFound:
        return b""
