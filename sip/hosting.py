"""Runs an engine in the main thread and a coroutine beside it, until the coroutine ends."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import structlog

from sip.endpoint import Engine
from sip.settings import EngineSettings

log = structlog.get_logger()


def run_engine(
    settings: EngineSettings,
    main: Callable[[Engine], Coroutine[Any, Any, None]],
    terminate: Callable[[], None] | None = None,
    at_once: Callable[[], None] | None = None,
) -> NoReturn:
    """Call this in the main thread. `main` runs in an asyncio thread; when it ends, so does the
    process: status 0, or 1 if it raised. SIGTERM and SIGINT call `terminate` in the asyncio thread,
    SIGUSR1 `at_once`; without them they cancel `main`."""
    loop = asyncio.new_event_loop()
    engine = Engine(settings, loop)
    task = _Main(engine, loop, main)
    _on_signals(engine, loop, terminate or task.cancel, at_once or task.cancel)
    task.start()
    try:
        engine.run()
    except BaseException:
        log.exception("the engine failed")
        _leave(1)
    _leave(task.status)


class _Main:
    """The asyncio thread."""

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        main: Callable[[Engine], Coroutine[Any, Any, None]],
    ) -> None:
        self.engine, self.loop, self.main = engine, loop, main
        self.status = 1
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="asyncio", daemon=True).start()

    def cancel(self) -> None:
        if self.task:
            self.task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.task = self.loop.create_task(self.main(self.engine))
        try:
            self.loop.run_until_complete(self.task)
            self.status = 0
        except asyncio.CancelledError:
            self.status = 0
        except BaseException:
            log.exception("the asyncio thread failed")
        finally:
            with contextlib.suppress(Exception):
                self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.engine.stop()


def _on_signals(
    engine: Engine, loop: asyncio.AbstractEventLoop, act: Callable[[], None], at_once: Callable[[], None]
) -> None:
    """Python runs signal handlers in the main thread, which is asleep in the library: the signal's
    byte goes to the doorbell, so that it wakes at once."""

    def handle(number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(at_once if number == signal.SIGUSR1 else act)

    signal.set_wakeup_fd(engine.bell.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, handle)


def _leave(status: int) -> NoReturn:
    """No destructor of the library runs: destroying it with a request pending aborts."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
