"""Header fields whose text others choose: made so that nothing in it can begin a new one, and read.

Callers choose their names: whatever goes into a header is stripped of control characters first, and of
encoded words (RFC 2047): Python's `email` refuses a line end in a header, but decodes "=?utf-8?q?=0D=0A?="
when the header is set and writes the line end out (seen with 3.11.7): a header of the caller's choice.
What is written here is made of plain strings without that package: the same input, the same bytes.
"""

import base64
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.utils import format_datetime, parseaddr
from hashlib import sha256

from voicemail.errors import VoicemailError
from voicemail.vpim.model import Person

LONGEST_NAME = 100
"""Characters of a caller's name that are shown."""
WIDTH = 76
"""Characters of a header line after which it is folded where it can be (RFC 5322 section 2.1.1)."""

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LOCAL = re.compile(rf'{ATOM}(?:\.{ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')
LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*|\[[0-9A-Fa-f.:IPv]{{2,60}}\]")
TAG = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,6}")
MESSAGE_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,200}@[A-Za-z0-9.:_\[\]-]{1,200}")


class NoAddress(VoicemailError):
    """A mail address that cannot be written to."""


def clean(text: str, longest: int = LONGEST_NAME) -> str:
    """Text that callers or users chose, fit for one line of a header or of a mail: no control, format
    or line-separating characters, no surrogates, single blanks, nothing that could be an encoded word, at
    most `longest` characters."""
    shown = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text).replace("=?", "= ?")
    return " ".join(shown.split())[:longest].rstrip()


def address(text: str, name: str = "") -> Address:
    """For Python's EmailMessage. Raises NoAddress."""
    shown, plain = parseaddr(text) if not name else ("", text)
    if plain != clean(plain) or "@" not in plain:
        raise NoAddress(f"not a mail address: {text!r}")
    try:
        return Address(clean(name or shown), addr_spec=plain)
    except (HeaderParseError, ValueError, IndexError) as error:
        raise NoAddress(f"not a mail address: {text!r}: {error}") from None


# ---- written


def addr_spec(text: str) -> str:
    """An address (RFC 5321, ASCII) as it may stand between angle brackets. Raises NoAddress."""
    local, at, domain = text.rpartition("@")
    fits = len(local) <= 64 and len(domain) <= 255
    if not at or not fits or "=?" in text or not LOCAL.fullmatch(local) or not DOMAIN.fullmatch(domain):
        raise NoAddress(f"not a mail address: {text[:200]!r}")
    return text


def domain_of(text: str) -> str:
    """The domain of an address. Raises NoAddress."""
    return addr_spec(text).rpartition("@")[2]


def mailbox(person: Person) -> str:
    """`"Name" <address>`: a quoted name, or encoded words where ASCII cannot say it. Raises NoAddress."""
    name, spec = clean(person.name), addr_spec(person.address)
    if not name:
        return f"<{spec}>"
    return f"{_quoted(name) if name.isascii() else ' '.join(_words(name))} <{spec}>"


def text(value: str, longest: int = 200) -> str:
    """Free text, for Subject and the like."""
    shown = clean(value, longest)
    return shown if shown.isascii() else " ".join(_words(shown))


def date(when: datetime) -> str:
    """RFC 5322 with a numeric zone; a time without a zone is taken as UTC."""
    offset = when.utcoffset()
    if offset is None:
        when = when.replace(tzinfo=UTC)
    elif offset.total_seconds() % 60:
        when = when.astimezone(UTC)
    return format_datetime(when)


def language(tag: str) -> str:
    """A language tag (RFC 5646), "" when it is none."""
    return tag if TAG.fullmatch(tag) else ""


def message_id(plain: str) -> str:
    """The Message-ID without brackets, "" when it is none that could be written."""
    return plain if MESSAGE_ID.fullmatch(plain) and "=?" not in plain else ""


