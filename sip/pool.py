"""A pool of SIP workers, forked from a zygote.

The published pjsua2 carries four calls a process, so a node runs many. The zygote imports everything
once, freezes the collector's view of it and forks: the workers share those pages. It must fork before
any thread, database connection or pjsua2 library exists in it, so it does nothing else; a worker that
dies is forked again from the same clean state.
"""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from types import FrameType

import structlog

from sip.board import Board, State, WorkerState
from sip.call import Session
from sip.settings import PoolSettings

log = structlog.get_logger()

SHORT_LIFE = 5.0
"""Seconds; a worker that dies sooner makes the next one wait."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
LAST_WORDS = 4.0
"""Seconds beyond `drain` after which workers that have not ended are killed."""
END_CALLS = signal.SIGUSR1
"""To the zygote and its workers: end, and calls in progress with you."""
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Slot:
    """Whether a slot has a process, and when it may have the next. Times are monotonic seconds."""

    number: int
    pid: int = 0
    born: float = 0.0
    deaths: int = 0
    """Short lives in a row."""
    not_before: float = 0.0


def died(slot: Slot, now: float) -> Slot:
    """After a death: the first restart is immediate enough, a slot that dies at once again and again
    waits longer and longer."""
    deaths = slot.deaths + 1 if now - slot.born < SHORT_LIFE else 1
    pause = min(FIRST_PAUSE * 4 ** min(deaths - 1, 9), LONGEST_PAUSE)
    return replace(slot, pid=0, deaths=deaths, not_before=now + pause)


def hung(slot: Slot, beat: float, awake: float, now: float, patience: float) -> bool:
    """Whether this worker has not polled for `patience` seconds; `awake`: since when this process, which was
    frozen together with it, has looked without a pause."""
    return bool(slot.pid) and now - max(beat, slot.born, awake) > patience


def die_with_parent(parent: int) -> None:
    """Be killed when the parent goes, whatever it dies of. Ends at once if it has gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def run_pool(settings: PoolSettings, session: Session) -> None:
    """Be the zygote until SIGTERM; then let the workers finish and return. After SIGUSR1, then or later,
    calls in progress are ended at once. Call it in the main thread of a process of its own. It dies with
    its parent, and the workers with it."""
    parent = os.getppid()
    die_with_parent(parent)
    import sip.worker  # noqa: F401  pjsua2 itself: before the forks, so that it is shared

    settings.prepare()
    gc.disable()
    gc.collect()
    gc.freeze()
    Zygote(settings, session).run()


class Zygote:
    """Forks workers, and forks them again."""

    def __init__(self, settings: PoolSettings, session: Session) -> None:
        self.settings, self.session = settings, session
        self.board = Board.create(settings.board, settings.workers)
        self.slots = [Slot(number) for number in range(settings.workers)]
        self.ending = False
        self.look = settings.hung / 5
        self.looked = self.awake = time.monotonic()

    def run(self) -> None:
        """Signals are blocked and waited for: nothing can happen between a look and a wait."""
        watched = {signal.SIGTERM, signal.SIGINT, END_CALLS, signal.SIGCHLD}
        signal.signal(signal.SIGCHLD, _nothing)
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        log.info("pool starts", workers=self.settings.workers)
        caught = 0
        while not self.ending:
            self.reap()
            self.end_hung(time.monotonic())
            self.start_due()
            caught = waited(watched, self.pause())
            self.ending = caught not in (0, signal.SIGCHLD)
        self.finish(watched, caught == END_CALLS)
        log.info("pool has ended")

    def start_due(self) -> None:
        now = time.monotonic()
        self.slots = [
            self.fork(slot, now) if not slot.pid and slot.not_before <= now else slot for slot in self.slots
        ]

    def pause(self) -> float:
        """Until the next slot is due, or the next look."""
        now = time.monotonic()
        waits = [slot.not_before - now for slot in self.slots if not slot.pid]
        return max(0.0, min([self.look, *waits]))

    def end_hung(self, now: float) -> None:
        """Kill workers that hang; they are forked again as any that died. After a pause of this process
        (a frozen node) all clocks are old, and count anew."""
        if now - self.looked > 2 * self.look:
            self.awake = now
        self.looked = now
        for slot, beat in zip(self.slots, self.board.beats(), strict=True):
            if hung(slot, beat, self.awake, now, self.settings.hung):
                log.error("worker hangs and is killed", slot=slot.number, pid=slot.pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.pid, signal.SIGKILL)

    def fork(self, slot: Slot, now: float) -> Slot:
        zygote = os.getpid()
        pid = os.fork()
        if pid:
            return replace(slot, pid=pid, born=now)
        status = 1
        try:
            die_with_parent(zygote)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            self.become(slot.number)
        except BaseException:
            log.exception("a worker could not start", slot=slot.number)
            sys.stderr.flush()
        finally:
            os._exit(status)

    def become(self, number: int) -> None:
        from sip.worker import run_worker

        run_worker(self.settings, self.session, number, self.board)

    def reap(self) -> None:
        """Every process that has ended."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                self.bury(*ended)

    def bury(self, pid: int, status: int) -> None:
        for index, slot in enumerate(self.slots):
            if slot.pid == pid:
                self.slots[index] = died(slot, time.monotonic())
                self.board.write(WorkerState(slot.number, state=State.GONE))
                if not self.ending:
                    log.error(
                        "worker died", slot=slot.number, pid=pid, code=os.waitstatus_to_exitcode(status)
                    )

    def finish(self, watched: set[signal.Signals], at_once: bool) -> None:
        """Tell the workers to end, wait for their calls unless `at_once`, kill what is left."""
        self.tell(END_CALLS if at_once else signal.SIGTERM)
        deadline = time.monotonic() + (0.0 if at_once else self.settings.drain) + LAST_WORDS
        while any(slot.pid for slot in self.slots) and (left := deadline - time.monotonic()) > 0:
            if waited({signal.SIGCHLD, END_CALLS}, left) == END_CALLS:
                self.tell(END_CALLS)
                deadline = min(deadline, time.monotonic() + LAST_WORDS)
            self.reap()
        self.tell(signal.SIGKILL)
        while any(slot.pid for slot in self.slots):
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
            self.reap()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)

    def tell(self, number: int) -> None:
        for slot in self.slots:
            if slot.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.pid, number)


def waited(watched: set[signal.Signals], seconds: float) -> int:
    """The signal that came within so many seconds; 0: none. Python's sigtimedwait gives one of any number,
    made of nothing, when this process was stopped and goes on after the time is over (seen in 3.11)."""
    caught = signal.sigtimedwait(watched, seconds)
    return caught.si_signo if caught and caught.si_signo in watched else 0


def _nothing(_signal: int, _frame: FrameType | None) -> None:
    """SIGCHLD must have a handler to be delivered while it is waited for."""
