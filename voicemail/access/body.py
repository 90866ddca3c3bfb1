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
_ALONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class Body:
    """Feed it line by line; `fault` is the answer that refuses the mail, "" while it is good."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._in_header = True
        self.size = 0
        self.hops = 0
        self.fault = ""

    def line(self, line: bytes) -> bytes:
        """A line with its end; what to keep of it. The end of the mail is not for here."""
        self.size += len(line)
        if self.size > self._largest:
            self._refuse(f"552 5.3.4 the mail is larger than {self._largest} bytes")
        if len(line) > LONGEST_LINE:
            self._refuse("554 5.6.0 a line is too long")
        if _ALONE.search(line) and self.fault[:3] != "552":
            self.fault = "550 5.5.2 a CR or LF stands alone in the mail: lines end with both"
        if self._in_header:
            self._header(line)
        return line[1:] if line.startswith(b".") else line

    def too_long(self, length: int) -> None:
        """Part of a line that is longer than anybody may send was thrown away."""
        self.size += length
        self._refuse("554 5.6.0 a line is too long")

    def _header(self, line: bytes) -> None:
        if line == CRLF:
            self._in_header = False
        elif line[:9].lower() == b"received:":
            self.hops += 1
            if self.hops > MOST_HOPS:
                self._refuse("554 5.4.6 the mail goes round in circles: too many Received lines")

    def _refuse(self, answer: str) -> None:
        self.fault = self.fault or answer
