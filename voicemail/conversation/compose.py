"""A user's message from the tone to "sent": recording, options, sending.

Until `#` the message is the author's: who hangs up sends it or not, as his options say (`unsent`). What is
to be discarded is `held` in the spool, so that a crash does not send it either. "Sent" is said when the
store holds it; while the store is away, that it is kept and will be delivered.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import structlog

from sip.call import Call, RecordLimits, Sound
from store.ids import uuid7
from store.model import Envelope, User
from store.notes import envelope_of, noted
from store.spool import SpoolEntry
from voicemail.conversation import later
from voicemail.conversation.address import Addressee, address, aloud, change, class_of, keys_of_all
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.letter import Letter
from voicemail.conversation.lookup import local
from voicemail.conversation.menu import Mapped, choose
from voicemail.policy.key_map import OptionsKeys, SendKeys
from voicemail.policy.model import Quota, Unsent
from voicemail.policy.quota import QuotaState, state

log = structlog.get_logger()

LONGEST_TEXT = 128
"""Characters kept of a call's id."""


class Do(Enum):
    """What can be done with a recorded message (functions.md section 3, "send" and "options")."""

    SEND = auto()
    OPTIONS = auto()
    ADDRESSEES = auto()
    CANCEL = auto()
    URGENT = auto()
    RECEIPT = auto()
    PRIVATE = auto()
    LATER = auto()
    HEAR = auto()
    AGAIN = auto()
    ADD = auto()
    SECURE = auto()
    BACK = auto()


