"""Putting a caller through: by REFER to the side the call came from, or by a second leg of our own.

A leg of our own is joined with the caller in this worker as soon as it is answered, so that both hear one
another at once. Then the caller's PBX is asked to take both over (REFER with Replaces, RFC 3891); when it
cannot, or there is none, the two stay joined here until one of them hangs up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import structlog

from sip.call import HungUp, Transferred
from sip.enginecall import EngineCall
from sip.errors import BadMessage, EngineError
from sip.line import Line
from sip.parse import Message, name_addrs, parse_message

log = structlog.get_logger()

REFER_PATIENCE = 20.0
"""Seconds until the caller's side must have said how the transfer went."""
LOOK = 120.0
"""Seconds between two looks whether anybody still sends audio to two joined calls."""
HANDED_OVER = 2.0
"""Seconds that a joined call may take to end by itself after the caller's side has taken over."""
ASKING = 60.0
"""Seconds that somebody who has answered may think about taking a call."""
KEPT = ("transport", "alias")
BUSY, NO_ANSWER = (486, 600), (408, 480, 487)

Ring = Callable[[Callable[[], Any], float], Awaitable[Any]]
"""Waits for something, for so many seconds, while the caller hears ringing."""
Asks = Callable[[], Awaitable[bool]] | None
"""Asks whoever has answered whether the caller is wanted; None asks nothing. Raises HungUp."""


Dial = Callable[[Line, str, str], Awaitable[None]]
"""Calls a URI for a leg; the second text is the From. Raises EngineError when this worker is full."""


async def _cannot(_leg: Line, _target: str, _caller: str) -> None:
    raise EngineError("this worker makes no calls")


@dataclass(frozen=True, slots=True)
class Out:
    """How one caller may be put through."""

    host: str = ""
    """Where the numbers that we put callers through to are: the PBX that this call came from, as it calls
    itself in its Contact, or our own domain, for a caller that came over no trunk."""
    trunk: bool = False
    """Whether the caller's side can be asked to call others."""
    dial: Dial = _cannot
    connection: str = ""
    """URI parameters by which the edge reaches the caller's side the way it came (TCP, NAT)."""
    home: str = ""
    """Our own domain, where phones have registered."""

    def target(self, number: str) -> str:
        """The number there, as the caller's side understands it."""
        return f"sip:{quote(number, safe='+*')}@{self.host}"

    def leg(self, number: str) -> str:
        """The number there, as the edge reaches it."""
        return self.target(number) + self.connection

    def phones(self) -> "Out":
        """The way to registered phones only."""
        return replace(self, host=self.home, trunk=False, connection="")


def side_of(message: Message) -> tuple[str, str]:
    """Host and port of the Contact of an INVITE, else of its From, and the parameters of a connection;
    ("", "") when there is neither."""
    for header in ("contact", "from"):
        for entry in name_addrs(message, header):
            if entry.uri.host:
                kept = (f";{name}={value}" for name, value in entry.uri.parameters.items() if name in KEPT)
                return entry.uri.host, "".join(kept)
    return "", ""


def way_out(text: str, trunk: str, home: str, dial: Dial) -> Out:
    """For the caller whose INVITE this is; `home` is our own domain."""
    host = connection = ""
    if trunk:
        with suppress(BadMessage):
            host, connection = side_of(parse_message(text))
    return Out(host or home, bool(host), dial, connection, home)


def outcome(code: int) -> Transferred:
    """What a final status says to a caller."""
    if 200 <= code < 300:
        return Transferred.DONE
    if code in BUSY:
        return Transferred.BUSY
    return Transferred.NO_ANSWER if code in NO_ANSWER else Transferred.REFUSED


