"""The process that reads mails: `python -m voicemail.intake.parser`, a zygote, told on stdin what to read.

Whatever a mail does to its reader happens in a fork that reads nothing else: memory, CPU time, wall time and
the size of what it writes are limited by the kernel, so that a bomb costs one fork and a moment. A fork and
not a program of its own, since starting one and loading the codecs costs more than reading a mail.

In: {"mail": path, "out": path, "limits": {…}} a line. Out: {"done": true} when the outcome (wire.py) is in
the file, else {"done": false, "why": …}. It ends with its stdin.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from voicemail.intake.wire import Outcome, packed
from voicemail.vpim.model import Unreadable
from voicemail.vpim.transfer import Source

MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one mail's reader."""

    memory: int = 320 * MEGABYTE
    """Bytes of address space beyond what the zygote has."""
    cpu: int = 30
    """Seconds."""
    wall: float = 45.0
    """Seconds."""
    out: int = 256 * MEGABYTE
    """Bytes it may write."""
    longest: float = 1800.0
    """Seconds of sound."""
    size: int = 35_100_000
    """Bytes of the mail."""


Read = Callable[[Source, Bounds], Outcome]
"""Gives what a mail is; raises Unreadable."""


def serve(read: Read) -> None:
    """Until the end of stdin, or until nobody listens any more."""
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            asked = json.loads(line)
            answer = _one(read, Path(asked["mail"]), Path(asked["out"]), Bounds(**asked["limits"]))
            os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


def _one(read: Read, mail: Path, out: Path, bounds: Bounds) -> dict[str, Any]:
    child = os.fork()
    if child == 0:
        _in_child(read, mail, out, bounds)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return {"done": True}
    return {"done": False, "why": _killed(-code) if code < 0 else f"its reader ended with {code}"}


def _killed(number: int) -> str:
    known = {
        signal.SIGALRM: "reading it took too long",
        signal.SIGXCPU: "reading it took too long",
        signal.SIGKILL: "its reader was killed",
    }
    return known.get(number, f"its reader was ended by signal {number}")  # type: ignore[call-overload, no-any-return]


def _in_child(read: Read, mail: Path, out: Path, bounds: Bounds) -> None:
    """Never returns."""
    code = 1
    try:
        limit(bounds)
        with open(out, "wb") as file:
            file.writelines(packed(_outcome(read, mail, bounds)))
        code = 0
    except MemoryError:
        code = 2
    finally:
        os._exit(code)


def _outcome(read: Read, mail: Path, bounds: Bounds) -> Outcome:
    try:
        return read(mapped(mail), bounds)
    except Unreadable as error:
        return error
    except (MemoryError, RecursionError):
        return Unreadable("reading it takes more memory than a mail may", "5.3.4")
    except Exception as error:  # the outermost of this process: the mail is kept, and told what is wrong
        return Unreadable(f"it cannot be read: {type(error).__name__}: {error}"[:300])


def mapped(mail: Path) -> Source:
    """A file as it stands on the disk: what is read of it needs no memory of its own."""
    with open(mail, "rb") as file:
        empty = not file.read(1)
        return b"" if empty else mmap(file.fileno(), 0, access=ACCESS_READ)


def limit(bounds: Bounds) -> None:
    """Bind this process. Its parent's death is no signal, so the alarm is what ends it in any case."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for what, most, at_last in (
        (resource.RLIMIT_AS, size + bounds.memory, size + bounds.memory),
        (resource.RLIMIT_CPU, bounds.cpu, bounds.cpu + 1),  # SIGXCPU, which tells why; then SIGKILL
        (resource.RLIMIT_FSIZE, bounds.out, bounds.out),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (most, at_last))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, bounds.wall)


def main() -> None:
    from voicemail.intake.reading import prepare, read

    prepare()
    serve(read)


if __name__ == "__main__":
    main()
