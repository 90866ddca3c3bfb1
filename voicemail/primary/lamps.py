"""Message lamps, pure: what is sent to light one. Where they are, places.py knows.

A PBX gets an unsolicited NOTIFY (RFC 3842 section 3.5) with the request URI and the headers its trunk
is configured with. Phones SUBSCRIBE at either node's edge; each edge gets a PUBLISH (RFC 3903) and tells
them. Both leave through this node's own edge, so that they come from an address the others know.
"""

from dataclasses import dataclass
from urllib.parse import quote

from sip.mwi import BODIES, CONTENT_TYPE, EVENT, Summary, build
from sip.requests import Request
from store.model import Counts
from voicemail.config import Trunk

EXPIRES = 3600
"""Seconds a publication lives; it is repeated in half that time."""

USER_UNRESERVED = "&=+$,;?/-_.!~*'()"
"""What may stand in the user part of a SIP URI as it is (RFC 3261 section 25.1)."""

SILENT = frozenset({408, 477, 478, 500, 503, 504})
"""Answers which say that nobody is there: a time-out, or an edge that could not send (477, 478)."""

BAD_EVENT = 489
"""Whoever answers so has no lamps at all, as our edge without a presence server (RFC 6665 section 8.2)."""


@dataclass(frozen=True, slots=True)
class Senders:
    """Who we are: `edge` is this node's own, "host:port"; `identity` goes into From."""

    edge: str
    identity: str

    @property
    def route(self) -> str:
        return f"sip:{self.edge};lr"


def trunk_lane(trunk: Trunk) -> str:
    return f"trunk {trunk.name}"


def trunk_name(lane: str) -> str:
    """ "" when it is no trunk's."""
    return lane.removeprefix("trunk ") if lane.startswith("trunk ") else ""


def edge_lane(edge: str) -> str:
    return f"edge {edge}"


def filled(template: str, extension: str) -> str:
    """A template of the configuration. Nothing of an extension can end the header it is put into."""
    return template.replace("{extension}", "".join(c for c in extension if c.isprintable()))


def filled_uri(template: str, extension: str) -> str:
    return template.replace("{extension}", quote(extension, safe=USER_UNRESERVED))


def notify(trunk: Trunk, extension: str, counts: Counts, we: Senders) -> Request:
    """The NOTIFY that shows `counts` on a PBX. A header of the trunk replaces ours of the same name."""
    own = {"Event": EVENT, "Subscription-State": "active", "Contact": f"<sip:{we.edge}>"}
    theirs = {name: filled(value, extension) for name, value in trunk.lamp_headers.items()}
    kept = {k: v for k, v in own.items() if k.lower() not in {name.lower() for name in theirs}}
    account = filled_uri(trunk.lamp_body_account, extension)
    return Request(
        method="NOTIFY",
        target=filled_uri(trunk.lamp_uri, extension),
        headers=tuple({**kept, **theirs}.items()),
        content_type=CONTENT_TYPE,
        body=build(_summary(counts, account), BODIES[trunk.lamp_body]),
        route=we.route,
        identity=we.identity,
    )


def publish(edge: str, extension: str, counts: Counts, etag: str, we: Senders) -> Request:
    """The PUBLISH that tells an edge. `etag` names the publication it replaces, "" begins a new one."""
    uri = filled_uri(f"sip:{{extension}}@{edge}", extension)
    match = (("SIP-If-Match", etag),) if etag else ()
    return Request(
        method="PUBLISH",
        target=uri,
        headers=(("Event", EVENT), ("Expires", str(EXPIRES)), *match),
        content_type=CONTENT_TYPE,
        body=build(_summary(counts, uri)),
        route="" if edge == we.edge else we.route,
        identity=we.identity,
    )


def _summary(counts: Counts, account: str) -> Summary:
    return Summary(counts.new, counts.old, counts.new_urgent, counts.old_urgent, account)
