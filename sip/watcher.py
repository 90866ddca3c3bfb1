"""A telephone's lamp: subscribes to a message summary (RFC 3842) and collects the NOTIFYs.

pjsua2 subscribes only for an account that has registered, and there is no registrar here; this is all
that a subscription needs. For tours, tests and checks: it does not renew the subscription.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress

from sip.errors import BadMessage, RequestFailed
from sip.mwi import CONTENT_TYPE, EVENT
from sip.parse import Message, parse_message, parse_uri

EXPIRES = 3600
TRIES, PATIENCE = 4, 0.5
"""How often the SUBSCRIBE is sent, and seconds between two of them."""
NO_DIALOG = "481 Call/Transaction Does Not Exist"
COPIED = ("via", "from", "to", "call-id", "cseq")
"""Headers that an answer takes from its request (RFC 3261 section 8.2.6.2)."""


def answer_to(request: Message, status: str = "200 OK") -> str:
    """To a request in a dialog."""
    copied = [(name, value) for wanted in COPIED for name, value in _all(request, wanted)]
    return _text(f"SIP/2.0 {status}", [*copied, ("Content-Length", "0")])


def subscribe(account: str, route: str, contact: str, call_id: str, branch: str) -> str:
    """A SUBSCRIBE to the message summary of `account`, by way of `route` unless that is empty."""
    headers = [
        ("Via", f"SIP/2.0/UDP {contact};branch=z9hG4bK{branch};rport"),
        *([("Route", f"<{route}>")] if route else []),
        ("Max-Forwards", "70"),
        ("From", f"<{account}>;tag={call_id[:8]}"),
        ("To", f"<{account}>"),
        ("Call-ID", call_id),
        ("CSeq", "1 SUBSCRIBE"),
        ("Contact", f"<sip:{parse_uri(account).user}@{contact}>"),
        ("Event", EVENT),
        ("Accept", CONTENT_TYPE),
        ("Expires", str(EXPIRES)),
        ("Content-Length", "0"),
    ]
    return _text(f"SUBSCRIBE {account} SIP/2.0", headers)


def next_hop(account: str, route: str) -> tuple[str, int]:
    """Where the request goes: the route, or the host of the account."""
    host, _, port = parse_uri(route or account).host.rpartition(":")
    return (host, int(port)) if host else (port, 5060)


def _all(message: Message, wanted: str) -> list[tuple[str, str]]:
    return [(wanted.title(), value) for value in message.all(wanted)]


def _text(start: str, headers: list[tuple[str, str]]) -> str:
    return "\r\n".join([start, *(f"{name}: {value}" for name, value in headers), "", ""])


class Watcher(asyncio.DatagramProtocol):
    """One subscription with a socket of its own; `notified` is called for each NOTIFY."""

    def __init__(self, notified: Callable[[Message], None]) -> None:
        self._notified = notified
        self._call_id, self._last = secrets.token_hex(12), 0
        self._answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def subscribe(self, account: str, route: str = "", address: str = "127.0.0.1") -> None:
        """Raises RequestFailed, BadMessage (no SIP URI)."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(address, 0))
        contact = "{}:{}".format(*self._transport.get_extra_info("sockname")[:2])
        text = subscribe(account, route, contact, self._call_id, secrets.token_hex(8))
        for _ in range(TRIES):
            self._transport.sendto(text.encode(), next_hop(account, route))
            with suppress(TimeoutError):
                code = await asyncio.wait_for(asyncio.shield(self._answer), PATIENCE)
                break
        else:
            code = 408
        if not 200 <= code < 300:
            raise RequestFailed("SUBSCRIBE", account, code)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        try:
            message = parse_message(data.decode("utf-8", "surrogateescape"))
        except BadMessage:
            return
        if message.code >= 200 and not self._answer.done():
            self._answer.set_result(message.code)
        elif message.method == "NOTIFY":
            ours = message.first("call-id") == self._call_id  # not that of whoever had this port before
            answer = answer_to(message) if ours else answer_to(message, NO_DIALOG)
            self._transport.sendto(answer.encode("utf-8", "surrogateescape"), address)
            if ours:
                self._take(message)

    def _take(self, message: Message) -> None:
        """A NOTIFY that was repeated because our answer was lost counts once, and one that is older than the
        last one not at all (RFC 3261 section 12.2.2)."""
        number = message.first("cseq").split(" ")[0]
        if number.isdecimal() and int(number) > self._last:
            self._last = int(number)
            self._notified(message)

    def close(self) -> None:
        self._transport.close()
