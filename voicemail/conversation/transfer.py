"""Putting a call through, as far as the table of restrictions lets it."""

import structlog

from sip.call import Call, Transferred
from voicemail.policy.model import RestrictionTable
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
