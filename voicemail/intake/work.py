"""Settles mails from the spool, one after the other, until each is done. As the delivery of recordings does,
it waits for a store that is away, and takes up at the start what an earlier life left."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import structlog

from store.blob import Blob, FileBlob
from store.errors import StoreError
from voicemail.delivery import pause_before
from voicemail.errors import VoicemailError
from voicemail.intake.letter import Letter
from voicemail.intake.parsers import Reader
from voicemail.intake.spool import MailSpool
from voicemail.intake.wire import Outcome

log = structlog.get_logger()

AT_ONCE = 2
LARGE = 4_000_000
"""Bytes of a mail, from which on one at a time is read and given to the store: memory stays that of one."""
MOST_FAILURES = 8
"""Of our own making, over some two minutes, until a mail is set aside for an operator: it must not stop
those behind it for ever."""


class Settles(Protocol):
    """What is done with a mail that was read (settle.Settling)."""

    async def take(self, letter: Letter, raw: Blob, outcome: Outcome) -> object:
        """Says what became of it. Raises store errors."""


class Intake:
    """`async with Intake(…) as intake`, then `put` what the spool has taken."""

    def __init__(
        self,
        spool: MailSpool,
        reader: Reader,
        settles: Settles,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._spool, self._reader, self._settles, self._sleep = spool, reader, settles, sleep
        self._queue: asyncio.Queue[Letter] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._large = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._workers = [asyncio.create_task(self._work()) for _ in range(AT_ONCE)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def put(self, letter: Letter) -> None:
        """It is on disk."""
        self._queue.put_nowait(letter)

    async def _work(self) -> None:
        while True:
            letter = await self._queue.get()
            try:
                await self._settle(letter)
            except Exception:  # the outermost: the mail is on disk, and those behind it go on
                log.exception("mail stays in the spool: it could not be settled", letter=str(letter.id))

    async def _settle(self, letter: Letter) -> None:
        path = self._spool.path(letter.id)
        raw = await asyncio.to_thread(FileBlob, path)
        outcome = await self._parsed(path, raw)
        attempt, failures = 0, 0
        while True:
            attempt += 1
            try:
                async with self._turn(raw):
                    done = await self._settles.take(letter, raw, outcome)
                break
            except (StoreError, VoicemailError) as error:
                failures += not error.retry
                log.warning("mail waits in the spool", letter=str(letter.id), attempt=attempt, why=str(error))
            except Exception:
                failures += 1
                log.exception("mail waits in the spool", letter=str(letter.id), attempt=attempt)
            if failures >= MOST_FAILURES:
                return await self._give_up(letter)
            await self._sleep(pause_before(attempt))
        await asyncio.to_thread(self._spool.remove, letter.id)
        log.info(
            "mail settled", letter=str(letter.id), sender=letter.sender, to=letter.addresses, done=str(done)
        )

    def _turn(self, raw: Blob) -> AbstractAsyncContextManager[object]:
        return self._large if len(raw) > LARGE else nullcontext()

    async def _parsed(self, path: Path, raw: Blob) -> Outcome:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._turn(raw):
                    return await self._reader.parse(path)
            except VoicemailError as error:
                log.error("mail cannot be read now", file=path.name, attempt=attempt, why=str(error))
            await self._sleep(pause_before(attempt))

    async def _give_up(self, letter: Letter) -> None:
        log.error("ALARM mail set aside: it cannot be settled", letter=str(letter.id), sender=letter.sender)
        for name in (f"{letter.id}.json", f"{letter.id}.eml"):
            await asyncio.to_thread(self._spool.set_aside, name)
