"""Putting a call through, as far as the table of restrictions lets it."""

from enum import Enum, auto

import structlog

from sip.call import Call, Transferred
from voicemail.conversation.menu import Menu, choose
from voicemail.policy.model import RestrictionTable, Transfer
from voicemail.policy.numbers import allowed, dialable

log = structlog.get_logger()

WORDS = {
    Transferred.BUSY: "line_is_busy",
    Transferred.NO_ANSWER: "no_answer_there",
    Transferred.REFUSED: "cannot_put_through",
}


async def put_through(
    call: Call, number: str, table: RestrictionTable, *, supervised: bool = False, ring: float = 20.0
) -> Transferred:
    """Transfer the call to a number; when that fails, the caller has been told why. `supervised` rings it
    for `ring` seconds first. Whether the number may be dialled is asked now, whoever has set it."""
    if not allowed(table, number):
        log.warning("call not put through: the number may not be dialled", number=number)
        await call.play(WORDS[Transferred.REFUSED])
        return Transferred.REFUSED
    await call.play("please_hold")
    digits = dialable(number)
    done = await (call.connect(digits, ring) if supervised else call.transfer(digits))
    log.info("call put through", number=number, supervised=supervised, ended=str(done))
    if done is not Transferred.DONE:
        await call.play(WORDS[done])
    return done


class Do(Enum):
    """What somebody can do whose line is busy."""

    WAIT = auto()
    LEAVE = auto()


HOLD = Menu(help=("hold_menu",), keys={"1": Do.WAIT, "2": Do.LEAVE})
LEAVES = "2"
A_WHILE = ("silence_1s",) * 9
"""Seconds between words to somebody who waits."""
MOST_WAITS = 15
"""How often a busy line is tried again: for ten minutes or so."""


async def by_rule(call: Call, rule: Transfer, number: str, table: RestrictionTable) -> Transferred:
    """Put a call through as a host's rule says. Where the rule lets callers hold, those who want to wait
    do; BUSY then means that they want to no longer."""
    for _ in range(MOST_WAITS):
        done = await put_through(call, number, table, supervised=rule.supervised, ring=rule.ring_seconds)
        if done is not Transferred.BUSY or not (rule.hold and rule.supervised):
            return done
        if await choose(call, HOLD) is not Do.WAIT:
            return done
        if await call.play(*A_WHILE, "still_holding", *A_WHILE, until=LEAVES):
            return done
    return Transferred.BUSY
