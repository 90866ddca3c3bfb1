"""A telephone (and, for lamps, a trunk) for tours, tests and an administrator's checks.

    async with Softphone() as phone:
        call = await phone.dial("sip:5000@192.0.2.1", {"Diversion": "<sip:1001@pbx>;reason=no-answer"})
        await call.answered()
        await call.record(Path("heard.wav"))
        await call.press("1#")
        await call.ended()

Each one is a process of its own (pjsua2 allows one library a process), driven by lines of JSON, so any
number can be used at once. It ends with its parent.
"""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sip import wav
from sip.errors import BadMessage, EngineError
from sip.parse import Message, parse_message
from sip.settings import EngineSettings, Login
from sip.watcher import Watcher

if TYPE_CHECKING:
    from sip.endpoint import Engine

PHONE = EngineSettings(suppress_silence=False, watch_messages=True, rtp_port=40000, rtp_ports=2000)
"""Sends packets all the time, as telephones do."""
START, ANSWER = 10.0, 10.0


@dataclass(frozen=True, slots=True)
class Notify:
    """A message summary that arrived; `at` by the clock of the asyncio loop."""

    message: Message
    at: float

    @property
    def body(self) -> str:
        return self.message.body


class Softphone:
    """Drives the process of one telephone. Methods raise EngineError for what pjsua2 refuses."""

    def __init__(self, settings: EngineSettings = PHONE, answers: bool = True) -> None:
        """`answers`: pick up incoming calls at once."""
        self.settings, self.answers = settings, answers
        self.port = self.registered = 0
        self.calls: dict[int, PhoneCall] = {}
        self.notifies: list[Notify] = []
        self._news = asyncio.Condition()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._serials = itertools.count(1)
        self._watchers: list[Watcher] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        values = {**asdict(self.settings), "temporary": str(self.settings.temporary)}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sip.softphone", json.dumps(values), json.dumps(self.answers),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20,
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())
        await self.until(lambda: self.port, START)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reader
        for watcher in self._watchers:
            watcher.close()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    async def until(self, ready: Callable[[], Any], within: float) -> Any:
        """The first true value of `ready()`. Raises TimeoutError, EngineError when the phone died."""

        def look() -> Any:
            return ready() or self._process.returncode is not None

        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(look)
        if not (value := ready()):
            raise EngineError("the softphone's process has ended")
        return value

    async def do(self, verb: str, *arguments: Any) -> Any:
        """Send one command to the process and wait for its result."""
        serial = next(self._serials)
        future = self._waiting[serial] = asyncio.get_running_loop().create_future()
        line = json.dumps([serial, verb, arguments]).encode() + b"\n"
        if self._process.stdin is None or self._process.returncode is not None:
            raise EngineError("the softphone's process has ended")
        self._process.stdin.write(line)
        return await asyncio.wait_for(future, ANSWER)

    async def dial(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        caller: str = "",
        route: str = "",
    ) -> "PhoneCall":
        """Call `target`; `caller` is the From, a URI or `"Name" <uri>`; `route` a loose-route URI."""
        number = await self.do("dial", target, list((headers or {}).items()), caller, route)
        return self.calls.setdefault(number, PhoneCall(self, number))

    async def register(self, registrar: str, user: str, password: str, within: float = 5.0) -> int:
        """Register at "sip:host:port", again before it ends, and call as `user` from now on; the status."""
        self.registered = 0
        await self.do("log_in", registrar, user, password)
        code: int = await self.until(lambda: self.registered, within)
        return code

    async def ring(self, within: float = 5.0) -> "PhoneCall":
        """The next call that comes in."""

        def ringing() -> PhoneCall | None:
            return next((call for call in self.calls.values() if call.incoming and not call.taken), None)

        call: PhoneCall = await self.until(ringing, within)
        call.taken = True
        return call

    async def subscribe(self, account: str, route: str = "") -> None:
        """Subscribe to the message summary of `account` (a SIP URI) by way of `route`. Raises
        RequestFailed."""
        watcher = Watcher(self._notified)
        self._watchers.append(watcher)
        await watcher.subscribe(account, route, self.settings.sip_address)

    async def notified(self, wanted: Callable[[Notify], bool], within: float = 5.0) -> Notify:
        """The first NOTIFY that is wanted, also one that came earlier."""
        found: Notify = await self.until(lambda: next(filter(wanted, self.notifies), None), within)
        return found

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._heard(*json.loads(line))
            await self._ring()
        await self._process.wait()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EngineError("the softphone's process has ended"))
        await self._ring()

    def _heard(self, kind: str, key: int, *values: Any) -> None:
        match kind:
            case "port":
                self.port = key
            case "registered":
                self.registered = values[0]
            case "result" | "error":
                self._settle(kind, self._waiting.pop(key), values[0])
            case "notify":
                with suppress(BadMessage):
                    self._notified(parse_message(values[0]))
            case _:
                call = self.calls.setdefault(key, PhoneCall(self, key))
                call.heard(kind, values[0])

    def _settle(self, kind: str, future: "asyncio.Future[Any]", value: Any) -> None:
        if future.done():
            return
        if kind == "result":
            future.set_result(value)
        else:
            future.set_exception(EngineError(value))

    def _notified(self, message: Message) -> None:
        self.notifies.append(Notify(message, asyncio.get_running_loop().time()))
        self._tasks.add(task := asyncio.ensure_future(self._ring()))
        task.add_done_callback(self._tasks.discard)

    async def _ring(self) -> None:
        async with self._news:
            self._news.notify_all()


