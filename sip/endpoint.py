"""The engine: all of pjsua2 in the main thread, everything else in an asyncio thread.

pjsua2 aborts the process when a thread it does not know touches its objects, even when the garbage
collector does so on that thread's behalf. Hence the shape of this file:

* The main thread makes every pjsua2 object, calls every method and drops every last reference.
* The asyncio thread sends commands: it appends one to a deque, then sends CRLF to our own SIP port.
  The datagram ends the poll at once; up to 32 bytes are dropped unparsed. Append first, ring second,
  drain after each poll: no command is lost.
* Events go back by `call_soon_threadsafe`. Only numbers and text cross over, never an object of
  pjsua2 and never an exception raised by it (its traceback holds frames that hold objects).
* Automatic garbage collection is off; the main thread collects every 10 s.

Callbacks run here: incoming call, call state, media state in the main thread; digits on a media
thread; the end of a file on a media event thread. They only report.

Guards, each against a crash that was seen:

* a call that ended is told nothing more, and its object lives on while another call has its place in
  the library: either would end that other call;
* a stopped player lives on for KEEP seconds, as its end event may be under way (SIGSEGV);
* every call's port is connected to the null device at once: ports of calls that ended unconnected
  are never removed from the conference and the worker answers 488 for ever;
* `info = call.getInfo()` is kept in a name while `info.media` is read (freed memory);
* a command that raises must not end the loop, which would cost all calls;
* the process ends by `_exit`: destroying the library with a request pending aborts;
* a sound shorter than a packet aborts in the player: see `sip.wav.plain`, which callers must ask.
"""

import asyncio
import collections
import ctypes
import gc
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pjsua2 as pj
import structlog

from sip.ear import Ears
from sip.enginecall import EngineCall, Headers, with_headers
from sip.errors import EngineError
from sip.requests import Request
from sip.settings import EngineSettings, Login
from sip.watch import Watch

KEEP = 0.3
"""Seconds a stopped player lives on."""
JITTER = 80
"""Milliseconds of audio collected before the first frame is taken. Packets may be some 40 ms late before
a recording has a hole; as much is lost at the end when a caller hangs up in the middle of a word."""
DISCARD_NOTHING = 0
"""PJMEDIA_JB_DISCARD_NONE of pjmedia/jbuf.h."""
COLLECT_EVERY = 10.0
"""Seconds between garbage collections."""


log = structlog.get_logger()