SEND = Mapped(
    SendKeys(),
    help=("send_menu",),
    brief=("send_brief",),
    rows=(
        (Do.SEND, "send", "to_send_it_press"),
        (Do.OPTIONS, "options", "for_options_press"),
        (Do.ADDRESSEES, "addressees", "to_change_recipients_press"),
        (Do.CANCEL, "cancel", "to_cancel_press"),
    ),
)
OPTIONS = Mapped(
    OptionsKeys(),
    help=("options_menu",),
    brief=("options_brief",),
    rows=(
        (Do.URGENT, "urgent", "to_mark_urgent_press"),
        (Do.RECEIPT, "receipt", "for_a_receipt_press"),
        (Do.PRIVATE, "private", "to_mark_private_press"),
        (Do.LATER, "future", "to_deliver_later_press"),
        (Do.HEAR, "review", "to_hear_it_press"),
        (Do.AGAIN, "re_record", "to_record_again_press"),
        (Do.ADD, "append", "to_append_press"),
        (Do.SECURE, "secure", "to_mark_secure_press"),
        (Do.SEND, "send", "to_send_it_press"),
        (Do.BACK, "back", "to_go_back_press"),
    ),
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is written on before recording: to whom, in which envelope, and what follows behind."""

    to: tuple[Addressee, ...]
    """() to be asked for behind the recording: until then the message is nobody's, and is not sent."""
    envelope: Envelope
    secure_for_good: bool = False
    """The answer to a secure message, or the message itself, stays secure."""
    behind: tuple[Sound, ...] = ()
    """The message that is passed on, to be heard with the introduction."""
    entry: Callable[[SpoolEntry], SpoolEntry] = lambda entry: entry
    """The last word on the spool's note."""
    blank: bool = False
    """Nothing is recorded: another message is passed on as it is."""


async def may_send(desk: Desk, call: Call, user: User) -> bool:
    """Whether his mailbox lets him send; if not, he is told. Raises HungUp, Unavailable."""
    size = await reach(desk.store.messages.size(user.id))
    if state(await _quota(desk, user), size) in (QuotaState.NO_SEND, QuotaState.NO_RECEIVE):
        await call.play("cannot_send_full")
        return False
    if not await desk.delivery.has_room():
        await call.play("cannot_record_now")
        return False
    return True


async def _quota(desk: Desk, user: User) -> Quota:
    return (await class_of(desk, user)).quota


async def compose(desk: Desk, call: Call, user: User, sheet: Sheet) -> None:
    """Record, offer the options, send. Raises HungUp when the author has gone; what he wants to become of
    the message then is on its way."""
    limits = await limits_of(desk, user)
    sends = bool(sheet.to) and (await desk.policies.options(user.id)).unsent is Unsent.SEND
    try:
        async with Letter(
            desk, call, lambda: note(desk, call, user, sheet, held=not sends), limits
        ) as letter:
            letter.sends = sends
            if await _begun(letter, sheet):
                await _finish(desk, call, user, sheet, letter)
    except OSError as error:
        log.error("spool cannot be used", why=str(error))
        await call.play("cannot_record_now")
        return
    await call.play(*farewell(letter))


def farewell(letter: Letter) -> tuple[Sound, ...]:
    """What is said once it has been settled: sent only where the store holds it."""
    if letter.last_words == ("message_sent",) and not letter.stored:
        return ("message_waits",)
    return letter.last_words


async def limits_of(desk: Desk, user: User) -> RecordLimits:
    """As the user's class of service has it; 8 pauses the recording."""
    longest = (await class_of(desk, user)).longest_message
    return replace(desk.limits, longest=longest, pause="8", warning="fifteen_seconds_left")


def note(desk: Desk, call: Call, user: User, sheet: Sheet, held: bool) -> SpoolEntry:
    """What is known of it before it is recorded."""
    keys = keys_of_all(sheet.to)
    entry = SpoolEntry(
        id=uuid7(),
        extension=keys[0] if keys else "",
        caller=user.extension,
        caller_name=user.name,
        recorded=desk.now(),
        call_id=call.invite.call_id[:LONGEST_TEXT],
        addressees=keys,
        envelope=noted(replace(sheet.envelope, sender=user.id, recipients=keys)),
        held=held,
    )
    return sheet.entry(entry)


async def _begun(letter: Letter, sheet: Sheet) -> bool:
    if not sheet.blank:
        return await letter.first_recording("record_at_tone", "tone")
    await letter.leave_blank()
    return True


async def _finish(desk: Desk, call: Call, user: User, sheet: Sheet, letter: Letter) -> None:
    """Until it is sent or cancelled, or the author says nothing more, which is as if he had hung up."""
    said: tuple[Sound, ...] = ("limit_reached",) if letter.ended_by == "limit" else ()
    to = sheet.to or await address(desk, call, user)
    if not to:
        return await letter.cancel()
    await _readdress(desk, user, letter, to)
    menu = SEND.menu(desk.keys.send, desk.words)
    while (do := await choose(call, menu, *said, style=desk.style)) is not None:
        said = ()
        if do is Do.OPTIONS:
            do = await _options(desk, call, user, sheet, letter)
        match do:
            case Do.SEND:
                return await _send(letter)
            case Do.ADDRESSEES:
                to = await change(desk, call, user, to, *aloud(to)) or to
                await _readdress(desk, user, letter, to)
            case Do.CANCEL:
                return await letter.cancel()


async def _readdress(desk: Desk, user: User, letter: Letter, to: tuple[Addressee, ...]) -> None:
    """On disk when this returns, and sent from here on if the author hangs up and wants it so."""
    keys = keys_of_all(to)
    if not letter.entry or letter.entry.addressees == keys:
        return
    await rewrite(letter, recipients=keys)
    letter.sends = (await desk.policies.options(user.id)).unsent is Unsent.SEND
    await letter.change(addressees=keys, extension=keys[0], held=not letter.sends)


async def _send(letter: Letter) -> None:
    """From here on it is sent whatever happens."""
    await letter.change(held=False)
    letter.sends = True


async def _options(desk: Desk, call: Call, user: User, sheet: Sheet, letter: Letter) -> Do | None:
    """SEND, or back to the menu before; None when the author says nothing more."""
    said: tuple[Sound, ...] = ()
    menu = OPTIONS.menu(desk.keys.options, desk.words)
    while (do := await choose(call, menu, *said, style=desk.style)) not in (Do.SEND, Do.BACK, None):
        match do:
            case Do.URGENT:
                said = await letter.toggle_urgent()
            case Do.RECEIPT:
                said = await toggle(letter, "receipt", "receipt_wanted", "receipt_removed")
            case Do.PRIVATE:
                said = await letter.toggle_private()
            case Do.SECURE if sheet.secure_for_good:
                said = ("stays_secure",)
            case Do.SECURE:
                said = await toggle(letter, "secure", "message_marked_secure", "secure_removed")
            case Do.LATER:
                said = await _deliver_later(desk, call, user, letter)
            case _:
                said = await _recording(letter, sheet, do)
    return do


async def _recording(letter: Letter, sheet: Sheet, do: Do | None) -> tuple[Sound, ...]:
    """Hear, record again, add."""
    if do is Do.HEAR:
        return (*(() if _empty(letter) else letter.sounds), *sheet.behind)
    again = do is Do.AGAIN or _empty(letter)
    done = await (letter.record if again else letter.add)("record_at_tone", "tone")
    return () if done else ("too_short",)


def _empty(letter: Letter) -> bool:
    return not (letter.entry and letter.entry.seconds)


async def rewrite(letter: Letter, **changes: Any) -> Envelope:
    """Change what is in the envelope, on disk when this returns."""
    envelope = replace(envelope_of(letter.entry.envelope if letter.entry else ""), **changes)
    await letter.change(envelope=noted(envelope))
    return envelope


async def toggle(letter: Letter, field: str, on: str, off: str) -> tuple[Sound, ...]:
    """Change a yes to a no in the envelope, or back; what to say about it."""
    was: bool = getattr(envelope_of(letter.entry.envelope if letter.entry else ""), field)
    await rewrite(letter, **{field: not was})
    return (off if was else on,)


async def _deliver_later(desk: Desk, call: Call, user: User, letter: Letter) -> tuple[Sound, ...]:
    """Ask for day and time, by the user's clock. What was chosen before holds until another moment is
    complete."""
    now = local(desk.now(), (await desk.policies.options(user.id)).time_zone)
    digits = await call.digits("enter_delivery_day", most=4)
    if digits == "*":
        await rewrite(letter, deliver_at=None)
        return ("delivered_at_once",)
    day = later.day_of(digits, now)
    if not day:
        return ("no_such_day",)
    moment = later.moment_of(day, await call.digits("enter_delivery_time", most=4), now)
    if not moment:
        return ("no_such_time",)
    await rewrite(letter, deliver_at=moment)
    return ("will_be_delivered", *desk.words.moment(moment, now))
