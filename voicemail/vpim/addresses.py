"""Local parts of voice-mail addresses (RFC 3801 section 4.1, RFC 3804), and dialling to other systems.

A local part is read for its meaning only; mail always goes back to the address as it was written.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a local part is."""

    MAILBOX = "mailbox"
    E164 = "e164"
    """A number of the public network: "+" and at most 15 digits."""
    REFUSED = "refused"
    """VOICE=, AMIS=, FAX=: it asks us to dial out, which nobody may from outside."""
    OTHER = "other"
    """Any other local part: a name, a list."""


@dataclass(frozen=True, slots=True)
class Local:
    """A local part that was read."""

    kind: Kind
    text: str
    """As it was written; an answer goes there."""
    number: str = ""
    """Digits; of E164 with its "+"."""
    extension: str = ""
    to_list: str = ""
    """Number of a distribution list (DL=)."""


NUMBER = r"(?P<number>\+[0-9]{1,15}|[0-9]{1,32})"
EXTENSION = r"(?:(?:\+|/EXT=)(?P<extension>[0-9]{1,15}))?"
SUBMISSION = re.compile(rf"/?(?:VPIM=)?{NUMBER}{EXTENSION}(?:/DL=(?P<list>[0-9]{{1,15}}))?/?", re.IGNORECASE)
SERVICE = re.compile(r"/?(?:VOICE|AMIS|FAX)=", re.IGNORECASE)
NOBODY = "non-mail-user"
"""Local part of a caller who has no mailbox (RFC 3801 section 4.2.1)."""
LONGEST = 64
"""Of a local part (RFC 5321 section 4.5.3.1.1)."""


def read_local(text: str) -> Local:
    """Never raises: what is not understood is OTHER, and kept as it is."""
    if SERVICE.match(text):
        return Local(Kind.REFUSED, text)
    match = SUBMISSION.fullmatch(text) if text.isascii() and len(text) <= LONGEST else None
    if match is None:
        return Local(Kind.OTHER, text)
    kind = Kind.E164 if match["number"].startswith("+") else Kind.MAILBOX
    return Local(kind, text, match["number"], match["extension"] or "", match["list"] or "")


def written_local(local: Local) -> str:
    """The plain form for the address of a mailbox (`2722`, `2722+111`, `+4930555+230`), the submission
    form where a list is meant; what we do not understand as it was."""
    if local.kind in (Kind.OTHER, Kind.REFUSED):
        return local.text
    if not local.to_list:
        return local.number + (f"+{local.extension}" if local.extension else "")
    extension = f"/EXT={local.extension}" if local.extension else ""
    return f"/VPIM={local.number}{extension}/DL={local.to_list}/"


def is_nobody(address: str) -> bool:
    """Whether it stands for a caller without a mailbox; mail to it is refused with 5.1.1."""
    return address.rpartition("@")[0].lower() == NOBODY


def blind(location_domain: str, dial_id: str, prefixes: tuple[str, ...], dialled: str) -> str | None:
    """The address that dialled digits mean at a location, known there or not: its dial id, then the
    mailbox, which begins with one of `prefixes` if there are any. None: they do not mean it."""
    mailbox = dialled.removeprefix(dial_id)
    digits = dialled.isascii() and dialled.isdecimal()
    if not dial_id or not digits or not dialled.startswith(dial_id) or not 0 < len(mailbox) <= LONGEST:
        return None
    if prefixes and not mailbox.startswith(prefixes):
        return None
    return f"{mailbox}@{location_domain}"