@contextmanager
def _silence() -> Iterator[None]:
    """The library logs its creation before it can be told its log level."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


Listener = Callable[[int, str, Any], None]
"""The asyncio side: receives (number of the call or 0, event, value), in the asyncio thread."""


class Account(pj.Account):  # type: ignore[misc]
    """Where calls, message summaries and answers to our requests arrive."""

    engine: "Engine"

    def onIncomingCall(self, prm: Any) -> None:
        self.engine.adopt(EngineCall(self, prm.callId), prm.rdata.wholeMsg)

    def onRegState(self, prm: Any) -> None:
        self.engine.tell(0, "registered", int(prm.code))

    def onMwiInfo(self, prm: Any) -> None:
        self.engine.tell(0, "notify", prm.rdata.wholeMsg)

    def onSendRequest(self, prm: Any) -> None:
        event = prm.e.body.tsxState
        text = event.src.rdata.wholeMsg if event.type == pj.PJSIP_EVENT_RX_MSG else ""
        self.engine.answered(int(prm.userData), int(event.tsx.statusCode), text)


class Engine:
    """pjsua2 with one UDP transport. Make it and `run` it in the main thread."""

    def __init__(self, settings: EngineSettings, loop: asyncio.AbstractEventLoop) -> None:
        """Raises pj.Error when a port is in use."""
        self.settings, self.loop = settings, loop
        self.listener: Listener | None = None
        self.polled: Callable[[float], None] = lambda now: None
        """Called in the main thread after every poll, with the monotonic time: at least twice a second."""
        self.commands: collections.deque[tuple[Callable[..., Any], tuple[Any, ...], Any]] = (
            collections.deque()
        )
        self.retired: collections.deque[tuple[float, Any]] = collections.deque()
        self.chores: collections.deque[tuple[float, Callable[..., Any], int]] = collections.deque()
        self.calls: dict[int, EngineCall] = {}
        self.ears = Ears()
        self.over: list[EngineCall] = []
        self.accounts: dict[tuple[str, str], Account] = {}
        self.numbers, self.running = itertools.count(1), True
        self.requests: dict[int, tuple[int, Any]] = {}
        self.watch = Watch()
        self.bell = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.bell.setblocking(False)
        self.endpoint = pj.Endpoint()
        with _silence():
            self.endpoint.libCreate()
        self.endpoint.libInit(_endpoint_config(settings))
        self.address = self._listen()
        self.bell.connect(self.address)
        self.identity = settings.identity or "sip:vm@{}:{}".format(*self.address)
        self._prepare_media()
        self.endpoint.libStart()
        self.account()

    def _listen(self) -> tuple[str, int]:
        transport = pj.TransportConfig()
        transport.boundAddress, transport.port = self.settings.sip_address, self.settings.sip_port
        number = self.endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        info = self.endpoint.transportGetInfo(number)
        return self.settings.sip_address, int(info.localName.rpartition(":")[2])

    def _prepare_media(self) -> None:
        self.endpoint.audDevManager().setNullDev()
        self.sink = self.endpoint.audDevManager().getPlaybackDevMedia()
        priorities = {name: 200 - place for place, name in enumerate(self.settings.codecs)}
        for name in [codec.codecId for codec in self.endpoint.codecEnum2()]:
            self.endpoint.codecSetPriority(name, priorities.get(name.rpartition("/")[0], 0))

    def account(self, identity: str = "", route: str = "") -> Account:
        """The account that sends as `identity` ("" for our own) by way of `route` (a loose-route URI,
        "" for none), made on first use. The library has room for eight of them."""
        key = (identity or self.identity, route)
        if key not in self.accounts:
            account = Account()
            account.engine = self
            account.create(_account_config(self.settings, *key), not self.accounts)
            self.accounts[key] = account
        return self.accounts[key]

    def log_in(self, login: Login) -> None:
        """Register, and call as that user from now on. ("registered", status) follows, each time."""
        identity = f"sip:{login.user}@{login.registrar.removeprefix('sip:')}"
        config = _account_config(self.settings, identity, "")
        config.regConfig.registrarUri, config.regConfig.timeoutSec = login.registrar, 300
        credentials = pj.AuthCredInfo("digest", "*", login.user, 0, login.password)
        config.sipConfig.authCreds.append(credentials)
        account = Account()
        account.engine = self
        self.accounts[self.identity, ""] = account
        account.create(config, True)

    # ---- towards asyncio

    def tell(self, number: int, event: str, value: Any) -> None:
        """Any thread: report an event."""
        self._soon(self._heard, number, event, value)

    def _heard(self, number: int, event: str, value: Any) -> None:
        if self.listener:
            self.listener(number, event, value)

    def _soon(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            self.loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            log.debug("the asyncio thread has ended")

    # ---- from asyncio

    async def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run `function(engine, *arguments)` in the main thread. Raises EngineError."""
        future = self.loop.create_future()
        self.commands.append((function, arguments, future))
        self.ring()
        return await future

    async def command(self, method: Callable[..., Any], number: int, *arguments: Any) -> Any:
        """Run a method of EngineCall in the main thread. Raises EngineError."""
        return await self.submit(_on_call, method, number, *arguments)

    def ended(self, number: int) -> None:
        """From a callback: the call is over, and its object goes when the poll is over."""
        self.commands.append((_release, (number,), None))

    def later(self, method: Callable[..., Any], number: int) -> None:
        """From a callback: run a method of EngineCall when the poll is over."""
        self.commands.append((_on_call, (method, number), None))

    def ring(self) -> None:
        """End the poll. A full socket buffer means that it is about to end anyway."""
        try:
            self.bell.send(b"\r\n")
        except OSError as error:
            log.debug("doorbell failed", reason=str(error))

    def stop(self) -> None:
        """Any thread: let `run` return."""
        self.running = False
        self.ring()

    # ---- the main thread

    def adopt(self, call: EngineCall, invite: str) -> int:
        call.engine, call.number = self, next(self.numbers)
        number = call.number
        call.tell = lambda event, value: self.tell(number, event, value)
        self.calls[number] = call
        if invite:
            self.tell(number, "call", invite)
        return number

    def retire(self, player: Any) -> None:
        self.retired.append((time.monotonic(), player))

    def after(self, seconds: float, method: Callable[..., Any], number: int) -> None:
        """Run a method of EngineCall in `seconds` or up to one poll later, if the call is there then."""
        self.chores.append((time.monotonic() + seconds, method, number))

    def run(self) -> None:
        """Serve until `stop`."""
        gc.disable()
        collected = now = time.monotonic()
        frozen = False
        while self.running:
            self.endpoint.libHandleEvents(self.ears.wait(self.settings.poll_ms, now))
            now = time.monotonic()
            self.polled(now)
            self.ears.look(now)
            while self.chores and self.chores[0][0] <= now:
                self.later(*self.chores.popleft()[1:])
            while self.commands:
                self._perform(*self.commands.popleft())
            if self.over:
                self._part()
            while self.retired and now - self.retired[0][0] > KEEP:
                self.retired.popleft()
            if now - collected > COLLECT_EVERY:
                gc.collect()
                if not frozen:  # modules and sessions stay for good: 20 ms less for each collection
                    gc.freeze()
                    frozen = True
                collected = now

    def _part(self) -> None:
        """Drop ended calls, but for one whose place was given to another call in the same poll: the object
        of the ended one would hang up the other's call (603) when it goes."""
        taken = {call.getId() for call in self.calls.values()}
        self.over = [call for call in self.over if call.getId() in taken]

    def _perform(self, function: Callable[..., Any], arguments: tuple[Any, ...], future: Any) -> None:
        result = error = None
        try:
            result = function(self, *arguments)
        except Exception as failure:
            error = EngineError(str(getattr(failure, "reason", "") or repr(failure)))
        if future is not None:
            self._soon(_settle, future, result, error)

    def send(self, request: Request, serial: int) -> None:
        """Send a request outside of any dialog; ("answer", (serial, code, raw answer)) follows.

        The library carries a pointer for us from here to the answer: that of the parameters."""
        parameters = pj.SendRequestParam()
        parameters.method, parameters.userData = request.method, parameters
        option = parameters.txOption
        option.targetUri, option.contentType, option.msgBody = (
            request.target,
            request.content_type,
            request.body,
        )
        with_headers(option, request.headers)
        self.account(request.identity, request.route).sendRequest(parameters)
        self.requests[int(parameters.this)] = (serial, parameters)

    def answered(self, token: int, code: int, text: str) -> None:
        serial, _ = self.requests.pop(token)
        self.tell(0, "answer", (serial, code, text))

    def dial(self, target: str, headers: Headers, caller: str, route: str) -> int:
        """Call somebody; gives the number of the call. `caller` is the From, "" for our own."""
        parameters = pj.CallOpParam(True)
        parameters.txOption.localUri = caller
        with_headers(parameters.txOption, headers)
        call = EngineCall(self.account(route=route))
        number = self.adopt(call, "")
        try:
            call.makeCall(target, parameters)
        except Exception:
            del self.calls[number]
            raise
        return number


