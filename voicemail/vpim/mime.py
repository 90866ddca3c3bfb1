"""A mail taken apart (RFC 2045, 2046, 2231), within limits, whatever is in it.

Python's `email` builds an object for each part and a string for each line before anybody can look at the
first: 10,000 nested parts cost it its stack, 34 MB of short lines 505 MB and 3 s (3.11.7). Here nothing is
copied but headers until a part's body is asked for; depth, parts, headers and near misses of a boundary
are counted while going, and the first that is too many ends it. What is merely broken (no closing
boundary, lines that are no headers, bare line feeds, wrong charsets) is read as far as it makes sense.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from voicemail.vpim.model import Unreadable
from voicemail.vpim.transfer import PLAIN, Source, content, find


@dataclass(frozen=True, slots=True)
class Limits:
    """What a mail may cost before it is refused."""

    size: int = 35_000_000
    """Bytes of the whole mail."""
    depth: int = 10
    """Of parts within parts."""
    parts: int = 100
    seconds: float = 1800.0
    """Of sound in all parts together."""
    headers: int = 2000
    """Header fields in all parts together."""
    header_bytes: int = 512 * 1024
    """In all parts together."""


MOST_MISSES = 10_000
"""Lines that begin as a boundary and are none, before the mail is taken for an attack."""
LONGEST_PARAMETERS = 4096
"""Characters of a header that has parameters; the rest is not looked at."""
TYPE = re.compile(r"\s*([A-Za-z0-9!#$&^_.+-]{1,100})/([A-Za-z0-9!#$&^_.+-]{1,100})")
PARAMETER = re.compile(r';\s{0,20}([^\s=;"]{1,60})\s{0,20}=\s{0,20}("(?:[^"\\]|\\.)*"|[^;"]*)')
ENDS = re.compile(rb"(--)?[ \t]{0,100}(\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class Part:
    """A mail or a part of one. `body` is bytes[start:end] of `source`, decoded when it is asked for."""

    headers: tuple[tuple[str, str], ...]
    """Names in lower case, unfolded values, in their order."""
    source: Source = field(repr=False)
    start: int
    end: int
    media: str = "text/plain"
    """In lower case."""
    parts: "tuple[Part, ...]" = ()
    """Of a multipart: its parts; of a message/rfc822: the one mail."""

    def header(self, name: str) -> str:
        """The first header of this name (in lower case), "" without one."""
        return next((value for key, value in self.headers if key == name), "")

    def parameter(self, header: str, name: str) -> str:
        return parameters(self.header(header)).get(name, "")

    @property
    def filename(self) -> str:
        return self.parameter("content-disposition", "filename") or self.parameter("content-type", "name")

    @property
    def encoding(self) -> str:
        """Of the body, in lower case."""
        return self.header("content-transfer-encoding").partition(";")[0].strip().lower()

    def content(self, most: int | None = None) -> bytes:
        """The body without its transfer encoding, its first `most` bytes. Raises Unreadable for one that we
        do not know."""
        return content(self.source, self.start, self.end, self.encoding, most)

    def walk(self) -> "Iterator[Part]":
        yield self
        for part in self.parts:
            yield from part.walk()


def parsed(raw: Source, limits: Limits) -> Part:
    """Raises Unreadable: 5.3.4 too big, 5.6.0 too many parts, too deep, too much header."""
    if len(raw) > limits.size:
        raise Unreadable(f"larger than {limits.size} bytes", "5.3.4")
    return _Parser(limits).part(raw, 0, len(raw), 0, "text/plain")


def head(raw: Source, limits: Limits = Limits()) -> Part:
    """Only the header of a mail; its body may be anything. Raises Unreadable: 5.6.0 too much header."""
    return _Parser(limits).part(raw, 0, len(raw), 0, "text/plain", whole=False)


def automatic(mail: Part) -> bool:
    """Whether a program sent it by itself: never to be answered by one (RFC 3834)."""
    submitted = mail.header("auto-submitted").partition(";")[0].strip().lower()
    bulk = mail.header("precedence").strip().lower() in ("bulk", "junk", "list", "auto_reply")
    return submitted not in ("", "no") or bulk or mail.media == "multipart/report"


def parameters(value: str) -> dict[str, str]:
    """Parameters of Content-Type or Content-Disposition, names in lower case; those that RFC 2231 cut to
    pieces or encoded as well. Of two with one name the first counts."""
    whole: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, str, bool]]] = {}
    for name, found in PARAMETER.findall(value[:LONGEST_PARAMETERS]):
        text = re.sub(r"\\(.)", r"\1", found[1:-1]) if found.startswith('"') else found.strip()
        key, star, number = name.lower().partition("*")
        if not star:
            whole.setdefault(key, text)
        else:
            count, coded = number.removesuffix("*"), name.endswith("*")
            pieces.setdefault(key, []).append((int(count) if count.isdecimal() else 0, text, coded))
    return {key: _joined(them) for key, them in pieces.items()} | whole


def _joined(pieces: list[tuple[int, str, bool]]) -> str:
    charset, octets = "utf-8", b""
    for number, text, coded in sorted(pieces):
        if coded and number == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        octets += unquote_to_bytes(text) if coded else text.encode("utf-8", "replace")
    try:
        return octets.decode(charset, "replace")
    except (LookupError, ValueError):
        return octets.decode("utf-8", "replace")


class _Parser:
    """Goes through one mail and counts."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.parts = self.headers = self.header_bytes = self.misses = self.unwrapped = 0

    def part(
        self, source: Source, start: int, end: int, depth: int, default: str, whole: bool = True
    ) -> Part:
        self.parts += 1
        if depth > self.limits.depth or self.parts > self.limits.parts:
            raise Unreadable(f"more than {self.limits.depth} levels or {self.limits.parts} parts")
        headers, body = self._headers(source, start, end)
        value = next((text for name, text in headers if name == "content-type"), "")
        match = TYPE.match(value)
        media = f"{match[1]}/{match[2]}".lower() if match else default
        part = Part(headers, source, body, end, media)
        inner = tuple(self._inner(part, value, depth + 1)) if whole else ()
        return Part(headers, source, body, end, media, inner) if inner else part

    def _inner(self, part: Part, value: str, depth: int) -> Iterator[Part]:
        if part.media.startswith("multipart/"):
            default = "message/rfc822" if part.media == "multipart/digest" else "text/plain"
            boundary = parameters(value).get("boundary", "")
            for start, end in self._between(part, boundary):
                yield self.part(part.source, start, end, depth, default)
        elif part.media in ("message/rfc822", "message/global"):
            source, start, end = self._unwrapped(part)
            yield self.part(source, start, end, depth, "text/plain")

    def _unwrapped(self, part: Part) -> tuple[Source, int, int]:
        """Where the mail in a message/rfc822 is. One that is encoded is kept decoded as long as the whole
        mail, so all of these together are bounded."""
        if part.encoding in PLAIN:
            return part.source, part.start, part.end
        decoded = part.content(self.limits.size - self.unwrapped + 1)
        self.unwrapped += len(decoded)
        if self.unwrapped > self.limits.size:
            raise Unreadable(f"mails within it are larger than {self.limits.size} bytes", "5.3.4")
        return decoded, 0, len(decoded)

    def _between(self, part: Part, boundary: str) -> Iterator[tuple[int, int]]:
        """Where the parts of a multipart begin and end."""
        if not 0 < len(boundary) <= 200:
            raise Unreadable(f"{part.media} without a boundary")
        began: int | None = None
        for line, after, last in self._delimiters(part, b"--" + boundary.encode("utf-8", "replace")):
            if began is not None:
                yield began, max(began, line)
            began = after
            if last:
                return
        if began is not None:
            yield began, part.end

    def _delimiters(self, part: Part, mark: bytes) -> Iterator[tuple[int, int, bool]]:
        """For each delimiter line: where the line end before it is, where the text after it begins, and
        whether it is the last."""
        source, at = part.source, part.start
        while (at := find(source, mark, at, part.end)) >= 0:
            ends = ENDS.match(source, at + len(mark), part.end)
            if ends and (at == part.start or source[at - 1 : at] == b"\n"):
                line = at - (2 if source[max(0, at - 2) : at] == b"\r\n" else 1)
                yield max(line, part.start), ends.end(), ends[1] is not None
                at = ends.end()
                continue
            self.misses += 1
            if self.misses > MOST_MISSES:
                raise Unreadable("too many lines that look like a boundary")
            at += len(mark)

    def _headers(self, source: Source, start: int, end: int) -> tuple[tuple[tuple[str, str], ...], int]:
        """The header fields, and where the body begins."""
        found: list[tuple[str, list[str]]] = []
        at = start
        while at < end:
            line, after = self._line(source, at, end)
            at = after
            if not line:
                break
            if line[0] in " \t":
                if found:
                    found[-1][1].append(line.strip(" \t"))
                continue
            name, colon, value = line.partition(":")
            if colon and " " not in name.rstrip():
                self.headers += 1
                found.append((name.rstrip().lower(), [value.strip(" \t")]))
            if self.headers > self.limits.headers:
                raise Unreadable(f"more than {self.limits.headers} header fields")
        return tuple((name, " ".join(pieces).strip()) for name, pieces in found), at

    def _line(self, source: Source, at: int, end: int) -> tuple[str, int]:
        """A line of the header without its end, and where the next one begins."""
        left = self.limits.header_bytes - self.header_bytes
        stop = source.find(b"\n", at, min(end, at + left + 1))
        if stop < 0 and end - at > left:
            raise Unreadable(f"more than {self.limits.header_bytes} bytes of header")
        after = end if stop < 0 else stop + 1
        self.header_bytes += after - at
        line = source[at:after].rstrip(b"\r\n")
        try:
            return line.decode("utf-8"), after
        except UnicodeDecodeError:
            return line.decode("latin-1"), after
