"""A mail's envelope as the SMTP dialogue gave it, kept beside the mail in the spool. Values and JSON."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from store.model import SYSTEM

MAIL = uuid5(SYSTEM, "mail in")
"""Namespace of what is made of mails: the same mail gives the same ids, on both nodes and after a crash."""


class Trust(StrEnum):
    """Why a mail was taken, and so how far its sender is believed."""

    NETWORK = "network"
    """From a network of [smtp]: it vouches for its senders."""
    LOCATION = "location"
    """From another voice-mail system: it speaks for its own domain only."""
    USER = "user"
    """After AUTH: for whoever signed in."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO."""

    address: str
    notify: tuple[str, ...] = ()
    """NOTIFY of RFC 3461 section 4.1, in capitals; () when it was not given."""
    original: str = ""
    """ORCPT, as it came."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail: who sent it to whom, and how it came here."""

    id: UUID
    sender: str
    """MAIL FROM; "" is the null sender: nobody is told of anything."""
    recipients: tuple[Recipient, ...]
    received: datetime
    source: str
    """IP address."""
    trust: Trust
    user: str = ""
    """Who signed in (AUTH)."""
    envelope_id: str = ""
    """ENVID of RFC 3461 section 4.4, as it came."""
    ret: str = ""
    """RET: FULL or HDRS; "" when it was not given."""
    node: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(each.address for each in self.recipients)


def written(letter: Letter) -> str:
    """JSON in one line of ASCII."""
    return json.dumps(asdict(letter), default=str)


def read(text: str | bytes) -> Letter:
    """Raises ValueError for anything that `written` has not made. A newer release may note more."""
    try:
        said = json.loads(text)
        known = {field.name for field in fields(Letter)}
        values: dict[str, Any] = {name: value for name, value in said.items() if name in known}
        values["id"], values["trust"] = UUID(values["id"]), Trust(values["trust"])
        values["received"] = datetime.fromisoformat(values["received"])
        values["recipients"] = tuple(_recipient(each) for each in values["recipients"])
        return Letter(**values)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a letter: {error!r}") from None


def _recipient(said: dict[str, Any]) -> Recipient:
    return Recipient(str(said["address"]), tuple(said.get("notify", ())), str(said.get("original", "")))
