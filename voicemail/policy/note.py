"""What one piece of work of kind NOTIFY says: tell this device of that event. Written by workers (missed
calls), by the command line (trials) and by the Primary (everything else), performed by the Primary."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID, uuid5

from store.model import NewWork, OutboxItem, Work


class Event(StrEnum):
    """Of what a device tells."""

    MESSAGE = "message"
    MISSED = "missed"
    SUMMARY = "summary"
    AGING = "aging"
    """Messages will be deleted soon since they are old, or are gone."""
    WISH = "wish"
    """Its owner wants to have a message, the fact "message", by mail."""
    TRIAL = "trial"
    """An administrator wants to see it work."""


class Failure(StrEnum):
    """How a device could not be told."""

    BUSY = "busy"
    NO_ANSWER = "no answer"
    """Nobody, or nobody who knows the PIN."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Note:
    """The payload. All of what happened before is in it, so that a node which takes over knows as much."""

    event: Event
    source: UUID
    """The message, or the event's own id."""
    device: str = ""
    """"": all devices of the user that want to know of such an event."""
    ordinal: int = 0
    """How often the device was told of it before."""
    tries: tuple[Failure, ...] = ()
    """How the tries of this time went."""
    chain: tuple[str, ...] = ()
    """The devices that failed before this one's turn came."""
    waits: int = 0
    """How often it waited for the device's schedule."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What is known of an event that is no message."""

    @classmethod
    def read(cls, payload: str) -> Self:
        """Raises ValueError for anything that is no note. A newer release may say more."""
        try:
            said = json.loads(payload)
            return cls(
                Event(said["event"]),
                UUID(said["source"]),
                str(said.get("device", "")),
                int(said.get("ordinal", 0)),
                tuple(map(Failure, said.get("tries", ()))),
                tuple(map(str, said.get("chain", ()))),
                int(said.get("waits", 0)),
                dict(said.get("facts", {})),
            )
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a note: {error!r}") from None

    @property
    def payload(self) -> str:
        kept = {"ordinal": self.ordinal, "tries": self.tries, "chain": self.chain, "waits": self.waits}
        told = {key: value for key, value in kept.items() if value}
        return json.dumps(
            {"event": self.event, "source": str(self.source), "device": self.device}
            | told
            | ({"facts": dict(self.facts)} if self.facts else {})
        )

    @property
    def id(self) -> UUID:
        """Of the piece of work: the same whoever makes it, and however often."""
        path = ">".join((*self.chain, self.device))
        return uuid5(self.source, f"{self.event}/{path}/{self.ordinal}/{len(self.tries)}/{self.waits}")

    @property
    def about(self) -> UUID:
        """The message that it tells of. Raises ValueError."""
        return UUID(str(self.facts.get("message", ""))) if self.event is Event.WISH else self.source

    def work(self, mailbox_id: UUID, not_before: datetime | None = None) -> NewWork:
        """As a row for the outbox."""
        message = self.source if self.event is Event.MESSAGE else None
        return NewWork(self.id, Work.NOTIFY, mailbox_id, message, self.payload, not_before)

    def at(self, device: str, **changes: Any) -> "Note":
        """The same event told by another device."""
        return replace(self, device=device, **changes)


def of_message(item: OutboxItem) -> Note:
    """What a piece of work of kind MAIL, as a deposit writes it, asks for. Raises ValueError."""
    if item.message_id is None:
        raise ValueError("a mail without a message")
    return Note(Event.MESSAGE, item.message_id)
