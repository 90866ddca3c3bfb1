"""What the parser's process found in a mail, as bytes: one line of JSON, then the sounds it counts, in order.

No pickle: who takes over the parser by a broken mail must not get any further. Only the values of
voicemail/vpim/model.py are made of what comes, by the names they have there.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from voicemail.vpim import model
from voicemail.vpim.model import Report, Unreadable, VoiceMail

Outcome = VoiceMail | Report | Unreadable

KNOWN = {
    name: kind
    for name, kind in vars(model).items()
    if isinstance(kind, type) and (is_dataclass(kind) or (issubclass(kind, StrEnum) and kind is not StrEnum))
}
VALUE, TIME, SOUND = "$", "$time", "$sound"


def packed(outcome: Outcome) -> list[bytes]:
    """To be read by `unpacked`, when it is joined. It may be large, so it is not joined here."""
    sounds: list[bytes] = []
    if isinstance(outcome, Unreadable):
        said: Any = {"unreadable": str(outcome), "code": outcome.code}
    else:
        said = {"outcome": _said(outcome, sounds)}
    head = json.dumps(said | {"sounds": [len(each) for each in sounds]})
    return [head.encode(), b"\n", *sounds]


def unpacked(data: bytes) -> Outcome:
    """Raises ValueError for anything that is no outcome."""
    end = data.find(b"\n")
    try:
        said = json.loads(data[: max(end, 0)])
        if "unreadable" in said:
            return Unreadable(str(said["unreadable"]), str(said["code"]))
        sounds = _cut(memoryview(data)[end + 1 :], said["sounds"])
        outcome = _read(said["outcome"], sounds)
        if not isinstance(outcome, (VoiceMail, Report)) or next(sounds, None) is not None:
            raise ValueError("not a parsed mail")
        return outcome
    except (TypeError, KeyError, AttributeError, RecursionError, StopIteration) as error:
        raise ValueError(f"not a parsed mail: {error!r}") from None


def _said(value: Any, sounds: list[bytes]) -> Any:
    if isinstance(value, StrEnum):
        return {VALUE: type(value).__name__, "is": value.value}
    if isinstance(value, datetime):
        return {TIME: value.isoformat()}
    if isinstance(value, bytes):
        sounds.append(value)
        return {SOUND: True}
    if isinstance(value, (tuple, list)):
        return [_said(each, sounds) for each in value]
    if is_dataclass(value):
        named = {each.name: _said(getattr(value, each.name), sounds) for each in fields(value)}
        return {VALUE: type(value).__name__, **named}
    return value


def _read(said: Any, sounds: Iterator[bytes]) -> Any:
    if isinstance(said, list):
        return tuple([_read(each, sounds) for each in said])
    if not isinstance(said, dict):
        return said
    if TIME in said:
        return datetime.fromisoformat(said[TIME])
    if SOUND in said:
        return next(sounds)
    kind = KNOWN[said[VALUE]]
    if issubclass(kind, StrEnum):
        return kind(said["is"])
    return kind(**{name: _read(each, sounds) for name, each in said.items() if name != VALUE})


def _cut(rest: memoryview, lengths: Sequence[int]) -> Iterator[bytes]:
    if sum(lengths) != len(rest) or any(length < 0 for length in lengths):
        raise ValueError("not a parsed mail: its sounds are not as long as it says")
    at = 0
    for length in lengths:
        yield bytes(rest[at : at + length])
        at += length
