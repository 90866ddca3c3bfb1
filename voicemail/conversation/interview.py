"""An interview: the caller hears each question and answers after the tone; all answers are one message.

From the first answer on the guard of a `Letter` holds them: whoever hangs up has sent what was answered, and
after a crash the spool puts what belongs together behind one another (delivery.py). A beep stands between two
questions, also where one was not answered, so that whoever hears it knows which answer is whose.
"""

from functools import cache
from math import pi, sin
from pathlib import Path
from uuid import UUID

import structlog

from sip import wav
from sip.call import Call, RecordLimits
from store.ids import uuid7
from store.model import Envelope, setting_id
from store.notes import noted
from store.spool import SpoolEntry
from voicemail.conversation.handler import addressees
from voicemail.conversation.leave_message import LONGEST_TEXT
from voicemail.conversation.letter import Letter
from voicemail.conversation.lookup import Lookup
from voicemail.policy.interview import Interview, question_kind

log = structlog.get_logger()

BEEP, HERTZ, LOUD = 0.2, 700, 6000
"""Seconds, pitch and amplitude of what stands between two answers."""


async def inquire(look: Lookup, call: Call, name: str, interview: Interview, sender: UUID | None) -> None:
    """Ask all questions that are recorded. Raises HungUp; what was answered is then on its way."""
    desk = look.desk
    to = await addressees(desk.policies, interview.messages_to)
    questions = await recorded(look, name, interview) if to else ()
    if not questions or not await desk.delivery.has_room():
        log.error("interview not held", interview=name, addressees=len(to), questions=len(questions))
        await call.play("cannot_record_now")
        return
    limits = RecordLimits(desk.limits.longest, desk.limits.silence, warning="fifteen_seconds_left")
    letter = Letter(desk, call, lambda: note(look, call, interview, to, sender), limits)
    answered = 0
    try:
        async with letter:
            for question, longest in questions:
                answered += await letter.answer(longest, beep(), question, "tone")
                if letter.ended_by in ("hang-up", "cut-off"):
                    break
    except OSError as error:
        log.error("spool cannot be used", why=str(error))
        await call.play("cannot_record_now")
        return
    finally:
        log.info("interview over", interview=name, questions=len(questions), answers=answered)
    await call.play(*(letter.last_words or ("no_answer_recorded",)))


async def recorded(look: Lookup, name: str, interview: Interview) -> tuple[tuple[Path, float], ...]:
    """Each question that has a recording, and the seconds that its answer may last."""
    owner = setting_id(Interview.KIND, name)
    found = []
    for number, longest in enumerate(interview.questions, 1):
        if path := await look.recording(owner, question_kind(number)):
            found.append((path, longest))
        else:
            log.warning("question left out: it has no recording here", interview=name, number=number)
    return tuple(found)


@cache
def beep() -> bytes:
    """Mu-law, 8 kHz."""
    count = int(BEEP * wav.RATE)
    wave = (int(LOUD * sin(2 * pi * HERTZ * n / wav.RATE)) for n in range(count))
    plain = b"".join(each.to_bytes(2, "little", signed=True) for each in wave)
    return wav.samples_ulaw(wav.parse(wav.file_pcm16(plain)))


def note(
    look: Lookup, call: Call, interview: Interview, to: tuple[str, ...], sender: UUID | None
) -> SpoolEntry:
    """What is known of the message before it is recorded."""
    invite, name = call.invite, uuid7()
    return SpoolEntry(
        id=name,
        extension=interview.extension,
        caller=(invite.asserted or invite.caller)[:LONGEST_TEXT],
        caller_name=invite.caller_name[:LONGEST_TEXT],
        recorded=look.desk.now(),
        urgent=interview.urgent,
        call_id=invite.call_id[:LONGEST_TEXT],
        addressees=to,
        envelope=noted(Envelope(sender=sender, dispatch=name if interview.dispatch else None)),
    )
