"""A new PIN, entered twice. What the rules refuse is refused with the reason."""

import asyncio
from dataclasses import replace

import structlog

from sip.call import Call, Sound
from store.model import User
from voicemail import pins
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.setup.greetings import cos_of
from voicemail.policy import pin_rules
from voicemail.policy.model import PinRules, UserOptions

log = structlog.get_logger()

TRIES = 3
MOST = 24
"""Digits taken."""


async def change_pin(desk: Desk, call: Call, user: User, *, forced: bool = False) -> tuple[Sound, ...]:
    """Ask until a PIN is accepted, then keep it; what to say about it. `forced`: the user must have a
    new one, so the least age of the present one does not count."""
    rules = await rules_of(desk, user)
    options = await desk.policies.options(user.id)
    if not (forced or options.must_change_pin) and pin_rules.too_soon(options.pin_changed, desk.now(), rules):
        return ("pin_changed_lately",)
    said: tuple[Sound, ...] = ()
    for _ in range(TRIES):
        pin = await call.digits(*said, "enter_new_pin", most=MOST, secret=True)
        if pin in ("", "*"):
            return ("nothing_changed",)
        present = await reach(desk.store.users.get(user.id)) or user
        if refused := await why_refused(pin, present, options, rules):
            said = (refused,)
        elif await call.digits("enter_new_pin_again", most=MOST, secret=True) != pin:
            said = ("pins_differ",)
        else:
            await keep_pin(desk, present, pin, rules)
            return ("pin_kept",)
    return (*said, "nothing_changed")


async def why_refused(pin: str, user: User, options: UserOptions, rules: PinRules) -> str:
    """What is said of a PIN that may not be used; "" when it may."""
    if not (pin.isascii() and pin.isdigit()):
        return "pin_only_digits"
    if len(pin) < rules.shortest:
        return "pin_too_short"
    if pin_rules.why_refused(pin, user.extension, rules):
        return "pin_too_simple"
    if any([await pins.compare(user.pin_hash, each) for each in pin_rules.neighbours(pin)]):
        return "pin_too_simple"
    earlier = await pin_rules.compared(pin, (user.pin_hash, *options.old_pins), rules)
    if any(earlier):
        return "pin_used_before"
    like = [await pins.compare(user.pin_hash, each) for each in pin_rules.too_like(pin, rules)]
    return "pin_too_similar" if any(like) else ""


async def keep_pin(desk: Desk, user: User, pin: str, rules: PinRules) -> None:
    """The hash first: should the options not follow, the user has a PIN that he knows."""
    hashed = await asyncio.to_thread(pins.hashed, pin)
    await reach(desk.store.users.change(replace(user, pin_hash=hashed)))
    options = await desk.policies.options(user.id)
    old = pin_rules.history(user.pin_hash, options.old_pins, rules)
    changes = {"old_pins": old, "pin_changed": desk.now(), "must_change_pin": False}
    await reach(desk.policies.set_options(user.id, options.model_copy(update=changes)))
    log.info("PIN changed", mailbox=user.extension)


async def rules_of(desk: Desk, user: User) -> PinRules:
    cos = await cos_of(desk, user)
    return await desk.policies.get(PinRules, cos.pin_rules) or PinRules()
