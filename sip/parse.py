"""Reads SIP text: messages, name-addr values, URIs (RFC 3261 sections 7.3 and 25). Pure.

Written for what peers really send rather than for the grammar: whatever can be understood is, and one
damaged header is left out instead of spoiling the rest. The edge has refused true nonsense already.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from sip.errors import BadMessage
from sip.invite import Invite

COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "e": "content-encoding", "f": "from",
    "i": "call-id", "k": "supported", "l": "content-length", "m": "contact", "o": "event",
    "r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via",
}  # fmt: skip
LONGEST = 128
"""Characters kept of a name or number."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
FOLD = re.compile(r"\r?\n[ \t]+")
REQUEST = re.compile(r"([A-Z]+) +(\S+) +SIP/2\.0$")
STATUS = re.compile(r"SIP/2\.0 +(\d{3})( .*)?$")
PARAMETER = re.compile(r';\s*([^\s;=<>"]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^;]*))?')
QUOTED = re.compile(r'\s*"((?:[^"\\]|\\.)*)"')
URI = re.compile(r"\s*(sips?|tel):(?:([^@]*)@)?(.*)$", re.IGNORECASE | re.DOTALL)
VISUAL = str.maketrans("", "", "-.() ")


@dataclass(frozen=True, slots=True)
class Message:
    """A request (`method` and `uri`) or an answer (`code`)."""

    method: str = ""
    uri: str = ""
    code: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def all(self, name: str) -> Iterator[str]:
        """Every value of a header; header names are compared in their long form, in lower case."""
        wanted = name.lower()
        return (value for key, value in self.headers if COMPACT.get(key.lower(), key.lower()) == wanted)

    def first(self, name: str) -> str:
        """The first value, "" when there is none."""
        return next(self.all(name), "")


@dataclass(frozen=True, slots=True)
class Uri:
    """`user` is percent-decoded and without its parameters (";phone-context" and the like); parameter
    values and headers are percent-decoded, their names in lower case."""

    scheme: str = ""
    user: str = ""
    host: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """`"Display" <uri>;parameter=value`, or the bare URI form."""

    name: str
    uri: Uri
    parameters: dict[str, str]


def clean(text: str) -> str:
    """Fit for a database and a log: Latin-1 where it is no UTF-8, no control characters, bounded."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return CONTROL.sub("", text).strip()[:LONGEST]


def parse_message(text: str) -> Message:
    """Raises BadMessage when the first line is neither a request's nor an answer's."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *lines = FOLD.sub(" ", head).split("\n")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon)
    if request := REQUEST.match(first.strip()):
        return Message(request[1], request[2], 0, headers, body)
    if status := STATUS.match(first.strip()):
        return Message("", "", int(status[1]), headers, body)
    raise BadMessage("neither a SIP request nor an answer")


def split_list(value: str) -> Iterator[str]:
    """The parts of a comma-separated header; commas in quotes and angle brackets belong to a part."""
    start, quoted, angle, position = 0, False, False, 0
    while position < len(value):
        character = value[position]
        if quoted and character == "\\":
            position += 1
        elif character == '"' and not angle:
            quoted = not quoted
        elif not quoted and character in "<>":
            angle = character == "<"
        elif character == "," and not quoted and not angle:
            yield value[start:position]
            start = position + 1
        position += 1
    yield value[start:]


def parse_parameters(text: str) -> dict[str, str]:
    """`;a=b;c="d"`, values without their quotes; the first of equal names counts."""
    found: dict[str, str] = {}
    for name, value in PARAMETER.findall(text):
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found.setdefault(name.lower(), value)
    return found


def parse_uri(text: str) -> Uri:
    """Raises BadMessage for what is no sip, sips or tel URI."""
    match = URI.match(text)
    if not match:
        raise BadMessage("not a SIP or tel URI")
    scheme, rest = match[1].lower(), match[3].strip()
    place, _, query = rest.partition("?")
    host, semicolon, parameters = place.partition(";")
    decoded = {key: unquote(value) for key, value in parse_parameters(semicolon + parameters).items()}
    headers: dict[str, str] = {}
    for name, value in _query(query):  # two of one name are one list, as in a message
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if scheme == "tel":
        return Uri(scheme, clean(unquote(host).translate(VISUAL)), "", decoded, headers)
    user = (match[2] or "").partition(";")[0].partition(":")[0]
    return Uri(scheme, clean(unquote(user)), clean(host), decoded, headers)


def _query(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, text.split("&")):
        name, _, value = part.partition("=")
        yield unquote(name).lower(), unquote(value)


def parse_name_addr(text: str) -> NameAddr:
    """Raises BadMessage when there is no URI in it."""
    quoted = QUOTED.match(text)
    name = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    rest = text[quoted.end() :] if quoted else text
    before, bracket, inside = rest.partition("<")
    if not bracket:
        uri, semicolon, parameters = rest.partition(";")
        return NameAddr(clean(name), parse_uri(uri), parse_parameters(semicolon + parameters))
    uri, closing, parameters = inside.partition(">")
    if not closing or "<" in uri:
        raise BadMessage("a bracket that is never closed")
    return NameAddr(clean(name or before), parse_uri(uri), parse_parameters(parameters))


def name_addrs(message: Message, header: str) -> Iterator[NameAddr]:
    """All values of a header that can be read, in their order; the others are left out."""
    for value in message.all(header):
        for part in split_list(value):
            try:
                yield parse_name_addr(part)
            except BadMessage:
                continue


def parse_invite(text: str) -> Invite:
    """The raw INVITE, as routing needs it. Never raises: from junk comes an Invite with empty fields."""
    from sip.diversion import told  # it is written in terms of this file

    try:
        message = parse_message(text)
    except BadMessage:
        return Invite("", "", "")
    caller = next(name_addrs(message, "from"), NameAddr("", Uri(), {}))
    hidden = (
        caller.uri.user.lower() in ("anonymous", "unknown") or caller.uri.host.lower() == "anonymous.invalid"
    )
    said = told(message)
    asserted = (entry.uri.user for entry in name_addrs(message, "p-asserted-identity"))
    return Invite(
        call_id=clean(message.first("call-id")),
        dialled=dialled(message),
        caller="" if hidden else caller.uri.user,
        caller_name="" if hidden else caller.name,
        redirections=said[0][1] if said else (),
        asserted=next(filter(None, asserted), ""),
        source=clean(message.first("x-vm-source")),
        trunk=clean(message.first("x-vm-trunk")),
        identified=clean(message.first("x-vm-identified")),
        told=said,
    )


def dialled(message: Message) -> str:
    """The number of the request-URI; of To where that has none."""
    try:
        user = parse_uri(message.uri).user
    except BadMessage:
        user = ""
    return user or next((entry.uri.user for entry in name_addrs(message, "to")), "")
