"""Putting a call through, as far as the table of restrictions lets it."""

from enum import Enum, auto

import structlog

from sip.call import Call, Screen, Transferred
from voicemail.conversation.menu import Menu, choose
from voicemail.policy.model import RestrictionTable
from voicemail.policy.numbers import allowed, dialable
from voicemail.policy.transfers import OnBusy, Transfer

log = structlog.get_logger()

WORDS = {
    Transferred.BUSY: "line_is_busy",
    Transferred.NO_ANSWER: "no_answer_there",
    Transferred.REFUSED: "cannot_put_through",
    Transferred.DECLINED: "no_answer_there",
}
"""Nobody is told that he is not wanted."""


async def put_through(
    call: Call,
    number: str,
    table: RestrictionTable,
    *,
    supervised: bool = False,
    ring: float = 20.0,
    screen: Screen | None = None,
) -> Transferred:
    """Transfer the call to a number; when that fails, the caller has been told why. `supervised` rings it
    for `ring` seconds first, and `screen` talks to whoever answers. Whether the number may be dialled is
    asked now, whoever has set it."""
    if not allowed(table, number):
        log.warning("call not put through: the number may not be dialled", number=number)
        await call.play(WORDS[Transferred.REFUSED])
        return Transferred.REFUSED
    await call.play("please_hold")
    digits = dialable(number)
    done = await (call.connect(digits, ring, screen) if supervised else call.transfer(digits))
    log.info("call put through", number=number, supervised=supervised, ended=str(done))
    if done is not Transferred.DONE:
        await call.play(WORDS[done])
    return done


class Do(Enum):
    """What somebody can do whose line is busy."""

    WAIT = auto()
    LEAVE = auto()


HOLD = Menu(help=("hold_menu",), keys={"1": Do.WAIT, "2": Do.LEAVE})
STAYS, LEAVES = "1", "2"
"""The same keys, for somebody who waits unless he says otherwise."""
A_WHILE = "hold_music"
"""Between words to somebody who waits: ten seconds."""
MOST_WAITS = 15
"""How often a busy line is tried again: for six minutes or so."""


async def by_rule(
    call: Call, rule: Transfer, number: str, table: RestrictionTable, screen: Screen | None = None
) -> Transferred:
    """Put a call through as a host's rule says. Where the rule lets callers hold, they wait until the line
    is free; BUSY then means that they want to no longer."""
    for _ in range(MOST_WAITS):
        done = await put_through(
            call, number, table, supervised=rule.supervised, ring=rule.ring_seconds, screen=screen
        )
        if done is not Transferred.BUSY or not rule.supervised or not await _waits(call, rule.on_busy):
            return done
        if await call.play(A_WHILE, "still_holding", A_WHILE, until=LEAVES):
            return done
    return Transferred.BUSY


async def _waits(call: Call, on_busy: OnBusy) -> bool:
    """Whether somebody whose line is busy waits for it. Asked, who says nothing does not; on hold, he
    does."""
    match on_busy:
        case OnBusy.GREETING:
            return False
        case OnBusy.ASK:
            return await choose(call, HOLD) is Do.WAIT
        case OnBusy.HOLD:
            return await call.play("holding_menu", until=STAYS + LEAVES) != LEAVES