async def refer(call: Line, target: str, ring: Ring) -> Transferred:
    """Have the caller's side call `target`. A caller who has gone meanwhile has been put through, as far as
    anybody can tell."""
    call.referred = 0
    try:
        await call.command(EngineCall.refer, target)
        code = await ring(lambda: call.referred, REFER_PATIENCE)
    except EngineError as error:
        log.warning("transfer cannot be asked for", why=str(error))
        return Transferred.REFUSED
    except HungUp:
        return Transferred.DONE
    log.info("transfer", to=target, code=code or "no answer")
    done = outcome(code) if code else Transferred.REFUSED
    if done is Transferred.DONE:
        await call.hang_up()
    return done


async def connect(
    call: Line, leg: Line, out: Out, target: str, caller: str, ring: Ring, seconds: float, asks: Asks
) -> Transferred:
    """Call `target` for up to `seconds` on `leg`, which was not dialled yet, and join the caller with whom
    answers and, when asked, wants that. Raises HungUp while it rings, and while somebody is asked."""
    try:
        await out.dial(leg, target, caller)
    except EngineError as error:
        log.warning("no call can be made for a caller", why=str(error))
        return Transferred.REFUSED
    try:
        await ring(lambda: leg.ended or leg.talks, seconds)
        if not leg.talks:
            log.info("not put through", to=target, code=leg.code or "no answer")
            return outcome(leg.code) if leg.code >= 300 else Transferred.NO_ANSWER
        if asks and not await _wanted(leg, asks, ring):
            log.info("not put through: who answered did not take the call", to=target)
            return Transferred.DECLINED
        log.info("put through", to=target)
        with suppress(HungUp):
            await _joined(call, leg, out.trunk)
        await call.hang_up()
        return Transferred.DONE
    finally:
        await leg.hang_up()


async def _wanted(leg: Line, asks: Callable[[], Awaitable[bool]], ring: Ring) -> bool:
    """Whether who has answered wants the caller, who hears ringing meanwhile. Raises HungUp when the caller
    has gone."""

    async def asked() -> bool:
        try:
            return await asks()
        except HungUp:
            return False
        except EngineError as error:
            log.warning("who answered cannot be asked", why=str(error))
            return False

    asking = asyncio.ensure_future(asked())
    asking.add_done_callback(lambda _: leg.news.set())
    try:
        await ring(asking.done, ASKING)
        return asking.done() and asking.result() and leg.talks
    finally:
        asking.cancel()
        await asyncio.wait([asking])


async def _joined(call: Line, leg: Line, hand_over: bool) -> None:
    """Both talk, until either has gone or the caller's side has taken both over. Raises HungUp."""
    call.referred = 0
    await call.command(EngineCall.bridge, leg.number)
    if hand_over:
        with suppress(EngineError):
            await call.command(EngineCall.refer_to_leg, leg.number)
    call.keys.clear()
    leg.keys.clear()
    try:
        log.info("joined calls end", why=await _talk(call, leg))
    except HungUp:
        if hand_over and not call.referred:  # the PBX may have gone while it takes over the other side
            await leg.until(lambda: False, HANDED_OVER)
        raise


async def _talk(call: Line, leg: Line) -> str:
    """Keys are passed on, as the mixer carries voices only. Says why it is over. Raises HungUp."""

    def over() -> bool:
        return leg.ended or 200 <= call.referred < 300

    clock = asyncio.get_running_loop().time
    packets, due = (-1, -1), clock() + LOOK
    while not over():
        await call.until(lambda: over() or call.keys or leg.keys, due - clock())
        await _pass_keys(call, leg)
        await _pass_keys(leg, call)
        if clock() >= due:
            before, packets, due = packets, await _received(call, leg), clock() + LOOK
            if packets == before:
                return "nobody sends audio"
    return "the other side has gone" if leg.ended else "taken over"


async def _pass_keys(one: Line, other: Line) -> None:
    while key := one.keys.take():
        with suppress(EngineError):  # that side may take no keys
            await other.command(EngineCall.dial, key)


async def _received(call: Line, leg: Line) -> tuple[int, int]:
    """RTP packets that came from both so far. Raises HungUp, also when the leg has gone."""
    one, two = await asyncio.gather(call.command(EngineCall.received), leg.command(EngineCall.received))
    return int(one), int(two)
