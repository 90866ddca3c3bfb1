"""A user hears messages: who and when, what was said, and what shall become of it.

What counts as heard: a message whose end was reached. It is saved when the user says so, or when he leaves
after hearing it; `#` leaves it as it is; hanging up in its middle keeps it new (functions.md section 3), and
the place is kept, so that he can go on there. Every mark goes to the store before it is confirmed aloud.
"""

from collections.abc import Sequence
from contextlib import suppress

import structlog

from sip import wav
from sip.call import Call, HungUp, Sound
from store.errors import StoreError, Unavailable
from store.model import Folder, Mark, Message, MessageKind, User
from voicemail.conversation.call_sender import call_sender
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.dispatch import AFTER_DISPATCH, DURING_DISPATCH, TAKEN, answer, taken
from voicemail.conversation.forward import forward
from voicemail.conversation.header import audio_of, header, part_header, place, properties, told
from voicemail.conversation.mail_message import mail
from voicemail.conversation.marks import (
    Do,
    keep_heard,
    keep_manner,
    keep_mark,
    keep_place,
    keep_unplayable,
    mark_for,
)
from voicemail.conversation.menu import HELP, Mapped, Menu, choose, finished
from voicemail.conversation.order import in_order, of_one_type
from voicemail.conversation.reply import reply
from voicemail.conversation.setup.greetings import cos_of
from voicemail.conversation.tape import Tape
from voicemail.policy.keeping import Aging
from voicemail.policy.key_map import AfterKeys, DuringKeys
from voicemail.policy.listening import Says
from voicemail.policy.secrecy import as_it_is_now

log = structlog.get_logger()

STEP = 5.0
"""Seconds forward and back."""
LONGEST_PAUSE = 60.0
"""Seconds; then the message goes on."""


DURING = Mapped(
    DuringKeys(),
    help=("during_message_menu",),
    rows=(
        (Do.RESTART, "restart", "to_start_over_press"),
        (Do.SAVE, "save", "to_save_press"),
        (Do.DELETE, "delete", "to_delete_press"),
        (Do.SLOWER, "slower", "to_hear_slower_press"),
        (Do.LOUDER, "louder", "to_hear_louder_press"),
        (Do.FASTER, "faster", "to_hear_faster_press"),
        (Do.STEP_BACK, "rewind", "to_rewind_press"),
        (Do.PAUSE, "pause", "to_pause_press"),
        (Do.STEP_FORWARD, "advance", "to_advance_press"),
        (Do.SKIP, "skip", "to_skip_press"),
        (Do.BACK, "back", "to_go_back_press"),
    ),
)
AFTER = Mapped(
    AfterKeys(),
    help=("after_message_menu",),
    brief=("after_message_brief",),
    rows=(
        (Do.RESTART, "replay", "to_hear_again_press"),
        (Do.SAVE, "save", "to_save_press"),
        (Do.DELETE, "delete", "to_delete_press"),
        (Do.REPLY, "reply", "to_reply_press"),
        (Do.REPLY_ALL, "reply_all", "to_reply_all_press"),
        (Do.CALL, "call_sender", "to_call_sender_press"),
        (Do.FORWARD, "forward", "to_forward_press"),
        (Do.MARK_NEW, "mark_new", "to_mark_new_press"),
        (Do.STEP_BACK, "rewind", "to_hear_end_press"),
        (Do.MAIL, "mail", "to_mail_press"),
        (Do.PROPERTIES, "properties", "to_hear_who_press"),
        (Do.SKIP, "skip", "to_leave_it_press"),
        (Do.BACK, "back", "to_go_back_press"),
    ),
)
AFTER_DELETED = Mapped(
    AfterKeys(),
    help=("after_deleted_menu",),
    rows=(
        (Do.RESTART, "replay", "to_hear_again_press"),
        (Do.RESTORE, "save", "to_restore_press"),
        (Do.PURGE, "delete", "to_purge_press"),
        (Do.STEP_BACK, "rewind", "to_hear_end_press"),
        (Do.PROPERTIES, "properties", "to_hear_who_press"),
        (Do.SKIP, "skip", "to_leave_it_press"),
        (Do.BACK, "back", "to_go_back_press"),
    ),
)
NOTHING_IN = {
    Folder.NEW: "no_new_messages",
    Folder.SAVED: "no_saved_messages",
    Folder.DELETED: "no_deleted_messages",
}
INSTEAD = {Do.SAVE: Do.ACCEPT, Do.DELETE: Do.DECLINE}
"""With a damaged dispatch message."""
WINDING = {Do.STEP_BACK: -STEP, Do.STEP_FORWARD: STEP}
SPEED = {Do.SLOWER: -1, Do.FASTER: 1}


