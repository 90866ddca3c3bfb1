"""Message summaries (RFC 3842): the body of a NOTIFY or PUBLISH that lights a lamp. Pure."""

import re
from dataclasses import dataclass

from sip.errors import BadMessage

CONTENT_TYPE = "application/simple-message-summary"
EVENT = "message-summary"
COUNTS = re.compile(r"(\d+)\s*/\s*(\d+)(?:\s*\(\s*(\d+)\s*/\s*(\d+)\s*\))?")


@dataclass(frozen=True, slots=True)
class Summary:
    """A mailbox in figures. `account` is the URI of its message account, "" to leave it out."""

    new: int = 0
    old: int = 0
    new_urgent: int = 0
    old_urgent: int = 0
    account: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """How a body is written."""

    urgent: bool = True
    """With the counts of urgent messages, "(1/0)", at which some systems stumble."""
    end: str = "\r\n"
    """Of a line. RFC 3842 wants CRLF."""


BODIES = {
    "full": Body(),
    "counts": Body(urgent=False),
    "full-lf": Body(end="\n"),
    "counts-lf": Body(urgent=False, end="\n"),
}
"""The variants there are, by name."""


def build(summary: Summary, how: Body = BODIES["full"]) -> str:
    """The body. The Voice-Message line is always there: without it PBXs put the lamp out."""
    lines = [f"Messages-Waiting: {'yes' if summary.new else 'no'}"]
    if summary.account:
        lines.append(f"Message-Account: {summary.account}")
    urgent = f" ({summary.new_urgent}/{summary.old_urgent})" if how.urgent else ""
    lines.append(f"Voice-Message: {summary.new}/{summary.old}{urgent}")
    return "".join(line + how.end for line in lines)


def parse(body: str) -> Summary:
    """Reads a body, with CRLF or LF. "yes" without counts is read as one new message. Raises
    BadMessage where even Messages-Waiting is missing (an empty body says nothing of the lamp)."""
    pairs = (line.partition(":") for line in body.splitlines())
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    waiting = fields.get("messages-waiting", "").lower()
    if waiting not in ("yes", "no"):
        raise BadMessage("message summary without Messages-Waiting")
    account = fields.get("message-account", "")
    counts = COUNTS.match(fields.get("voice-message", ""))
    if not counts:
        return Summary(new=int(waiting == "yes"), account=account)
    new, old, new_urgent, old_urgent = (int(figure or 0) for figure in counts.groups())
    return Summary(new, old, new_urgent, old_urgent, account)
