"""Who is it? An ID where the caller is not known, then a PIN.

An attempt is counted, and committed on both nodes, before its PIN is compared. An ID that nobody has goes
exactly the same way as a wrong PIN: it is counted, locked and answered alike, so that nobody learns by
trying which mailboxes exist. That the PIN was right is noted when the user hears a voice already: he does
not wait for it (docs/decisions/0012).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from sip.call import Call, Sound
from store.errors import StoreError
from store.model import User
from store.signing_in import Attempt, Glance
from voicemail import pins
from voicemail.conversation.aside import Aside
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.expected import Expected
from voicemail.conversation.throttle import Origin, origin_of
from voicemail.errors import VoicemailError

log = structlog.get_logger()

TRIES = 3
"""Wrong or missing answers in one call."""
MOST_ID, MOST_PIN = 20, 24
"""Digits taken."""
NOTED_AFTER = 1.0
"""Seconds after which it is noted that a PIN was right: when many sign in at the same moment, all have heard
their first word by then."""


class Locked(VoicemailError):
    """Too many wrong PINs lately: none is compared now."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody who is in: as he was when his PIN was right, and his recorded name."""

    glance: Glance
    name: Sequence[Sound] = ()

    @property
    def user(self) -> User:
        return self.glance.user


async def sign_in(
    desk: Desk, call: Call, aside: Aside, known: User | None, certain: bool = False
) -> Entry | None:
    """Ask until somebody is signed in; None when the caller did not get in and has been told so.

    `known` is the user whose number is calling: only the PIN is asked then, and `*` asks for another
    ID. `certain` says that it is proved to be his telephone: its wrong PINs are counted apart, so that
    nobody elsewhere can lock a user out of it. Raises Unavailable when the store cannot count the attempt,
    and HungUp."""
    said: tuple[str, ...] = ("welcome",)
    origin = origin_of(call.invite, known, certain)
    for _ in range(TRIES):
        answer = await ask_who(desk, call, aside, known, origin, *said, certain=certain)
        if answer is None:
            await call.play("goodbye")
            return None
        expected, pin = answer
        known = known if known and expected and known.extension == expected.extension else None
        try:
            entry = await admit(desk, aside, expected, pin) if expected and pin else None
        except Locked:
            await call.play("sign_in_locked", "goodbye")
            return None
        if entry:
            return entry
        said = (wrong(known), "try_again") if pin else ("try_again",)
    await call.play("too_many_tries", "goodbye")
    return None


async def ask_who(
    desk: Desk,
    call: Call,
    aside: Aside,
    known: User | None,
    origin: Origin,
    *said: str,
    certain: bool = False,
) -> tuple[Expected | None, str] | None:
    """Whose PIN, and the PIN as it was pressed; None and "" for what was not. None: the caller wants to
    leave."""
    if known:
        expected = Expected(desk, call, aside, known.extension, known, origin, own_phone=certain)
        pin = await call.digits(*said, "enter_pin", most=MOST_PIN, secret=True)
        if pin != "*":
            return expected, pin
        said = ()
    extension = await call.digits(*said, "enter_id", most=MOST_ID)
    if extension in ("", "*"):
        return (None, "") if extension == "" else None
    # With his own ID pressed behind `*`, he is at his own telephone still.
    own_phone = certain and known is not None and known.extension == extension
    expected = Expected(desk, call, aside, extension, None, origin, own_phone=own_phone)
    pin = await call.digits("enter_pin", most=MOST_PIN, secret=True)
    return expected, "" if pin == "*" else pin


def wrong(known: User | None) -> str:
    """What is said of a wrong answer; it does not tell which half was wrong."""
    return "pin_wrong" if known else "id_or_pin_wrong"


async def admit(desk: Desk, aside: Aside, expected: Expected, pin: str) -> Entry | None:
    """The user, if this is the PIN. Raises Locked, and Unavailable: what cannot be counted is not
    compared."""
    if await expected.held_back():
        raise Locked
    seen = await expected.seen()
    begun = desk.store.sign_ins.begin(seen.counted, desk.policy, desk.now(), of=seen.user_id, look=seen.look)
    attempt = await reach(begun)
    glance = attempt.glance
    if not attempt.allowed:
        told = seen.look.glance
        log.warning("sign-in refused: locked", mailbox=told.user.extension if told else "unknown")
        raise Locked
    right = await pins.compare(glance.user.pin_hash if glance else "", pin)
    if not right or glance is None:
        log.warning("sign-in refused: wrong PIN", mailbox=glance.user.extension if glance else "unknown")
        await expected.went_wrong()
        return None
    log.info("signed in", mailbox=expected.extension)
    aside.do(succeeded(desk, aside, attempt))
    return Entry(glance, await expected.name(glance))


async def succeeded(desk: Desk, aside: Aside, attempt: Attempt) -> None:
    """Note that the PIN was right, so that earlier failures no longer count: in a moment, and once more at
    the end of the call if the store is away then."""
    for seconds in (NOTED_AFTER, None):
        await aside.pause(seconds)
        try:
            return await reach(desk.store.sign_ins.succeeded(attempt))
        except StoreError as error:
            log.warning("not noted that the PIN was right", why=str(error))