def _on_call(engine: Engine, method: Callable[..., Any], number: int, *arguments: Any) -> Any:
    """Not on a call that has ended: its place in the library may be another call's by now."""
    call = engine.calls.get(number)
    if call is None or call.over:
        raise EngineError("the call is over")
    return method(call, *arguments)


def _release(engine: Engine, number: int) -> None:
    call = engine.calls.pop(number)
    call.release()
    engine.over.append(call)


def _settle(future: "asyncio.Future[Any]", result: Any, error: EngineError | None) -> None:
    if future.done():
        return
    if error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _endpoint_config(settings: EngineSettings) -> Any:
    config = pj.EpConfig()
    agent = config.uaConfig
    agent.maxCalls, agent.threadCnt, agent.mainThreadOnly = settings.max_calls, 0, False
    agent.userAgent, agent.mwiUnsolicitedEnabled = "Tandem", settings.watch_messages
    config.logConfig.level = config.logConfig.consoleLevel = settings.log_level
    media = config.medConfig
    media.clockRate = media.sndClockRate = 8000
    media.noVad, media.ecTailLen = not settings.suppress_silence, 0
    media.maxMediaPorts = 12 * max(4, settings.max_calls)
    _keep_what_comes_late(media)
    return config


def _keep_what_comes_late(media: Any) -> None:
    """A recorder has time: collect JITTER ms before the first frame is taken, and never drop frames to
    catch up, as the library does for talkers by default. The setting has a type which the Python
    wrapper does not know (it shows a pointer to it), so its value is written by ctypes."""
    media.jbInit = media.jbMinPre = JITTER
    algorithm = media.jbDiscardAlgo
    ctypes.c_int.from_address(int(algorithm)).value = DISCARD_NOTHING
    media.jbDiscardAlgo = algorithm
    algorithm.disown()  # four bytes that nothing can free: the wrapper would complain at the end


def _account_config(settings: EngineSettings, identity: str, route: str) -> Any:
    config = pj.AccountConfig()
    config.idUri = identity
    if route:
        config.sipConfig.proxies.append(route)
    rtp = config.mediaConfig.transportConfig
    rtp.boundAddress, rtp.port, rtp.portRange = settings.rtp_address, settings.rtp_port, settings.rtp_ports
    return config