async def hear_messages(desk: Desk, call: Call, user: User, folder: Folder) -> None:
    """Those of a folder. Raises HungUp, Unavailable."""
    messages = await in_order(desk, user, folder)
    if not messages:
        await call.play(NOTHING_IN[folder])
        return
    wanted = await of_one_type(desk, call, user, messages)
    if wanted:
        await hear_all(desk, call, user, wanted)


async def hear_all(desk: Desk, call: Call, user: User, messages: Sequence[Message], at: float = 0.0) -> None:
    """One after the other, the first from `at` seconds on, until the last or until the user goes back."""
    says = (await desk.policies.options(user.id)).says_before
    for number, message in enumerate(messages):
        first = (place(number, len(messages)),) if Says.PLACE in says else ()
        said = () if at else (*first, *await header(desk, message, says))
        if await hear(desk, call, user, message, said, at) is Do.BACK:
            return
        at = 0.0
    await call.play("end_of_messages")


async def resume(desk: Desk, call: Call, user: User) -> None:
    """Where the last call broke off, if it did in the middle of a message that is still there."""
    options = await desk.policies.options(user.id)
    if not options.resume_message:
        return
    await keep_place(desk, user, None)
    message = await reach(desk.store.messages.get(options.resume_message))
    if message is None or message.mailbox_id != user.id or message.folder is Folder.DELETED:
        return
    await call.play("going_on")
    rest = await in_order(desk, user, message.folder)
    after = [each.id for each in rest].index(message.id) if message in rest else len(rest)
    await hear_all(desk, call, user, [message, *rest[after + 1 :]], options.resume_at)


async def hear(
    desk: Desk, call: Call, user: User, message: Message, said: Sequence[Sound], at: float = 0.0
) -> Do:
    """Play it and do as the user says. The action that ended it: BACK leaves the list."""
    if await taken(desk, message):
        await call.play(TAKEN)
        return Do.SKIP
    aging = await desk.policies.get(Aging, "default") or Aging()
    message = as_it_is_now(message, aging, desk.now())
    audio = await audio_of(desk, message)
    if message.envelope.kind in (MessageKind.READ_RECEIPT, MessageKind.OVERRULED):
        return await tell_receipt(desk, call, user, message, said)
    if not wav.is_sound(audio):
        return await skip_damaged(desk, call, user, message, said)
    tape = await _tape(desk, user, message, audio)
    tape.wind(at)
    try:
        do = await listen(desk, call, message, tape, *said)
        while True:
            match do:
                case None:
                    do = await _asked(desk, call, user, message, *await _ending(desk, user, message))
                case Do.RESTART:
                    tape.restart()
                    do = await listen(desk, call, message, tape)
                case Do.STEP_BACK:
                    tape.wind(-STEP)
                    do = await listen(desk, call, message, tape)
                case Do.ACCEPT | Do.DECLINE if not await answer(desk, call, user, message, do, tape.heard):
                    do = await _asked(desk, call, user, message)
                case _:
                    await _keep_manner(desk, user, tape)
                    return await conclude(desk, call, user, message, do, tape.heard)
    except HungUp:
        await _broken_off(desk, user, message, tape)
        raise


async def tell_receipt(desk: Desk, call: Call, user: User, message: Message, said: Sequence[Sound]) -> Do:
    """Its words are all there is of it."""
    again = (Do.RESTART, Do.STEP_BACK)
    while (do := await _asked(desk, call, user, message, *said)) in again:
        pass
    return await conclude(desk, call, user, message, do, True)


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
    mapped = DURING_DISPATCH if message.open_dispatch else DURING
    header, during = (mapped.menu(part, desk.words) for part in (desk.keys.header, desk.keys.during))
    menu = header
    while True:
        if said and not key:
            key = await finished(call, menu, await call.play(*said, until=menu.offered))
        if not key:
            menu = during
            key = await finished(call, menu, await tape.play(call, menu.offered))
        said = ()
        match do := menu.keys.get(key):
            case _ if key == HELP:
                said, key = menu.help, ""
            case Do.PAUSE:
                menu, key = during, await _pause(call, during)
            case _ if key and (do is None or tuned(tape, do)):  # None: the beginning of a sequence
                key = ""
            case None if not tape.ended:
                menu, said = header, await part_header(desk, message, tape.part)
            case _:
                return do
        if not key and tape.ended:
            return None