class PhoneCall:
    """A call of a softphone."""

    def __init__(self, phone: Softphone, number: int) -> None:
        self.phone, self.number = phone, number
        self.incoming: Message | None = None
        self.taken = self.up = self.media = False
        self.keys = ""
        """What the other side pressed."""
        self.code = 0
        """The final status once the call is over: 200 after a BYE."""
        self._played: set[int] = set()
        self._recording: Path | None = None

    def heard(self, event: str, value: Any) -> None:
        match event:
            case "call":
                self.incoming = parse_message(value)
            case "confirmed":
                self.up = True
            case "media":
                self.media = self.media or value
            case "digit":
                self.keys += value[:1]
            case "played":
                self._played.add(value)
            case "ended":
                self.code = value

    async def answered(self, within: float = 5.0) -> None:
        """Audio flows. Raises EngineError when the call was refused."""
        await self.phone.until(lambda: (self.up and self.media) or self.code, within)
        if not self.up:
            raise EngineError(f"the call was refused: {self.code}")

    async def ended(self, within: float = 10.0) -> int:
        """The other side has hung up or refused: the final status, 200 after a BYE."""
        code: int = await self.phone.until(lambda: self.code, within)
        if self._recording:
            await _complete(self._recording)
        return code

    async def press(self, keys: str, info: bool = False) -> None:
        """Press keys one by one (RFC 4733, at most 31, or SIP INFO); returns before they are sent."""
        await self.phone.do("press_by_info" if info else "press", self.number, keys)

    async def say(self, path: Path, within: float = 60.0) -> None:
        """Speak a WAV file into the call, to its end (or the call's)."""
        serial = await self.phone.do("say", self.number, str(path))
        await self.phone.until(lambda: serial in self._played or self.code, within)

    async def record(self, path: Path) -> None:
        """Record what is heard from now on."""
        self._recording = path
        await self.phone.do("record", self.number, str(path))

    async def stop_recording(self) -> Path:
        """The file is complete when this returns."""
        await self.phone.do("stop_recording", self.number)
        assert self._recording is not None, "nothing is being recorded"
        await _complete(self._recording)
        return self._recording

    async def received(self) -> int:
        """RTP packets that have arrived since the call began."""
        packets: int = await self.phone.do("received", self.number)
        return packets

    async def hold(self) -> None:
        await self.phone.do("hold", self.number)

    async def resume(self) -> None:
        await self.phone.do("resume", self.number)

    async def reply(self, code: int) -> None:
        """Take a call that came in (200), or refuse it; for phones that do not pick up by themselves."""
        await self.phone.do("reply", self.number, code)

    async def hang_up(self) -> None:
        """BYE (or CANCEL), and wait for its answer."""
        if not self.code:
            await self.phone.do("hang_up", self.number)
        await self.ended()


