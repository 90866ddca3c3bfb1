"""A mail's lines as they arrive after DATA (RFC 5321 section 4.1.1.4, 4.5.2): what is wrong with them. Pure.

A line ends with CR LF, and only `CR LF . CR LF` ends the mail. A CR or a LF that stands alone is what
one server takes for the end of a line and another does not: whoever sends `LF . LF` hopes that we take the
mail to end there, and what follows as commands, believed as if his relay had sent them (SMTP smuggling).
So such a mail is read to its true end and refused whole.
"""

import re

CRLF = b"\r\n"
END = b".\r\n"
LONGEST_LINE = 16384
"""Bytes; RFC 5321 asks for 998, and some senders do not care."""
MOST_HOPS = 10
_HOP = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)


class Body:
    """Feed it what arrives; `fault` is the answer that refuses the mail, "" while it is good. Whole portions
    are looked at, not line after line: a mail of short lines would stop everybody else for seconds."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._in_header = True
        self._pending = b""
        """What has no end of line yet."""
        self._mid_line = False
        """`_pending` is the end of a line whose beginning was thrown away."""
        self.size = 0
        self.hops = 0
        self.fault = ""
        self.rest: bytes | None = None
        """What came behind the end of the mail; None before that."""

    def feed(self, data: bytes) -> bytes:
        """What to keep of it: whole lines, without the dots that the client put in front."""
        data = self._pending + data
        lines, self._pending = self._cut(data)
        if len(self._pending) > LONGEST_LINE:
            self.size += len(self._pending) - 1
            self._pending, self._mid_line = self._pending[-1:], True
            self._refuse("554 5.6.0 a line is too long")
        if not lines:
            return b""
        kept = lines if self._mid_line or not lines.startswith(b".") else lines[1:]
        self._judge(lines)
        self._mid_line = False
        return kept.replace(b"\r\n.", CRLF)

    def _cut(self, data: bytes) -> tuple[bytes, bytes]:
        """Whole lines of the mail, and what has no end yet. Sets `rest` at the end of the mail."""
        if data.startswith(END) and not self._mid_line:
            self.rest = data[len(END) :]
            return b"", b""
        end = data.find(CRLF + END)
        if end >= 0:
            self.rest = data[end + len(CRLF + END) :]
            return data[: end + len(CRLF)], b""
        last = data.rfind(CRLF) + len(CRLF)
        return (data[:last], data[last:]) if last >= len(CRLF) else (b"", data)

    def _judge(self, lines: bytes) -> None:
        self.size += len(lines)
        if self.size > self._largest:
            self._refuse(f"552 5.3.4 the mail is larger than {self._largest} bytes")
        if _has_long_line(lines):
            self._refuse("554 5.6.0 a line is too long")
        if _stands_alone(lines) and self.fault[:3] != "552":
            self.fault = "550 5.5.2 a CR or LF stands alone in the mail: lines end with both"
        if self._in_header:
            self._header(lines)

    def _header(self, lines: bytes) -> None:
        blank = 0 if lines.startswith(CRLF) else lines.find(CRLF + CRLF)
        self._in_header = blank < 0
        self.hops += len(_HOP.findall(lines if blank < 0 else lines[: blank + len(CRLF)]))
        if self.hops > MOST_HOPS:
            self._refuse("554 5.4.6 the mail goes round in circles: too many Received lines")

    def _refuse(self, answer: str) -> None:
        self.fault = self.fault or answer


def _stands_alone(lines: bytes) -> bool:
    """Whether a CR or a LF is without the other. Counted: looking at each with a regular expression took a
    second of CPU for 100 MB."""
    return not lines.count(b"\r") == lines.count(b"\n") == lines.count(CRLF)


def _has_long_line(lines: bytes) -> bool:
    """Leaps from line end to line end, as far as a line may reach."""
    start = 0
    while len(lines) - start >= LONGEST_LINE:
        end = lines.rfind(b"\n", start, start + LONGEST_LINE)
        if end < 0:
            return True
        start = end + 1
    return False