def tuned(tape: Tape, do: Do) -> bool:
    """Whether it is about how the tape goes on; then that is done."""
    match do:
        case Do.STEP_BACK | Do.STEP_FORWARD:
            tape.wind(WINDING[do])
        case Do.SLOWER | Do.FASTER:
            tape.change_speed(SPEED[do])
        case Do.LOUDER:
            tape.change_volume()
        case _:
            return False
    return True


async def _pause(call: Call, menu: Menu[Do]) -> str:
    """Wait for a key; "" when it is the one that goes on, or none."""
    key = await finished(call, menu, await call.ask("paused", keys=menu.offered, wait=LONGEST_PAUSE))
    return key if key in menu.keys and menu.keys[key] is not Do.PAUSE else ""


async def _asked(desk: Desk, call: Call, user: User, message: Message, *first: Sound) -> Do:
    """The menu after a message, until something ends it; silence means going back."""
    menu, said = after(message).menu(desk.keys.after, desk.words), first
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
                await call_sender(desk, call, user, message)
                said = ()
            case Do.MAIL:
                said = (await mail(desk, user, message),)
            case _:
                return do or Do.BACK


def after(message: Message) -> Mapped[Do]:
    """What can be done with it."""
    if message.open_dispatch:
        return AFTER_DISPATCH
    return AFTER_DELETED if message.folder is Folder.DELETED else AFTER


def damaged(keys: AfterKeys) -> Menu[Do]:
    """What can be done with a message that cannot be played."""
    rows = {"save": Do.SAVE, "delete": Do.DELETE, "skip": Do.SKIP, "back": Do.BACK}
    offered = {key: do for row, do in rows.items() for key in keys.row(row)}
    return Menu(("message_damaged",), offered, wait=1.0)


async def skip_damaged(desk: Desk, call: Call, user: User, message: Message, said: Sequence[Sound]) -> Do:
    """Say that it cannot be played, and go on; who wants it gone can say so meanwhile."""
    log.error("message cannot be played", message_id=str(message.id))
    await keep_unplayable(desk, user, message)
    menu = damaged(desk.keys.after)
    key = await finished(call, menu, await call.ask(*said, *menu.help, keys=menu.offered, wait=menu.wait))
    do = menu.keys.get(key, Do.SKIP)
    if message.open_dispatch and do in INSTEAD:
        await answer(desk, call, user, message, INSTEAD[do], False)
    return await conclude(desk, call, user, message, do, False)


async def conclude(desk: Desk, call: Call, user: User, message: Message, do: Do, heard: bool) -> Do:
    """Keep what the action means, then confirm it. Gives the action back."""
    if mark := mark_for(do, message, heard):
        said = await keep_mark(desk, user, message, mark, heard)
        if mark is Mark.DELETE and not (await cos_of(desk, user)).keep_deleted:
            await keep_mark(desk, user, message, Mark.PURGE, heard)
        await call.play(said)
    elif heard:
        await keep_heard(desk, user, message)
    return do


async def _broken_off(desk: Desk, user: User, message: Message, tape: Tape) -> None:
    """The user hung up: what was heard to the end is no longer new, the place in anything else is kept."""
    try:
        if mark := mark_for(Do.BACK, message, tape.heard):
            await keep_mark(desk, user, message, mark, tape.heard)
        elif tape.heard:
            await keep_heard(desk, user, message)
        elif not tape.ended and message.folder is not Folder.DELETED:
            await keep_place(desk, user, message.id, tape.at)
        await keep_manner(desk, user, tape)
    except Unavailable:
        log.warning("message stays as it was: the database is away", message_id=str(message.id))
    except StoreError as error:
        log.warning("place not kept", message_id=str(message.id), why=str(error))


async def _keep_manner(desk: Desk, user: User, tape: Tape) -> None:
    """Not worth an error."""
    with suppress(StoreError):
        await keep_manner(desk, user, tape)


async def _ending(desk: Desk, user: User, message: Message) -> tuple[Sound, ...]:
    says = (await desk.policies.options(user.id)).says_after
    return (*ending(message), *await told(desk, message, says))


def ending(message: Message) -> tuple[str, ...]:
    """What is said behind a message."""
    return ("message_cut_off",) if message.cut_off else ("end_of_message",)
