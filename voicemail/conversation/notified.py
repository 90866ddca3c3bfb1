"""We have called a user to tell of a message: whoever answers hears that there is one, and nothing else
before the PIN. It may be anybody, or a machine. Nobody else can sign in on this call.
"""

from collections.abc import Callable

import structlog

from sip.call import Call
from store.model import User
from voicemail.conversation.desk import Desk
from voicemail.conversation.sign_in import MOST_PIN, TRIES, Locked, admit
from voicemail.conversation.user_side import signed_in

log = structlog.get_logger()


async def notified(desk: Desk, call: Call, user: User, reached: Callable[[], None]) -> None:
    """From the answer to the end; `reached` is called as soon as it is certain that it is the user. Raises
    HungUp, Unavailable."""
    desk = desk.in_language(call, user.language)
    known = await _ask(desk, call, user)
    if known is None:
        return
    reached()
    await signed_in(desk, call, known)


async def _ask(desk: Desk, call: Call, user: User) -> User | None:
    """The user, as he is now; None when nobody knew the PIN, who has been told so."""
    said: tuple[str, ...] = ("notified",)
    for _ in range(TRIES):
        pin = await call.digits(*said, "enter_pin", most=MOST_PIN, secret=True)
        if pin == "*":
            await call.play("goodbye")
            return None
        said = ("notified",)
        if not pin:  # a machine may still be speaking
            continue
        try:
            known = await admit(desk, user.extension, pin)
        except Locked:
            await call.play("sign_in_locked", "goodbye")
            return None
        if known and known.id == user.id:
            return known
        said = ("pin_wrong", "try_again")
    await call.play("goodbye")
    return None
