"""Envelopes as JSON in the notes of the spool. What a newer release wrote is ignored."""

import json
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from store.model import Envelope, MessageKind, Part


def noted(envelope: Envelope) -> str:
    """JSON without what is as by default; "" for an envelope that is wholly so."""
    plain = asdict(Envelope())
    told = {name: value for name, value in asdict(envelope).items() if value != plain[name]}
    return json.dumps(told, default=_plain) if told else ""


def envelope_of(text: str) -> Envelope:
    """Raises ValueError for anything that `noted` has not made."""
    try:
        return _envelope(json.loads(text)) if text else Envelope()
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an envelope: {error!r}") from None


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _envelope(told: dict[str, Any]) -> Envelope:
    known = {field.name for field in fields(Envelope)}
    values = {name: value for name, value in told.items() if name in known}
    for name, kind in (("kind", MessageKind), ("sender", UUID), ("about", UUID)):
        if values.get(name):
            values[name] = kind(values[name])
    if values.get("deliver_at"):
        values["deliver_at"] = datetime.fromisoformat(values["deliver_at"])
    values["recipients"] = tuple(map(str, values.get("recipients", ())))
    values["parts"] = tuple(_part(each) for each in values.get("parts", ()))
    return Envelope(**values)


def _part(told: dict[str, Any]) -> Part:
    return Part(
        seconds=float(told["seconds"]),
        sender=UUID(told["sender"]) if told.get("sender") else None,
        caller=str(told.get("caller", "")),
        recorded=datetime.fromisoformat(told["recorded"]) if told.get("recorded") else None,
    )
