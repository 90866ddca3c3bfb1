"""An envelope as JSON, in the store and in the spool. What a newer release wrote besides is left alone."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from store.model import Envelope, MessageKind, Part, Remote, clean


def written(envelope: Envelope) -> str:
    """JSON of all that is not as by default; without `deliver_at`, which has a column of its own."""
    e = envelope
    said: dict[str, Any] = {
        "kind": e.kind.value,
        "sender": str(e.sender or ""),
        "recipients": [clean(each) for each in e.recipients],
        "private": e.private,
        "secure": e.secure,
        "receipt": e.receipt,
        "about": str(e.about or ""),
        "why": clean(e.why),
        "dispatch": str(e.dispatch or ""),
        "parts": [_part(each) for each in e.parts],
        "remote": {key: clean(value) for key, value in asdict(e.remote).items() if value} if e.remote else {},
    }
    return json.dumps({key: value for key, value in said.items() if value and value != "voice"})


def envelope(said: dict[str, Any], deliver_at: datetime | None) -> Envelope:
    """Whatever cannot be read is as by default: a message is heard all the same."""
    return Envelope(
        kind=_or(MessageKind.VOICE, MessageKind, said.get("kind", "voice")),
        sender=_uuid(said.get("sender")),
        recipients=tuple(str(each) for each in said.get("recipients") or ()),
        private=said.get("private") is True,
        secure=said.get("secure") is True,
        receipt=said.get("receipt") is True,
        deliver_at=deliver_at,
        about=_uuid(said.get("about")),
        why=str(said.get("why", "")),
        parts=tuple(_read_part(each) for each in said.get("parts") or ()),
        remote=_read_remote(said.get("remote")),
        dispatch=_uuid(said.get("dispatch")),
    )


def _part(part: Part) -> dict[str, Any]:
    recorded = part.recorded.isoformat() if part.recorded else ""
    return {
        "seconds": part.seconds,
        "sender": str(part.sender or ""),
        "caller": clean(part.caller),
        "recorded": recorded,
    }


def _read_part(said: dict[str, Any]) -> Part:
    recorded = _or(None, datetime.fromisoformat, said.get("recorded"))
    caller = str(said.get("caller", ""))
    return Part(float(said.get("seconds", 0)), _uuid(said.get("sender")), caller, recorded)


def _read_remote(said: object) -> Remote | None:
    if not isinstance(said, dict) or not said.get("address"):
        return None
    return Remote(**{field.name: str(said.get(field.name, "")) for field in fields(Remote)})


def _uuid(said: object) -> UUID | None:
    read: UUID | None = _or(None, UUID, said)
    return read


def _or(default: Any, read: Callable[[Any], Any], said: object) -> Any:
    try:
        return read(said) if said else default
    except (ValueError, TypeError, AttributeError):
        return default
