"""What signing in costs: scripted callers press their PIN, one process against a real PostgreSQL.

    .venv/bin/python tests/bench/sign_in.py --users 40 --rounds 5

All is real but the telephone: store, policies, hashes, conversation, the files that would be played. CPU
time of this process and of PostgreSQL is taken, not the clock's, so other work on the machine disturbs it
little. It prints figures and judges none.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any, cast

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))

from sip import wav
from sip.call import Call, Sound
from sip.sounds import Ready, chosen
from store.ids import uuid7
from store.model import NewMessage, User
from store.postgres import PostgresStore
from tests.bench import processes
from tests.fakes.call import ScriptedCall
from tests.fakes.postgres import FAST, running_server, with_template
from voicemail import pins
from voicemail.conversation.user_side import user_side
from voicemail.delivery import Delivery
from voicemail.pilot import Pilot, PilotSettings
from voicemail.tour.tour import set_up
from voicemail.worker import local_time, prompts_of

PIN = "481516"
PHASES = (
    ("while the PIN is asked for", "asked", "#"),
    ("# to voice", "#", "voice"),
    ("after the voice has begun", "voice", "end"),
)
SETTLED = 0.1
"""Seconds in which a caller hears that the PIN is wanted, and types it."""


@dataclass
class TimedCall(ScriptedCall):
    """Presses the PIN, and leaves when the main menu has been said. `steps` has the process's CPU seconds,
    and its statements so far, when the PIN was asked for, when it was there, and when the voice began."""

    folder: Path = Path()
    find: Callable[[str, str], Path | None] = prompts_of(Path("/nonexistent"))
    ready: Ready | None = None
    steps: dict[str, tuple[float, int]] = field(default_factory=dict)

    def note(self, step: str) -> None:
        self.steps[step] = (time.process_time(), Counted.statements)

    async def digits(self, *sounds: Sound, most: int, wait: float = 5.0, secret: bool = False) -> str:
        await asyncio.sleep(SETTLED)
        self.note("#")
        return PIN

    async def play(self, *sounds: Sound, until: str = "") -> str:
        paths = self._paths(sounds, self.language)
        if paths and (self.ready and self.ready.paths == paths or await chosen(paths, self.folder)):
            self.steps.get("voice") or self.note("voice")
        return await super().play(*sounds, until=until)

    async def prepare(self, *sounds: Sound, language: str) -> None:
        self.ready = await Ready.of(self._paths(sounds, language), self.folder)

    def _paths(self, sounds: tuple[Sound, ...], language: str) -> list[Path]:
        return [path for path in (self._path(each, language) for each in sounds) if path]

    def _path(self, sound: Sound, language: str) -> Path | None:
        return sound if isinstance(sound, Path) else self.find(sound, language)


class Counted:
    """Statements of this process so far."""

    statements = 0

    @classmethod
    def count(cls) -> None:
        execute = psycopg.AsyncConnection.execute

        async def counting(*given: Any, **named: Any) -> Any:
            cls.statements += 1
            return await execute(*given, **named)

        psycopg.AsyncConnection.execute = counting  # type: ignore[method-assign]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5, help="how often each of them signs in")
    return parser.parse_args()


async def main(chosen: argparse.Namespace) -> None:
    Counted.count()
    with running_server(parameters=FAST | {"fsync": "on"}) as server, tempfile.TemporaryDirectory() as home:
        with_template(server)
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(PostgresStore.open(server.conninfo(), connections=4))
            pilot = Pilot(store, cast(Delivery, None), PilotSettings("5000", Path(home)), local_time)
            await store.agree(5)
            users = [await added(store, number) for number in range(chosen.users)]
            server_pid = server.process.pid if server.process else 0
            calls, began = [], database(server_pid)
            for number in range(chosen.rounds + 1):
                if number == 1:
                    calls, began, cpu = [], database(server_pid), time.process_time()
                for user in users:
                    calls.append(await one(pilot, user, Path(home)))
            many = len(calls)
            print(f"{many} sign-ins, one after the other; ms of CPU each (median), statements (mean)")
            for what, first, last in PHASES:
                spent = [1000 * (call.steps[last][0] - call.steps[first][0]) for call in calls]
                asked = mean(call.steps[last][1] - call.steps[first][1] for call in calls)
                print(f"{what:28}{median(spent):7.2f} {asked:6.1f}")
            print(f"{'this process, all':28}{1000 * (time.process_time() - cpu) / many:7.2f}")
            print(f"{'PostgreSQL, all':28}{1000 * (database(server_pid) - began) / many:7.2f}")


async def added(store: PostgresStore, number: int) -> User:
    user = User(uuid7(), str(3000 + number), f"User {number}", pin_hash=pins.hashed(PIN))
    await store.users.add(user)
    await set_up(store, user.id)
    message = NewMessage(uuid7(), user.id, "+4930555", "", local_time(), 4.0)
    await store.messages.deposit(message, wav.file_ulaw(b"\x55" * 4 * wav.RATE))
    return user


async def one(pilot: Pilot, user: User, folder: Path) -> TimedCall:
    call = TimedCall([""] * 3, answered=True, folder=folder)
    with pilot.desk() as desk:
        known = await desk.store.users.get(user.id)
        call.note("asked")
        await user_side(desk, cast(Call, call), known, False)
    call.note("end")
    if call.ready:
        call.ready.close()
    return call


def database(pid: int) -> float:
    """CPU seconds of the server so far."""
    return processes.seconds(pid) + sum(processes.seconds(each) for each in processes.descendants(pid))


if __name__ == "__main__":
    asyncio.run(main(options()))
