"""SIPp as an independent caller of one edge: it has no other edge to try, and knows nothing of faults.

Its PBX forwards each call from a number of its own to a mailbox, waits for the tone as long as it takes
when all is well, speaks, and hangs up. It cannot recognise a tone, so what the node says goes to an ear of
ours (the port in the SDP); it does the rest itself, and its own log tells how each call ended.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from tests.acceptance.callers import SPEECH, Ears, Outcome
from tests.bench.callers import Caller, Crowd, Seen
from tests.chaos import net
from tests.chaos.nodes import NetNode
from tests.fakes.sip import Where

LISTEN = 1.8
"""Seconds from the answer to the first word."""
SWITCH = 0.25
"""Seconds of speech until the node takes packets from a port that the SDP did not name: ten, at most."""
EARS = 250
"""Of each SIPp; each call takes the next, so that one is free again after minutes."""
CALLS = 5000
"""Of a trial, at most."""
AT_ONCE = 16
PATIENCE = 10_000
"""Milliseconds without an answer after which SIPp gives a call up."""
LAST = 25.0
"""Seconds for the calls in progress to end."""
OPTIONS = ("-recv_timeout", str(PATIENCE), "-deadcall_wait", "0", "-watchdog_interval", "0")


class Ear(Ears):
    """Hears the tones of one call after the other; never speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.tones: list[float] = []
        """Seconds since 1970."""

    def datagram_received(self, data: bytes, where: Where) -> None:
        super().datagram_received(data, where)
        if self.tone.is_set():
            self.tones.append(time.time())
            self.tone.clear()
            self.in_a_row = 0


class Sipp:
    """Makes calls while its `calling` is entered, until `stop`; then there are `outcomes`."""

    def __init__(self, folder: Path, node: NetNode, pilot: str, rate: float) -> None:
        self.folder, self.node, self.pilot, self.rate = folder, node, pilot, rate
        self.ears: list[Ear] = []

    @asynccontextmanager
    async def calling(self, mailboxes: Sequence[str], speech: bytes) -> AsyncIterator[None]:
        """`speech` is mu-law. Raises OSError when there is no SIPp."""
        async with AsyncExitStack() as stack:
            loop = asyncio.get_running_loop()
            for _ in range(EARS):
                transport, ear = await loop.create_datagram_endpoint(Ear, local_addr=(net.CALLERS, 0))
                stack.callback(transport.close)
                self.ears.append(ear)
            self.crowd = self._crowd(mailboxes)
            self.crowd.write(LISTEN, speech)
            self.process = await self.crowd.start()
            stack.push_async_callback(self._end)
            yield

    def _crowd(self, mailboxes: Sequence[str]) -> Crowd:
        number = self.node.number
        people = callers(number, mailboxes, [ear.port for ear in self.ears])
        return Crowd(
            self.folder, self.node.edge, self.pilot, 6000 + number, 10000 * number, people,
            AT_ONCE, self.rate, net.CALLERS, OPTIONS,
        )  # fmt: skip

    async def stop(self) -> str:
        """No new calls; those in progress end. Gives what is wrong with it."""
        if self.process.returncode is not None:
            return f"SIPp at vm{self.node.number} ended by itself: {self.process.returncode}"
        self.process.send_signal(signal.SIGUSR1)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), LAST)
        await self._end()
        return ""

    async def _end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def outcomes(self, clock: float) -> list[Outcome]:
        """Of the calls that were made, in order; `clock` is 1970's second in which monotonic time began."""
        calls = self.crowd.seen()
        return outcomes(calls, [ear.tones for ear in self.ears], self.node.where, clock)


def callers(node: int, mailboxes: Sequence[str], ports: Sequence[int]) -> tuple[Caller, ...]:
    """Each with a number of its own, one mailbox and one port after the other. The edges are half a round
    of mailboxes apart, so that two calls of the same moment do not end in the same mailbox."""
    ahead = node * (len(mailboxes) // 2)
    return tuple(
        Caller(f"{node}{n:05}", mailboxes[(n + ahead) % len(mailboxes)], ports[n % len(ports)])
        for n in range(CALLS)
    )


def outcomes(
    calls: Mapping[str, Seen], tones: Sequence[Sequence[float]], edge: Where, clock: float
) -> list[Outcome]:
    """`calls` by key, in order; `tones` that each ear heard, as the calls' times in seconds since 1970.
    The outcomes are in monotonic time, which is later by `clock`."""
    made = enumerate(calls.items())
    return [
        outcome(f"caller{key}", call, tones[n % len(tones)], edge, clock)
        for n, (key, call) in made
        if call.invite
    ]


def outcome(number: str, call: Seen, tones: Sequence[float], edge: Where, clock: float) -> Outcome:
    """Confirmed: the tone came during the call, and its BYE was answered with 200."""
    found = Outcome(number, "refused", call.refused or "no answer", began=call.invite - clock, media=edge)
    if not call.answered:
        return found
    found.answered = call.answered - call.invite
    tone = next((at for at in tones if call.answered <= at <= call.bye), None)
    if tone is None:
        found.end, found.why = "cut", "no tone"
        return found
    found.to_tone = tone - call.answered
    said = call.answered + LISTEN
    ends = min(said + SPEECH, call.bye)
    found.spoke = min(max(said + SWITCH, tone), ends) - clock, ends - clock
    found.end, found.why = ("confirmed", "BYE: 200") if call.ended else ("cut", "BYE not answered with 200")
    return found