def mark(item_id: str) -> str:
    """An outbox item's id, fit for a boundary and a Message-ID."""
    if re.fullmatch(r"[A-Za-z0-9-]{1,50}", item_id):
        return item_id
    return sha256(item_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def field(name: str, value: str) -> str:
    """One header field with its line end, folded at blanks. `value` comes from the functions above or is
    a constant: a line end in it is a fault of ours."""
    if "\r" in value or "\n" in value or not value.isascii():
        raise ValueError(f"not fit for a header field: {name}: {value!r}")
    lines, line = [], f"{name}:"
    for word in value.split(" "):
        if word and len(line) + 1 + len(word) > WIDTH and line != f"{name}:":
            lines.append(line)
            line = ""
        line = f"{line} {word}"
    return "\r\n".join([*lines, line]) + "\r\n"


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _words(value: str) -> Iterator[str]:
    """Encoded words (RFC 2047) of at most 75 characters, none of which splits a character."""
    for chunk in _chunks(value, 45):
        yield f"=?utf-8?B?{base64.b64encode(chunk).decode()}?="


def _chunks(value: str, longest: int) -> Iterator[bytes]:
    chunk = b""
    for character in value:
        octets = character.encode()
        if len(chunk) + len(octets) > longest:
            yield chunk
            chunk = b""
        chunk += octets
    if chunk:
        yield chunk


# ---- read

WORD = re.compile(r"=\?([A-Za-z0-9._:+-]{1,40})(?:\*[A-Za-z0-9-]{1,20})?\?([QqBb])\?([^?\s]{0,1000})\?=")
BETWEEN = re.compile(r"(\?=)[ \t]{1,20}(?==\?)")
TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"?|[^"(),:;<>\\]+|.', re.DOTALL)
MOST_ADDRESSES = 1000


def decoded(value: str, longest: int = 200) -> str:
    """Free text of a header as a person reads it: encoded words decoded, then cleaned."""
    return clean(WORD.sub(_word, BETWEEN.sub(r"\1", value)), longest)


def _word(match: re.Match[str]) -> str:
    charset, kind, coded = match.groups()
    try:
        if kind in "Bb":
            octets = base64.b64decode(coded + "=" * (-len(coded) % 4))
        else:
            octets = _unquoted(coded.replace("_", " "))
        return octets.decode(charset, "replace")
    except (LookupError, ValueError):
        return coded


def _unquoted(coded: str) -> bytes:
    octets = coded.encode("latin-1", "replace")
    return re.sub(rb"=([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), octets)


def people(value: str) -> tuple[Person, ...]:
    """Everybody whom an address header names: groups opened, comments left out, at most 1,000; whatever
    is no address is left out. Linear in time, flat in depth, whatever is in it."""
    found: list[Person] = []
    for words, inside in _entries(value):
        spec = (inside if inside is not None else "".join(words)).strip()
        spec = clean(spec, 330).replace(" ", "") if '"' not in spec else clean(spec, 330)
        if "@" not in spec[1:-1] or len(found) == MOST_ADDRESSES:
            continue
        shown = "" if inside is None else " ".join(_unquote(word) for word in words)
        found.append(Person(spec, decoded(shown, LONGEST_NAME)))
    return tuple(found)


def _entries(value: str) -> Iterator[tuple[list[str], str | None]]:
    """The words before the brackets, and what is in them (None: there are none), of each address."""
    words: list[str] = []
    inside: str | None = None
    open_bracket, depth = False, 0
    for token in _tokens(value):
        if token in "()":
            depth = max(0, depth + (1 if token == "(" else -1))
        elif depth:
            continue
        elif token == "<":
            open_bracket, inside = True, ""
        elif token == ">":
            open_bracket = False
        elif token in ",;" and not open_bracket:
            yield words, inside
            words, inside = [], None
        elif token == ":" and not open_bracket:
            words = []
        elif open_bracket:
            inside = (inside or "") + token if token != ":" else ""
        elif token.strip():
            words.append(token.strip())
    yield words, inside


def _tokens(value: str) -> Iterable[str]:
    return (found[0] for found in TOKENS.finditer(value))


def _unquote(word: str) -> str:
    if not word.startswith('"'):
        return word
    return re.sub(r"\\(.)", r"\1", word[1:-1] if word.endswith('"') and len(word) > 1 else word[1:])
