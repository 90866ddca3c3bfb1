"""Arguments of MAIL and RCPT (RFC 5321 section 4.1.2, RFC 3461, RFC 6531). Pure; strict, since what is read
here goes into files, logs and headers of reports."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from voicemail.intake.letter import Recipient

LONGEST_ADDRESS = 320
LONGEST_LOCAL = 64
ENVID, ORCPT = 100, 500
"""Characters (RFC 3461 section 4.4, section 4.2)."""
MAIL_KEYS = {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"}
RCPT_KEYS = {"NOTIFY", "ORCPT"}

_PATH = re.compile(r"<(?:@[^:<>]*:)?([^<>]*)>(?: +(.*))?")
_DOTTED = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff.-]+"
_LOCAL = re.compile(rf'{_DOTTED}|"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*"')
_DOMAIN = re.compile(
    r"[A-Za-z0-9\u0080-\U0010ffff](?:[A-Za-z0-9\u0080-\U0010ffff.-]*[A-Za-z0-9\u0080-\U0010ffff])?"
)
_LITERAL = re.compile(r"\[[0-9A-Za-z:.]+\]")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_NOTIFIES = {"NEVER", "SUCCESS", "FAILURE", "DELAY"}


class Refused(Exception):
    """An answer to the client: code, enhanced code and words."""


@dataclass(frozen=True, slots=True)
class Sender:
    """MAIL FROM with what goes with it."""

    address: str
    size: int = 0
    """Bytes, as announced; 0 when it was not."""
    ret: str = ""
    envelope_id: str = ""
    utf8: bool = False


def sender(argument: str) -> Sender:
    """Of what follows `MAIL FROM:`. Raises Refused."""
    address, given = _split(argument, MAIL_KEYS, "MAIL FROM:<address>")
    ret = given.get("RET", "").upper()
    size, envelope_id = given.get("SIZE", "0"), given.get("ENVID", "")
    if given.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME"):
        raise Refused("501 5.5.4 BODY is 7BIT or 8BITMIME here")
    if not (size.isascii() and size.isdecimal() and len(size) <= 20):
        raise Refused("501 5.5.4 SIZE is a number")
    if "RET" in given and ret not in ("FULL", "HDRS"):
        raise Refused("501 5.5.4 RET is FULL or HDRS")
    if "ENVID" in given and not (len(envelope_id) <= ENVID and _XTEXT.fullmatch(envelope_id)):
        raise Refused("501 5.5.4 ENVID is xtext")
    if given.get("SMTPUTF8"):
        raise Refused("501 5.5.4 SMTPUTF8 takes no value")
    if not address.isascii() and "SMTPUTF8" not in given:
        raise Refused("553 5.6.7 that address needs SMTPUTF8")
    return Sender(address, int(size), ret, envelope_id, "SMTPUTF8" in given)


def recipient(argument: str) -> Recipient:
    """Of what follows `RCPT TO:`. Raises Refused."""
    address, given = _split(argument, RCPT_KEYS, "RCPT TO:<address>")
    if not address:
        raise Refused("501 5.1.3 RCPT TO:<address>")
    notify = tuple(dict.fromkeys(given.get("NOTIFY", "").upper().split(","))) if "NOTIFY" in given else ()
    if notify and (not set(notify) <= _NOTIFIES or ("NEVER" in notify and len(notify) > 1)):
        raise Refused("501 5.5.4 NOTIFY is NEVER, or of SUCCESS, FAILURE, DELAY")
    original = given.get("ORCPT", "")
    if original and not (len(original) <= ORCPT and _is_orcpt(original)):
        raise Refused("501 5.5.4 ORCPT is type;xtext")
    return Recipient(address, notify, original)


def _is_orcpt(text: str) -> bool:
    kind, _, value = text.partition(";")
    return kind.replace("-", "").isalnum() and kind.isascii() and bool(_XTEXT.fullmatch(value))


def _split(argument: str, known: set[str], syntax: str) -> tuple[str, Mapping[str, str]]:
    found = _PATH.fullmatch(argument.strip())
    if not found:
        raise Refused(f"501 5.5.2 Syntax: {syntax}")
    address = found[1].strip()
    if address and not is_address(address) and address.lower() != "postmaster":
        raise Refused("501 5.1.3 that is no address")
    given: dict[str, str] = {}
    for each in (found[2] or "").split():
        key, _, value = each.partition("=")
        if key.upper() not in known:
            raise Refused("555 5.5.4 a parameter is not known here")
        if key.upper() in given:
            raise Refused("501 5.5.4 a parameter is given twice")
        given[key.upper()] = value
    return address, given


def is_address(text: str) -> bool:
    """local@domain, without any sign that could end a line or a header."""
    local, at, domain = text.rpartition("@")
    short = len(text) <= LONGEST_ADDRESS and len(local.encode("utf-8", "replace")) <= LONGEST_LOCAL
    dotted = local[:1] != "." and local[-1:] != "." and ".." not in local.partition('"')[0]
    whole = _DOMAIN.fullmatch(domain) and ".." not in domain or _LITERAL.fullmatch(domain)
    return bool(at and short and dotted and _LOCAL.fullmatch(local) and whole)


def greeting_name(said: str) -> str:
    """What a client calls itself, fit for a header."""
    name = said.strip()[:255]
    return name if re.fullmatch(r"[A-Za-z0-9.:_\[\]-]+", name) else "unknown"
