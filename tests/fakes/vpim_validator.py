"""A foreign voice-mail system that is strict: it says everything in which a mail breaks RFC 3801.

Written from the RFC's tables (and 2045, 2046, 3803, 5322) without any of our code and without Python's
`email`, so that an error of ours cannot hide in both. Raw bytes in, violations out; none means that the
mail is as the RFC wants it.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from datetime import datetime

VOICES = (
    "voice-message",
    "voice-message-notification",
    "originator-spoken-name",
    "recipient-spoken-name",
    "spoken-subject",
)
ORDER = ("originator-spoken-name", "recipient-spoken-name", "spoken-subject", "voice-message")
KNOWN_ENCODINGS = ("7bit", "8bit", "binary", "base64", "quoted-printable")
ONCE = (
    "date", "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references",
    "subject", "mime-version", "content-type", "content-transfer-encoding", "content-disposition",
    "content-duration", "content-id", "content-description", "importance", "sensitivity",
    "disposition-notification-to", "message-context", "content-language",
)  # fmt: skip
DATE = re.compile(
    r"(?:(Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?(\d{1,2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"(\d{4}) (\d\d):(\d\d):(\d\d) ([+-]\d\d[0-5]\d)"
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
ADDRESS = re.compile(
    rf'<(?:{ATOM}(?:\.{ATOM})*|"(?:[^"\\\x00-\x1f]|\\.)*")@(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[^\]\s]+\])>'
)
QUOTED = r'"(?:[^"\\]|\\["\\])+"'
WORD = r"=\?[A-Za-z0-9-]+\?[BbQq]\?[^? ]+\?="
NAME = re.compile(rf"(?:{QUOTED}|{WORD}(?: {WORD})*) ")


@dataclass
class Piece:
    """A mail or a part of one, as it stands."""

    where: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    def one(self, name: str) -> str:
        return (self.all(name) or [""])[0]

    def main(self, name: str) -> str:
        return self.one(name).partition(";")[0].strip().lower()

    def parameters(self, name: str) -> dict[str, str]:
        pairs = re.findall(r';\s*([A-Za-z0-9-]+)=("[^"]*"|[^;\s"]+)', self.one(name))
        return {key.lower(): value.strip('"') for key, value in pairs}


def violations(raw: bytes) -> list[str]:
    """Everything in which this mail breaks the profile, each as "where: what"."""
    found = list(_lines(raw))
    mail = _piece(raw, "mail", found)
    _fields_once(mail, found)
    _top(mail, found)
    _level(mail, found, depth=0)
    return found


# ---- lines and fields


def _lines(raw: bytes):
    if re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        yield "mail: a line end that is not CRLF"
    if b"\0" in raw:
        yield "mail: a NUL"
    if not raw.isascii():
        yield "mail: 8-bit characters without BINARYMIME or 8BITMIME"
    if not raw.endswith(b"\r\n"):
        yield "mail: its last line has no end"
    for line in raw.split(b"\r\n"):
        if len(line) > 998:
            yield f"mail: a line of {len(line)} characters"


def _piece(raw: bytes, where: str, found: list[str]) -> Piece:
    head, blank, body = (b"", b"", raw[2:]) if raw.startswith(b"\r\n") else raw.partition(b"\r\n\r\n")
    if not blank and not raw.startswith(b"\r\n"):
        found.append(f"{where}: no blank line after the header")
    piece = Piece(where, body=body)
    for line in head.decode("latin-1").split("\r\n") if head else []:
        match = re.fullmatch(r"([!-9;-~]+): ?(.*)", line, re.DOTALL)
        if line[:1] in (" ", "\t"):
            if not piece.fields or not line.strip():
                found.append(f"{where}: a folded line that continues nothing")
            else:
                name, value = piece.fields[-1]
                piece.fields[-1] = (name, value + " " + line.strip())
        elif not match:
            found.append(f"{where}: not a header field: {line[:40]!r}")
        else:
            piece.fields.append((match[1], match[2].strip()))
    return piece


def _fields_once(piece: Piece, found: list[str]) -> None:
    for name in ONCE:
        if len(piece.all(name)) > 1:
            found.append(f"{piece.where}: {name} more than once")


# ---- the mail's own header (RFC 3801 section 4.2)


def _top(mail: Piece, found: list[str]) -> None:
    for name in ("from", "date", "message-id", "mime-version", "content-type"):
        if not mail.all(name):
            found.append(f"{mail.where}: no {name}")
    if mail.all("return-path"):
        found.append(f"{mail.where}: Return-Path is for the last host to add")
    if mail.all("reply-to"):
        found.append(f"{mail.where}: Reply-To should not be sent")
    if mail.all("bcc"):
        found.append(f"{mail.where}: Bcc must not be sent")
    for name in ("to", "cc", "disposition-notification-to"):
        for value in mail.all(name):
            _addresses(mail, name, value, found)
    _from_and_date(mail, found)
    if mail.all("message-id") and not re.fullmatch(r"<[^<>@\s]+@[^<>@\s]+>", mail.one("message-id")):
        found.append(f"{mail.where}: Message-ID {mail.one('message-id')!r}")
    _words(mail, "sensitivity", ("private",), found)
    _words(mail, "importance", ("high", "normal", "low"), found)
    _words(mail, "message-context", ("voice-message",), found)
    if not mail.one("subject").strip():
        found.append(f"{mail.where}: no Subject, not even a general one")


def _from_and_date(mail: Piece, found: list[str]) -> None:
    if mail.all("from"):
        _addresses(mail, "from", mail.one("from"), found, named=True)
        if len(ADDRESS.findall(re.sub(QUOTED, "", mail.one("from")))) != 1:
            found.append(f"{mail.where}: From must be one address")
    if mail.all("date"):
        _date(mail, found)


def _addresses(mail: Piece, name: str, value: str, found: list[str], named: bool = False) -> None:
    """A list of `"Name" <address>` or `<address>`, read from left to right without a gap."""
    rest = value
    while True:
        match = NAME.match(rest)
        if named and not match:
            found.append(f"{mail.where}: {name} without a quoted name")
            return
        rest = rest[match.end() :] if match else rest
        match = ADDRESS.match(rest)
        if not match:
            found.append(f"{mail.where}: {name} is no list of addresses: {rest[:40]!r}")
            return
        rest = rest[match.end() :]
        if not rest:
            return
        if not rest.startswith(", "):
            found.append(f"{mail.where}: {name}: {rest[:40]!r} after an address")
            return
        rest = rest[2:]


def _date(mail: Piece, found: list[str]) -> None:
    match = DATE.fullmatch(mail.one("date"))
    if not match:
        found.append(f"{mail.where}: Date {mail.one('date')!r} is not in the form of RFC 5322 with a zone")
        return
    try:
        day = datetime(
            int(match[4]), MONTHS.index(match[3]) + 1, int(match[2]), *map(int, match.group(5, 6, 7))
        )
    except ValueError:
        found.append(f"{mail.where}: Date {mail.one('date')!r} does not exist")
        return
    if match[1] and day.strftime("%a") != match[1]:
        found.append(f"{mail.where}: Date: that was no {match[1]}")


def _words(piece: Piece, name: str, allowed: tuple[str, ...], found: list[str]) -> None:
    if piece.all(name) and piece.one(name).lower() not in allowed:
        found.append(f"{piece.where}: {name} {piece.one(name)!r}")


# ---- one level (section 4.4)


def _level(piece: Piece, found: list[str], depth: int) -> None:
    where = piece.where
    if piece.main("content-type") != "multipart/voice-message":
        found.append(f"{where}: {piece.main('content-type')} instead of Multipart/Voice-Message")
        return
    if not re.match(r"1\.0\b", piece.one("mime-version")):
        found.append(f"{where}: MIME-Version {piece.one('mime-version')!r}")
    elif "(voice 2.0)" not in piece.one("mime-version").lower():
        found.append(f"{where}: MIME-Version does not say (Voice 2.0)")
    if piece.parameters("content-type").get("version") != "2.0":
        found.append(f"{where}: no Version=2.0")
    if piece.main("content-transfer-encoding") not in ("", "7bit", "8bit", "binary"):
        found.append(f"{where}: a multipart that is encoded")
    parts = _parts(piece, found)
    for part in parts:
        _fields_once(part, found)
        _part(part, found, depth)
    _order(piece, parts, found)


def _parts(piece: Piece, found: list[str]) -> list[Piece]:
    boundary = piece.parameters("content-type").get("boundary", "")
    if not re.fullmatch(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", boundary):
        found.append(f"{piece.where}: boundary {boundary!r}")
        return []
    body = b"\r\n" + piece.body
    mark = b"\r\n--" + boundary.encode()
    inside, closed, _ = body.partition(mark + b"--\r\n")
    if not closed:
        found.append(f"{piece.where}: its last boundary is missing")
    preamble, *texts = inside.split(mark)
    if preamble.strip():
        found.append(f"{piece.where}: text before the first part")
    if not texts:
        found.append(f"{piece.where}: no parts")
    parts = []
    for number, text in enumerate(texts, 1):
        if not text.startswith(b"\r\n"):
            found.append(f"{piece.where}: something after a boundary")
        parts.append(_piece(text[2:], f"{piece.where}.{number}", found))
    return parts


def _part(part: Piece, found: list[str], depth: int) -> None:
    media = part.main("content-type")
    encoding = part.main("content-transfer-encoding")
    if encoding not in ("", *KNOWN_ENCODINGS):
        found.append(f"{part.where}: Content-Transfer-Encoding {encoding}")
    if media.startswith("audio/"):
        _sound(part, media, found)
    elif media == "message/rfc822":
        _forwarded(part, found, depth)
    elif media == "text/directory":
        _vcard(part, found)
    elif media != "image/tiff":
        found.append(f"{part.where}: {media or 'text/plain'} is not allowed in a voice message")


def _forwarded(part: Piece, found: list[str], depth: int) -> None:
    if part.main("content-transfer-encoding") not in ("", "7bit", "8bit", "binary"):
        found.append(f"{part.where}: a message/rfc822 that is encoded")
    if depth >= 9:
        found.append(f"{part.where}: too deep")
        return
    mail = _piece(part.body, f"{part.where}>mail", found)
    _fields_once(mail, found)
    for name in ("from", "date", "mime-version"):
        if not mail.all(name):
            found.append(f"{mail.where}: no {name}")
    if mail.all("from"):
        _addresses(mail, "from", mail.one("from"), found)
    if mail.all("date"):
        _date(mail, found)
    _level(mail, found, depth + 1)


def _vcard(part: Piece, found: list[str]) -> None:
    data = _content(part, found)
    lines = re.sub(rb"\r\n[ \t]", b"", data).split(b"\r\n")
    if lines[0].upper() != b"BEGIN:VCARD" or b"END:VCARD" not in lines:
        found.append(f"{part.where}: not a vCard")
        return
    names = {line.partition(b":")[0].partition(b";")[0].upper() for line in lines}
    for wanted in (b"VERSION", b"FN", b"N"):
        if wanted not in names:
            found.append(f"{part.where}: a vCard without {wanted.decode()}")


def _sound(part: Piece, media: str, found: list[str]) -> None:
    if part.main("content-transfer-encoding") not in ("base64", "binary"):
        found.append(f"{part.where}: sound that is not in base64")
    if part.main("content-disposition") != "inline":
        found.append(f"{part.where}: Content-Disposition {part.main('content-disposition')!r}, not inline")
    parameters = part.parameters("content-disposition")
    if parameters.get("voice", "").lower() not in VOICES:
        found.append(f"{part.where}: voice={parameters.get('voice')!r}")
    if re.search(r"[/\\\x00-\x1f]", parameters.get("filename", "")):
        found.append(f"{part.where}: a file name with a path")
    tag = part.one("content-language")
    if tag and not re.fullmatch(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*", tag):
        found.append(f"{part.where}: Content-Language {tag!r}")
    _duration(part, media, found)


def _duration(part: Piece, media: str, found: list[str]) -> None:
    """RFC 3803: whole seconds, and those of the sound."""
    data = _content(part, found)
    if not data:
        found.append(f"{part.where}: no sound")
    duration = part.one("content-duration")
    if part.all("content-duration") and not re.fullmatch(r"[0-9]{1,10}", duration):
        found.append(f"{part.where}: Content-Duration {duration!r} is not whole seconds")
    elif duration and media in RATES and abs(len(data) / RATES[media] - int(duration)) > 1:
        found.append(f"{part.where}: {len(data) / RATES[media]:.1f} s of sound, Content-Duration {duration}")
    elif not duration and part.parameters("content-disposition").get("voice", "").lower() == "voice-message":
        found.append(f"{part.where}: no Content-Duration")


RATES = {"audio/32kadpcm": 4000, "audio/basic": 8000}
"""Bytes of a second."""


def _content(part: Piece, found: list[str]) -> bytes:
    if part.main("content-transfer-encoding") != "base64":
        return part.body
    lines = part.body.split(b"\r\n")
    if any(len(line) > 76 for line in lines):
        found.append(f"{part.where}: a line of base64 with more than 76 characters")
    joined = b"".join(lines)
    try:
        return base64.b64decode(joined, validate=True)
    except binascii.Error:
        found.append(f"{part.where}: not base64")
        return b""


def _order(level: Piece, parts: list[Piece], found: list[str]) -> None:
    """One of each kind, names before the message, the message before what is forwarded."""
    voices = [part.parameters("content-disposition").get("voice", "").lower() for part in parts]
    for voice in VOICES:
        if voices.count(voice) > 1:
            found.append(f"{level.where}: {voice} more than once")
    order = [ORDER.index(voice) for voice in voices if voice in ORDER]
    if order != sorted(order):
        found.append(f"{level.where}: parts are not in playing order")
    forwarded = [n for n, part in enumerate(parts) if part.main("content-type") == "message/rfc822"]
    spoken = [n for n, voice in enumerate(voices) if voice in ORDER]
    if forwarded and spoken and forwarded[0] < spoken[-1]:
        found.append(f"{level.where}: what is forwarded comes before the sender's own words")
    if not forwarded and "voice-message" not in voices:
        found.append(f"{level.where}: no message in it")