async def _complete(path: Path) -> None:
    for _ in range(200):
        await asyncio.sleep(0.01)
        if path.exists() and wav.closed(path) and path.stat().st_size > wav.HEADER:
            return


# ---- the process of a telephone


class _Phone:
    """The asyncio side of the process."""

    def __init__(self, engine: "Engine", answers: bool, out: int) -> None:
        self.engine, self.answers, self.out = engine, answers, out
        self.serials = itertools.count(1)

    def tell(self, *values: Any) -> None:
        os.write(self.out, json.dumps(values).encode() + b"\n")

    def heard(self, number: int, event: str, value: Any) -> None:
        if event == "answer":
            return
        self.tell(event, number, value)
        if event == "call" and self.answers:
            asyncio.get_running_loop().create_task(self.pick_up(number))

    async def pick_up(self, number: int) -> None:
        from sip.enginecall import EngineCall

        with suppress(EngineError):
            await self.engine.command(EngineCall.reply, number, 200)

    async def serve(self) -> None:
        self.engine.listener = self.heard
        self.tell("port", self.engine.address[1])
        reader = asyncio.StreamReader(limit=2**20)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            serial, verb, arguments = json.loads(line)
            try:
                self.tell("result", serial, await getattr(self, "on_" + verb)(*arguments))
            except EngineError as error:
                self.tell("error", serial, str(error))

    async def command(self, method: str, number: int, *arguments: Any) -> Any:
        from sip.enginecall import EngineCall

        return await self.engine.command(getattr(EngineCall, method), number, *arguments)

    async def on_dial(self, target: str, headers: list[tuple[str, str]], caller: str, route: str) -> int:
        from sip.endpoint import Engine

        number: int = await self.engine.submit(Engine.dial, target, headers, caller, route)
        return number

    async def on_log_in(self, registrar: str, user: str, password: str) -> None:
        from sip.endpoint import Engine

        await self.engine.submit(Engine.log_in, Login(registrar, user, password))

    async def on_press(self, number: int, keys: str) -> None:
        await self.command("dial", number, keys)

    async def on_press_by_info(self, number: int, keys: str) -> None:
        for key in keys:
            await self.command("dial_by_info", number, key)

    async def on_say(self, number: int, path: str) -> int:
        if not wav.plain(Path(path)):
            raise EngineError(f"{path} cannot be played")
        serial = next(self.serials)
        await self.command("play", number, path, serial)
        return serial

    async def on_record(self, number: int, path: str) -> None:
        await self.command("record", number, path)

    async def on_stop_recording(self, number: int) -> None:
        await self.command("stop_recording", number)

    async def on_received(self, number: int) -> int:
        packets: int = await self.command("received", number)
        return packets

    async def on_hold(self, number: int) -> None:
        await self.command("hold", number)

    async def on_resume(self, number: int) -> None:
        await self.command("resume", number)

    async def on_reply(self, number: int, code: int) -> None:
        await self.command("reply", number, code)

    async def on_hang_up(self, number: int) -> None:
        await self.command("end", number)


def main() -> None:
    """The process: settings and whether to answer come as two JSON arguments."""
    from sip.hosting import run_engine

    values, answers = json.loads(sys.argv[1]), json.loads(sys.argv[2])
    settings = replace(EngineSettings(**values), temporary=Path(values["temporary"]))
    out = os.dup(1)  # the library prints to standard output
    os.dup2(2, 1)

    async def serve(engine: "Engine") -> None:
        await _Phone(engine, answers, out).serve()

    run_engine(settings, serve)


if __name__ == "__main__":
    main()
