"""Transfer encodings of MIME undone (RFC 2045 section 6), portion after portion.

A mail is tens of megabytes at worst, and its reader must do with little more than what comes out of it. So a
mail may be a file that is mapped: what was gone through is given back to the system at once.
"""

import binascii
from collections.abc import Callable, Iterator
from io import BytesIO
from mmap import MADV_DONTNEED, mmap

from voicemail.vpim.model import Unreadable

Source = bytes | mmap
"""Where a mail is. Slices of both are bytes."""
PORTION = 256 * 1024
"""Bytes that are looked at at once."""
PLAIN = ("", "7bit", "8bit", "binary")
"""Encodings that change nothing."""
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
NOT_BASE64 = bytes(set(range(256)) - set(BASE64))


def content(source: Source, start: int, end: int, encoding: str, most: int | None = None) -> bytes:
    """What source[start:end] says, its first `most` bytes. Raises Unreadable for an encoding that we do not
    know."""
    out = BytesIO()
    for portion in _ways(encoding)(source, start, end):
        out.write(portion)
        forget(source)
        if most is not None and out.tell() >= most:
            out.truncate(most)
            break
    return out.getvalue()


def find(source: Source, mark: bytes, start: int, end: int) -> int:
    """As bytes.find: that of a mapped file compares letter by letter, which a mail made for it turns into
    seconds."""
    if isinstance(source, bytes):
        return source.find(mark, start, end)
    for at in range(start, end, PORTION):
        found = source[at : min(end, at + PORTION + len(mark) - 1)].find(mark)
        if found >= 0:
            return at + found
        forget(source)
    return -1


def forget(source: Source) -> None:
    """What was read of a file counts as our memory until it is given back; it is read again when needed."""
    if isinstance(source, mmap):
        source.madvise(MADV_DONTNEED)


def _ways(encoding: str) -> Callable[[Source, int, int], Iterator[bytes]]:
    if encoding in PLAIN:
        return _plain
    ways = {"base64": _base64, "quoted-printable": _quoted}
    if encoding not in ways:
        raise Unreadable(f"transfer encoding {encoding[:30]!r} is not supported", "5.6.1")
    return ways[encoding]


def _plain(source: Source, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, PORTION):
        yield source[at : min(end, at + PORTION)]


def _base64(source: Source, start: int, end: int) -> Iterator[bytes]:
    """Whatever of it is base64: line ends, blanks and padding anywhere, a last letter too many."""
    left = b""
    for portion in _plain(source, start, end):
        letters = left + portion.translate(None, NOT_BASE64)
        whole = len(letters) // 4 * 4
        left = letters[whole:]
        yield binascii.a2b_base64(letters[:whole])
    if len(left) > 1:
        yield binascii.a2b_base64(left + b"=" * (4 - len(left)))


def _quoted(source: Source, start: int, end: int) -> Iterator[bytes]:
    """Cut at line ends, else before a `=`, since a code must stay whole."""
    left = b""
    for portion in _plain(source, start, end):
        text = left + portion
        cut = text.rfind(b"\n") + 1 or text.rfind(b"=", -PORTION // 2)
        cut = cut if cut > 0 else len(text)
        left = text[cut:]
        yield binascii.a2b_qp(text[:cut])
    yield binascii.a2b_qp(left)
