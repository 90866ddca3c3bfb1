"""Recording a greeting or a name: what was there before stays until the new one is kept by `#`.

So hanging up, silence and `*` change nothing: nobody's callers ever hear half a sentence by accident.
"""

from enum import Enum, auto
from pathlib import Path

import structlog

from sip.call import Call, RecordLimits, Sound
from voicemail.conversation.desk import Desk
from voicemail.conversation.menu import Menu, choose

log = structlog.get_logger()

TRIES = 3
"""How often a user may end too short a recording."""
SHORTEST = 0.5
"""Seconds: a name may be short."""


class Do(Enum):
    """What can be done with a new recording."""

    KEEP = auto()
    HEAR = auto()
    AGAIN = auto()
    CANCEL = auto()


REVIEW = Menu(
    help=("sound_menu",), keys={"#": Do.KEEP, "1": Do.HEAR, "2": Do.AGAIN, "*": Do.CANCEL}
)  # fmt: skip


async def record_sound(desk: Desk, call: Call, longest: float, *before: Sound) -> bytes | None:
    """Say `before`, record up to `longest` seconds, let the user judge it. The WAV file once it is to be
    kept; None when it is not. Raises HungUp, and OSError when the disk is full."""
    path = await desk.sounds.file(b"")
    said = before
    while await _taken(desk, call, path, longest, *said):
        match await _judged(call, path):
            case Do.KEEP:
                return path.read_bytes()
            case Do.AGAIN:
                said = ("record_sound_at_tone",)
            case _:
                await call.play("nothing_changed")
                return None
    return None


async def _taken(desk: Desk, call: Call, path: Path, longest: float, *before: Sound) -> bool:
    """Until one is long enough; False when the user gives up."""
    said = before
    for _ in range(TRIES):
        await call.play(*said, "tone")
        taken = await call.record(path, RecordLimits(longest, desk.limits.silence))
        if taken.seconds >= SHORTEST:
            return True
        said = ("too_short", "record_sound_at_tone")
    await call.play("nothing_changed")
    return False


async def _judged(call: Call, path: Path) -> Do | None:
    said: tuple[Sound, ...] = (path,)
    while (do := await choose(call, REVIEW, *said)) is Do.HEAR:
        said = (path,)
    return do
