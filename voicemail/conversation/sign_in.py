"""Who is it? An ID where the caller is not known, then a PIN.

An attempt is counted, and committed on both nodes, before its PIN is compared. An ID that nobody has goes
exactly the same way as a wrong PIN: it is counted, locked and answered alike, so that nobody learns by
trying which mailboxes exist.
"""

from uuid import UUID, uuid5

import structlog

from sip.call import Call
from store.model import User
from voicemail import pins
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.throttle import NOWHERE, Origin, held_back, origin_of, went_wrong
from voicemail.errors import VoicemailError

log = structlog.get_logger()

TRIES = 3
"""Wrong or missing answers in one call."""
MOST_ID, MOST_PIN = 20, 24
"""Digits taken."""
NOBODY = UUID("6f9d2f0e-5d0c-4f3e-9a55-2f1d6c1a7b10")
"""Attempts at an ID that nobody has are counted below a name made of this and the ID."""


def own(user: User) -> UUID:
    """Under which a user's attempts at his own telephone are counted."""
    return uuid5(user.id, "own telephone")


class Locked(VoicemailError):
    """Too many wrong PINs lately: none is compared now."""


async def sign_in(desk: Desk, call: Call, known: User | None, certain: bool = False) -> User | None:
    """Ask until somebody is signed in; None when the caller did not get in and has been told so.

    `known` is the user whose number is calling: only the PIN is asked then, and `*` asks for another
    ID. `certain` says that it is proved to be his telephone: its wrong PINs are counted apart, so that
    nobody elsewhere can lock a user out of it. Raises Unavailable when the store cannot count the attempt,
    and HungUp."""
    said: tuple[str, ...] = ("welcome",)
    origin = origin_of(call.invite, known, certain)
    for _ in range(TRIES):
        answer = await ask_who(call, known, *said)
        if answer is None:
            await call.play("goodbye")
            return None
        extension, pin = answer
        known = known if known and known.extension == extension else None
        try:
            own_phone = certain and known is not None
            user = await admit(desk, extension, pin, origin, own_phone=own_phone) if pin else None
        except Locked:
            await call.play("sign_in_locked", "goodbye")
            return None
        if user:
            return user
        said = (wrong(known), "try_again") if pin else ("try_again",)
    await call.play("too_many_tries", "goodbye")
    return None


async def ask_who(call: Call, known: User | None, *said: str) -> tuple[str, str] | None:
    """ID and PIN as they were pressed, "" for what was not. None: the caller wants to leave."""
    if known:
        pin = await call.digits(*said, "enter_pin", most=MOST_PIN, secret=True)
        if pin != "*":
            return known.extension, pin
        said = ()
    extension = await call.digits(*said, "enter_id", most=MOST_ID)
    if extension in ("", "*"):
        return ("", "") if extension == "" else None
    pin = await call.digits("enter_pin", most=MOST_PIN, secret=True)
    return extension, "" if pin == "*" else pin


def wrong(known: User | None) -> str:
    """What is said of a wrong answer; it does not tell which half was wrong."""
    return "pin_wrong" if known else "id_or_pin_wrong"


async def admit(
    desk: Desk, extension: str, pin: str, origin: Origin = NOWHERE, *, own_phone: bool = False
) -> User | None:
    """The user, if this is the PIN. Raises Locked, and Unavailable: what cannot be counted is not
    compared."""
    if not own_phone and await held_back(desk, origin, extension):
        raise Locked
    user = await reach(desk.store.users.by_extension(extension))
    counted = user.id if user else uuid5(NOBODY, extension)
    if user and own_phone:
        counted = own(user)
    attempt = await reach(desk.store.sign_ins.begin(counted, desk.policy, desk.now()))
    if not attempt.allowed:
        log.warning("sign-in refused: locked", mailbox=user.extension if user else "unknown")
        raise Locked
    if not await pins.compare(user.pin_hash if user else "", pin):
        log.warning("sign-in refused: wrong PIN", mailbox=user.extension if user else "unknown")
        if not own_phone:
            await went_wrong(desk, origin)
        return None
    await reach(desk.store.sign_ins.succeeded(attempt))
    log.info("signed in", mailbox=extension)
    return user
