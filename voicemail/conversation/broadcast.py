"""Messages for everybody: recorded by those who may, heard whole by all, once each, before anything else.

A broadcast lies once in the system's mailbox; its first day is its delivery time, its last day a setting
("broadcast"). Who has heard it is a setting of the user's for each broadcast ("broadcast_heard"), so that
what two nodes noted during a cut is both kept. The Primary takes away what has ended (primary/aging.py).
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

import structlog

from sip import wav
from sip.call import Call, Sound
from store.errors import NotFound
from store.ids import uuid7
from store.model import SYSTEM, Envelope, Folder, Message, MessageKind, Setting, User
from store.notes import noted
from store.spool import SpoolEntry
from voicemail.broadcasts import BROADCAST, HEARD, over
from voicemail.conversation import later
from voicemail.conversation.compose import rewrite
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.letter import Letter
from voicemail.conversation.menu import Menu, choose

log = structlog.get_logger()


class Do(Enum):
    """What can be done with a recorded broadcast."""

    SEND = auto()
    HEAR = auto()
    AGAIN = auto()
    FIRST_DAY = auto()
    LAST_DAY = auto()
    CANCEL = auto()


REVIEW = Menu(
    help=("broadcast_menu",),
    keys={
        "#": Do.SEND,
        "1": Do.HEAR,
        "2": Do.AGAIN,
        "3": Do.FIRST_DAY,
        "4": Do.LAST_DAY,
        "*": Do.CANCEL,
    },
)


async def hear_broadcasts(desk: Desk, call: Call, user: User) -> None:
    """Those not heard yet, whole, one after the other; each is marked heard when its end was reached.
    Raises HungUp, Unavailable."""
    for message in await unheard(desk, user):
        try:
            audio = await reach(desk.store.messages.audio(message.id))
        except NotFound:
            continue
        if wav.is_sound(audio):
            await call.play("broadcast_for_all", await desk.sounds.file(audio))
        await heard(desk, user, message)


async def unheard(desk: Desk, user: User) -> Sequence[Message]:
    """Broadcasts that a user has still to hear, oldest first."""
    there = await reach(desk.store.messages.listing(SYSTEM, Folder.NEW, Folder.SAVED))
    if not there:
        return ()
    ends = {each.name: each.body for each in await reach(desk.store.settings.all(BROADCAST))}
    done = {each.name for each in await reach(desk.store.settings.all(HEARD, user.id))}
    wanted = (m for m in there if m.envelope.kind is MessageKind.BROADCAST and str(m.id) not in done)
    return sorted((m for m in wanted if not over(ends.get(str(m.id)), desk.now())), key=lambda m: m.recorded)


async def heard(desk: Desk, user: User, message: Message) -> None:
    """It is not played to this user again."""
    await reach(desk.store.settings.put(Setting(HEARD, str(message.id), "{}", user.id)))
    log.info("broadcast heard", message_id=str(message.id), mailbox=user.extension)


async def record_broadcast(desk: Desk, call: Call, user: User) -> None:
    """Record it, set its days, send it. Nothing of it is played to anybody before `#`. Raises HungUp,
    Unavailable."""
    try:
        async with Letter(desk, call, lambda: _note(desk, user), desk.limits) as letter:
            letter.sends = False
            if await letter.first_recording("record_at_tone", "tone"):
                await _review(desk, call, letter)
    except OSError as error:
        log.error("spool cannot be used", why=str(error))
        await call.play("cannot_record_now")
        return
    if letter.last_words == ("message_sent",):
        await call.play("broadcast_sent" if letter.stored else "message_waits")
    else:
        await call.play(*letter.last_words)


def _note(desk: Desk, user: User) -> SpoolEntry:
    envelope = Envelope(MessageKind.BROADCAST, sender=user.id)
    entry = SpoolEntry(uuid7(), "", desk.now(), caller=user.extension, caller_name=user.name, held=True)
    return replace(entry, envelope=noted(envelope))


async def _review(desk: Desk, call: Call, letter: Letter) -> None:
    """Until it is sent or cancelled; silence discards it. The last day is kept before the message is: one
    that is sent never lacks its end."""
    first, last = None, None
    said: tuple[Sound, ...] = ()
    while (do := await choose(call, REVIEW, *said)) is not None:
        match do:
            case Do.SEND:
                return await _send(desk, letter, first, last)
            case Do.HEAR:
                said = letter.sounds
            case Do.AGAIN:
                said = () if await letter.record("record_at_tone", "tone") else ("too_short",)
            case Do.FIRST_DAY:
                first, said = await _day(desk, call, "broadcast_from")
            case Do.LAST_DAY:
                last, said = await _day(desk, call, "broadcast_until")
            case _:
                return await letter.cancel()


async def _day(desk: Desk, call: Call, words: str) -> tuple[datetime | None, tuple[Sound, ...]]:
    digits = await call.digits(
        "enter_last_day" if words == "broadcast_until" else "enter_delivery_day", most=4
    )
    day = later.day_of(digits, desk.now()) if digits not in ("", "*") else None
    if not day:
        return None, ("no_such_day",) if digits not in ("", "*") else ()
    return day, (words, *desk.words.moment(day, desk.now()))


async def _send(desk: Desk, letter: Letter, first: datetime | None, last: datetime | None) -> None:
    entry = letter.entry
    if not entry:
        return
    if last:
        until = (last + timedelta(days=1)).isoformat()
        await reach(desk.store.settings.put(Setting(BROADCAST, str(entry.id), json.dumps({"until": until}))))
    await rewrite(letter, deliver_at=first if first and first > desk.now() else None)
    await letter.change(held=False)
    letter.sends = True
