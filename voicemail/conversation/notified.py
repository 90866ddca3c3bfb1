"""We have called a user to tell of a message: whoever answers hears that there is one, and nothing else
before the PIN. It may be anybody, or a machine. Nobody else can sign in on this call.
"""

from collections.abc import Callable

import structlog

from sip.call import Call
from store.model import User
from voicemail.conversation.aside import Aside
from voicemail.conversation.desk import Desk
from voicemail.conversation.expected import Expected
from voicemail.conversation.sign_in import MOST_PIN, TRIES, Entry, Locked, admit
from voicemail.conversation.user_side import signed_in

log = structlog.get_logger()


async def notified(desk: Desk, call: Call, user: User, reached: Callable[[], None]) -> None:
    """From the answer to the end; `reached` is called as soon as it is certain that it is the user. Raises
    HungUp, Unavailable."""
    desk = desk.in_language(call, user.language)
    async with Aside() as aside:
        known = await _ask(desk, call, aside, user)
        if known:
            reached()
            await signed_in(desk, call, known)


async def _ask(desk: Desk, call: Call, aside: Aside, user: User) -> Entry | None:
    """The user, as he is now; None when nobody knew the PIN, who has been told so."""
    said: tuple[str, ...] = ("notified",)
    for _ in range(TRIES):
        expected = Expected(desk, call, aside, user.extension, user)
        pin = await call.digits(*said, "enter_pin", most=MOST_PIN, secret=True)
        if pin == "*":
            await call.play("goodbye")
            return None
        said = ("notified",)
        if not pin:  # a machine may still be speaking
            continue
        try:
            known = await admit(desk, aside, expected, pin)
        except Locked:
            await call.play("sign_in_locked", "goodbye")
            return None
        if known:
            return known
        said = ("pin_wrong", "try_again")
    await call.play("goodbye")
    return None
