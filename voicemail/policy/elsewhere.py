"""Who is on another system, and what may go there. Pure.

An address is of the location that has its domain. Users address a mailbox there by the number of a contact,
or blindly: the location's dial id, then the mailbox (functions.md section 6.2)."""

import re
from collections.abc import Mapping

from voicemail.policy.locations import Location

MAIL_PORT = 25
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
"""Of an address: what needs no quotes (RFC 5321), and no longer."""
NOBODY = "non-mail-user"
"""Local part of the address of a caller whom nobody can answer (RFC 3801 section 4.2.1)."""


def domain_of(address: str) -> str:
    """In small letters; "" for what is no address."""
    local, at, domain = address.rpartition("@")
    return domain.casefold() if local and at else ""


def mailbox_of(address: str) -> str:
    """The local part, as it stands."""
    return address.rpartition("@")[0]


def answerable(address: str) -> bool:
    """Whether somebody reads what goes there."""
    return bool(domain_of(address)) and mailbox_of(address).casefold() != NOBODY


def location_of(address: str, locations: Mapping[str, Location]) -> Location | None:
    """The system that an address is on; None for one that nobody told us of."""
    domain = domain_of(address)
    named = (locations[name] for name in sorted(locations))
    return next((each for each in named if domain and each.domain.casefold() == domain), None)


def dialled(number: str, locations: Mapping[str, Location]) -> str | None:
    """The address of the mailbox behind the longest dial id that the number begins with, if that location
    has such mailboxes."""
    fitting = [each for each in locations.values() if each.dial_id and number.startswith(each.dial_id)]
    for each in sorted(fitting, key=lambda each: len(each.dial_id), reverse=True):
        mailbox = number[len(each.dial_id) :]
        if mailbox.isascii() and mailbox.isdigit() and mailbox.startswith(each.prefixes or ("",)):
            return f"{mailbox}@{each.domain}"
    return None


def number_of(address: str, locations: Mapping[str, Location]) -> str:
    """What users would dial for it: the digits that it is called by aloud; "" when there are none."""
    location, mailbox = location_of(address, locations), mailbox_of(address)
    digits = mailbox.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return ""
    return (location.dial_id if location else "") + digits


def barred(location: Location | None, *, secure: bool, passed_on: bool) -> str:
    """Why a message may not go there, in words; "" when it may. `passed_on`: a private one is forwarded."""
    if location is None:
        return "unknown location"
    if passed_on:
        return "private messages are not passed on"
    if secure and not location.secure:
        return "secure messages do not go there"
    return ""


def host_and_port(text: str) -> tuple[str, int]:
    """Of "host", "host:port" or "[2001:db8::1]:port". Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")) or text.endswith("]"):
        host, port = text, str(MAIL_PORT)
    if not port.isdecimal() or not 0 < int(port) <= 65535:
        raise ValueError(f"not a port: {port!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_domain(text: str) -> bool:
    """Whether it is the name of a domain, in ASCII (RFC 1123; other letters as "xn--…")."""
    labels = text.split(".")
    return 0 < len(text) <= 253 and all(LABEL.fullmatch(each) for each in labels) and not labels[-1].isdigit()


def is_address(text: str) -> bool:
    """Whether it is a mail address as other systems have them: one part without quotes before the @."""
    return bool(LOCAL.fullmatch(mailbox_of(text))) and is_domain(text.rpartition("@")[2])
