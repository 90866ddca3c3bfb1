"""One SIP worker: an engine in the main thread, one handler's coroutine per call beside it."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any, NoReturn

import structlog

from sip.board import Board, State, started_now
from sip.call import CallsOut, Handler, HungUp, Session, Talk, Transferred
from sip.endpoint import Engine
from sip.enginecall import EngineCall
from sip.errors import EngineError
from sip.hosting import run_engine
from sip.line import Line
from sip.outgoing import OutCall
from sip.parse import parse_invite, parse_uri
from sip.pjcall import PjCall
from sip.settings import PoolSettings
from sip.transfer import Out, way_out

log = structlog.get_logger()

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two tries to open a session."""
SPARED = 2
"""Ports that stay free for callers when we call somebody."""
LAST_WORDS = 2.0
"""Seconds that handlers have after their calls were ended by us, to put recordings away."""


def run_worker(settings: PoolSettings, session: Session, slot: int, board: Board) -> NoReturn:
    """Become the worker of a slot, in the main thread of a fresh process."""
    worker = Worker(settings, session, slot, board)
    run_engine(settings.engine_of(slot), worker.serve, worker.drain, worker.end_calls)


def pauses() -> Iterator[float]:
    """How long to wait before the next try."""
    doublings = itertools.chain(range(10), itertools.repeat(10))
    return (min(FIRST_PAUSE * 2**times, LONGEST_PAUSE) for times in doublings)


class Worker:
    """The asyncio side of a worker."""

    def __init__(self, settings: PoolSettings, session: Session, slot: int, board: Board) -> None:
        self.settings, self.session, self.board = settings, session, board
        self.state = started_now(slot, settings.engine.max_calls)
        self.calls: dict[int, Line] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.handler: Handler | None = None
        self.calls_out = 0
        self.draining, self.at_once = asyncio.Event(), asyncio.Event()

    async def serve(self, engine: Engine) -> None:
        """From start to SIGTERM or SIGUSR1."""
        self.engine, self.loop = engine, asyncio.get_running_loop()
        engine.listener = self.heard
        engine.polled = lambda now: self.board.beat(self.state.slot, now)
        self.show()
        async with AsyncExitStack() as stack:
            self.handler = await self.opened(stack)
            if self.handler:
                if isinstance(self.handler, CallsOut):
                    self.handler.may_dial(self.call_out)
                self.show(state=State.READY)
                await self.draining.wait()
            self.show(state=State.DRAINING)
            await self.finish()

    async def opened(self, stack: AsyncExitStack) -> Handler | None:
        """The session, tried until it opens; None when we are to end before that."""
        slot = self.state.slot
        for pause in pauses():
            try:
                return await stack.enter_async_context(self.session(slot))
            except Exception as error:
                log.warning("session does not open", slot=slot, why=repr(error), again_in=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.draining.wait(), pause)
            if self.draining.is_set():
                return None
        raise AssertionError("pauses() is endless")

    def drain(self) -> None:
        """Take no more calls; end when those in progress have ended."""
        self.draining.set()

    def end_calls(self) -> None:
        """Take no more calls, end those in progress, and end."""
        self.at_once.set()
        self.draining.set()

    async def finish(self) -> None:
        await self.wait_for_calls()
        if self.calls:
            log.info("ending calls in progress", calls=len(self.calls))
        for call in list(self.calls.values()):
            await call.cut()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=LAST_WORDS)

    async def wait_for_calls(self) -> None:
        """Until the last has ended, or for as long as settings and operator allow."""
        if not self.tasks or self.at_once.is_set():
            return
        log.info("waiting for calls to end", calls=len(self.tasks), at_most=self.settings.drain)
        told = self.loop.create_task(self.at_once.wait())
        ends = self.loop.time() + self.settings.drain
        while self.tasks and not told.done() and (left := ends - self.loop.time()) > 0:
            await asyncio.wait({*self.tasks, told}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()

    def show(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        self.board.write(self.state)

    # ---- calls

    def heard(self, number: int, event: str, value: Any) -> None:
        """Every event of the engine."""
        if event == "call":
            self.incoming(number, value)
        elif call := self.calls.get(number):
            call.heard(event, value)
            if event == "ended":
                del self.calls[number]
                self.show(busy=len(self.calls))

    def incoming(self, number: int, text: str) -> None:
        """A new call gets a task of its own. Without a session it is refused, and the edge goes on
        to the next worker."""
        invite = parse_invite(text)
        home = parse_uri(self.engine.identity).host
        out = way_out(text, invite.trunk, home, self.dial)
        call = PjCall(self.engine, number, invite, self.settings.prompts, out)
        call.keep_rtp = call.invite.trunk in self.settings.keep_rtp_trunks
        self.calls[number] = call
        self.show(busy=len(self.calls), total=self.state.total + 1)
        serving = self.handler and not self.draining.is_set()
        task = self.loop.create_task(self.run(call, self.handler if serving else refuse))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def call_out(self, target: str, seconds: float, talk: Talk, *, trunk: bool) -> Transferred:
        """A `sip.call.Dial`. Callers come first: there is one such call at a time, and ports stay free."""
        most = max(1, self.settings.engine.max_calls - SPARED)
        if self.draining.is_set() or len(self.calls) >= most or self.calls_out:
            raise EngineError("no port to spare")
        task = asyncio.current_task()
        assert task
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self.calls_out += 1
        try:
            return await self.rung(target, seconds, talk, trunk)
        finally:
            self.calls_out -= 1

    async def rung(self, target: str, seconds: float, talk: Talk, trunk: bool) -> Transferred:
        home = parse_uri(self.engine.identity).host
        to = parse_uri(target)
        out = Out(to.host if trunk else home, trunk, self.dial, "", home)
        call = OutCall(self.engine, to.user, self.settings.prompts, out)
        await self.dial(call, target, "")
        log.info("call made", to=to.user, trunk=trunk)
        try:
            done = await call.answered(seconds)
            log.info("call made ends" if done is not Transferred.DONE else "call is answered", code=call.code)
            if done is Transferred.DONE:
                await talk(call)
            return done
        finally:
            await asyncio.shield(call.hang_up())

    async def dial(self, leg: Line, target: str, caller: str) -> None:
        """A call for a caller of ours. It takes one of our ports: EngineError when there is none."""

        def dialled(engine: Engine) -> None:
            rings = (("X-VM-Ring", "trunk" if leg.trunk else "1"),)
            leg.number = engine.dial(target, rings, caller, self.settings.engine.edge)
            self.calls[leg.number] = leg  # here, in the main thread: its first events are on their way

        await self.engine.submit(dialled)
        self.show(busy=len(self.calls))

    async def run(self, call: PjCall, handler: Handler | None) -> None:
        """One call from INVITE to BYE. Whatever its handler does, the worker lives on."""
        structlog.contextvars.bind_contextvars(call_id=call.invite.call_id, slot=self.state.slot)
        log.info(
            "call",
            dialled=call.invite.dialled,
            caller=call.invite.caller,
            identified=call.invite.identified,
            source=call.invite.source,
        )
        try:
            await (handler or refuse)(call)
        except HungUp:
            log.info("caller hung up")
        except Exception:
            log.exception("a call failed")
        finally:
            await self.put_away(call)

    async def put_away(self, call: PjCall) -> None:
        """End the call however far it got: a BYE, or a refusal before it was answered."""
        if not call.ended:
            with suppress(HungUp, EngineError):
                await self.engine.command(EngineCall.end, call.number)
        log.info("call is over")


async def refuse(call: Any) -> None:
    """The answer of a worker that cannot serve."""
    await call.reject(503, "Service Unavailable")
