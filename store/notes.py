"""Envelopes as JSON in the notes of the spool: as in the store, and with the day of delivery."""

import json
from datetime import datetime

from store import envelope as stored
from store.model import Envelope


def noted(envelope: Envelope) -> str:
    """JSON without what is as by default; "" for an envelope that is wholly so."""
    if envelope == Envelope():
        return ""
    due = {"deliver_at": envelope.deliver_at.isoformat()} if envelope.deliver_at else {}
    return json.dumps(json.loads(stored.written(envelope)) | due)


def envelope_of(text: str) -> Envelope:
    """Raises ValueError for what is no envelope at all."""
    if not text:
        return Envelope()
    try:
        said = json.loads(text)
        due = said.get("deliver_at")
        return stored.envelope(said, datetime.fromisoformat(due) if due else None)
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an envelope: {error!r}") from None
