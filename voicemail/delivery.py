"""From the spool to the store: a message is removed from disk only when the store holds it.

The way of a recording: `begin` (its entry is on disk before the tone) → the call records → `deliver`.
A deposit runs as a task of its own, since the caller may hang up while it is under way. When the store
does not answer, the file simply stays: a sweep tries again, with growing pauses, as long as the worker
lives, and `recover` takes up at the next start whatever lay there. The name in the spool is the
message's id, so that a repeat of any of this adds nothing.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import structlog

from sip import room, wav
from sip.errors import BadSound
from store.api import Store
from store.errors import Unavailable
from store.spool import Spool, SpoolEntry
from voicemail import postroom

log = structlog.get_logger()

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
JOINED = 0.01
"""Seconds by which a recording has to be longer than it was, to hold what was put behind it."""
LINGER = 2.0
"""Seconds that deposits in progress get when the worker ends."""


def pause_before(attempt: int) -> float:
    """Seconds to wait before attempt n (from 1) at an absent store: 0.5, 1, 2 … 30."""
    return float(min(FIRST_PAUSE * 2 ** min(attempt - 1, 10), LONGEST_PAUSE))


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be kept, and how long a caller is kept waiting for it."""

    shortest: float = 1.0
    """Seconds; anything shorter is dropped."""
    least_free: int = 200 * 2**20
    """Bytes the spool's disk must have left, or no recording is begun."""
    patience: float = 0.9
    """Seconds after which a deposit goes on in the background. Below the second of silence that a caller
    may hear at most, and hardly below what the store waits for the peer: what takes longer ends with one
    copy in any case."""


class Delivery:
    """Opened once per worker: `async with Delivery(store, spool, rules) as delivery`."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        rules: Rules = Rules(),
        *,
        wait_for_peer: float = 1.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rules = rules
        self._store, self._spool = store, spool
        self._wait, self._sleep = wait_for_peer, sleep
        self._running: set[asyncio.Task[int]] = set()
        self._waiting: dict[UUID, SpoolEntry] = {}
        self._something = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=LINGER)
        if self._sweeper:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    @property
    def waiting(self) -> int:
        """Messages that lie in the spool because the store did not answer."""
        return len(self._waiting)

    async def has_room(self) -> bool:
        """Whether the spool's disk has room for one more recording. Asked before the tone."""
        try:
            return not await asyncio.to_thread(self._spool.nearly_full, self.rules.least_free)
        except OSError as error:
            log.error("spool cannot be used", why=str(error))
            return False

    async def begin(self, entry: SpoolEntry, longest: float = 0.0) -> "Draft":
        """Make a place in the spool with room for `longest` seconds, on disk when this returns: who hears
        the tone afterwards can finish. Raises OSError when the disk is full, and leaves nothing there."""
        return Draft(entry, await asyncio.to_thread(self._begun, entry, longest))

    async def change(self, draft: "Draft", **changes: Any) -> "Draft":
        """Note what is known of it by now, so that a crash delivers it as the caller left it."""
        return replace(draft, entry=await asyncio.to_thread(self._spool.finish, draft.entry.id, **changes))

    async def drop(self, draft: "Draft") -> None:
        """Take it away: cancelled, or too short."""
        await asyncio.to_thread(self._spool.remove, draft.entry.id)

    async def append(self, draft: "Draft", addition: "Draft") -> "Draft":
        """Join two recordings to one. What a crash leaves in between is joined at the next start, where
        `addition` was begun as what continues `draft`."""
        seconds = await asyncio.to_thread(_join, draft.path, addition.path)
        longer = await self.change(draft, seconds=seconds)
        await self.drop(addition)
        return longer

    async def lengthen(self, draft: "Draft", samples: bytes) -> "Draft":
        """Put a sound (mu-law, 8 kHz) behind a recording."""
        seconds = await asyncio.to_thread(_extend, draft.path, wav.parse(wav.file_ulaw(samples)))
        return await self.change(draft, seconds=seconds)

    async def deliver(self, draft: "Draft", complete: bool = True) -> bool:
        """Hand over a recording; one that is not complete is marked cut off. True when the store holds
        it; False when it stays in the spool for now, from where it is delivered as soon as the store
        answers. Never raises for a store that is away. Returns within `rules.patience`."""
        entry = replace(draft.entry, complete=complete)
        task = asyncio.create_task(self._deliver(entry))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=self.rules.patience)
        return task.result() if done else False

    def recover(self, entries: Iterable[SpoolEntry]) -> None:
        """Deliver in the background what an earlier life left in the spool."""
        for entry in entries:
            log.info("recording found in the spool", message_id=str(entry.id), complete=entry.complete)
            self._postpone(entry)

    def _begun(self, entry: SpoolEntry, longest: float) -> Path:
        path = self._spool.begin(entry)
        try:
            room.set_aside(path, wav.HEADER + int(longest * wav.RATE))
        except OSError:
            self._spool.remove(entry.id)
            raise
        return path

    async def _deliver(self, entry: SpoolEntry) -> bool:
        try:
            await self._settle(entry)
        except Unavailable:
            log.warning("message kept in the spool: the database is away", **_told(entry))
        except Exception:
            log.exception("message kept in the spool: it could not be deposited", **_told(entry))
        else:
            return True
        with contextlib.suppress(OSError):
            await asyncio.to_thread(
                self._spool.finish,
                entry.id,
                complete=entry.complete,
                urgent=entry.urgent,
                seconds=entry.seconds,
            )
        self._postpone(entry)
        return False

    async def _settle(self, entry: SpoolEntry) -> None:
        """Deposit it, or take it out of the way when it can never be deposited."""
        try:
            entry, audio = await asyncio.to_thread(_loaded, entry, self._spool.path(entry.id))
        except BadSound as error:
            log.error("ALARM recording set aside: it holds no audio", why=str(error), **_told(entry))
            return await asyncio.to_thread(self._spool.set_aside, entry.id)
        if entry.held:
            log.info("recording dropped: its author had not sent it", **_told(entry))
            return await asyncio.to_thread(self._spool.remove, entry.id)
        if (entry.seconds or 0.0) < self.rules.shortest and not entry.forwards:
            log.info("recording dropped: too short", **_told(entry))
            return await asyncio.to_thread(self._spool.remove, entry.id)
        kept = await postroom.post(self._store, entry, audio, self._wait)
        if kept is None:
            log.error("ALARM message set aside: there is nobody to get it", **_told(entry))
            return await asyncio.to_thread(self._spool.set_aside, entry.id)
        await asyncio.to_thread(self._spool.remove, entry.id, durable=False)
        log.info("message deposited", copies=kept.copies, repeated=kept.repeated, **_told(entry))

    def _postpone(self, entry: SpoolEntry) -> None:
        self._waiting[entry.id] = entry
        self._something.set()

    async def _sweep(self) -> None:
        attempt = 0
        while True:
            await self._something.wait()
            attempt += 1
            await self._sleep(pause_before(attempt))
            if await self._round():
                attempt = 0

    async def _round(self) -> bool:
        """Try what waits, oldest first, until the store fails again. Whether something was done."""
        settled = False
        for entry in list(self._waiting.values()):
            if entry.id not in self._waiting:
                continue  # put behind another one meanwhile
            try:
                await self._settle(await self._whole(entry))
            except Unavailable:
                break
            except Exception:
                log.exception("message stays in the spool: it could not be deposited", **_told(entry))
                continue
            settled = True
            del self._waiting[entry.id]
        if not self._waiting:
            self._something.clear()
        return settled

    async def _whole(self, entry: SpoolEntry) -> SpoolEntry:
        """With what was to be put behind it when it was left behind."""
        for more in [each for each in self._waiting.values() if each.continues == entry.id]:
            try:
                entry = await asyncio.to_thread(_put_behind, self._spool, entry, more)
            except BadSound as error:
                log.error("a recording cannot be joined", why=str(error), **_told(more))
                continue
            del self._waiting[more.id]
            log.info("recording joined to the one it continues", joined=str(more.id), **_told(entry))
        return entry


@dataclass(frozen=True, slots=True)
class Draft:
    """A recording in the spool that may become a message, and the WAV file to record into."""

    entry: SpoolEntry
    path: Path


def _loaded(entry: SpoolEntry, path: Path) -> tuple[SpoolEntry, bytes]:
    """The audio, and its true length. What a crash left gets the sizes of its header first.
    Raises BadSound when there is something, but no audio."""
    if not path.exists() or path.stat().st_size <= wav.HEADER:
        return replace(entry, seconds=0.0), b""
    if not wav.closed(path):
        wav.repair(path)
    audio = path.read_bytes()
    return replace(entry, seconds=wav.parse(audio).seconds), audio


def _put_behind(spool: Spool, entry: SpoolEntry, more: SpoolEntry) -> SpoolEntry:
    """Join what a crash left, once however often it is tried. Raises BadSound."""
    entry, _ = _loaded(entry, spool.path(entry.id))
    more, addition = _loaded(more, spool.path(more.id))
    seconds = entry.seconds or 0.0
    if addition and seconds < more.begun_at + JOINED:
        seconds = _join(spool.path(entry.id), spool.path(more.id))
    entry = spool.finish(entry.id, seconds=seconds, complete=more.complete)
    spool.remove(more.id)
    return entry


def _join(first: Path, second: Path) -> float:
    """Put `second` behind `first`, as one file replaced at once and on disk. Returns its seconds."""
    return _extend(first, wav.read(second))


def _extend(first: Path, sound: wav.Sound) -> float:
    whole = wav.join((wav.read(first), sound))
    part = first.with_suffix(".part")
    with part.open("wb") as out:
        out.write(whole)
        out.flush()
        os.fsync(out.fileno())
    part.replace(first)
    return wav.parse(whole).seconds


def _told(entry: SpoolEntry) -> dict[str, Any]:
    """What every line about a message says."""
    return {
        "message_id": str(entry.id),
        "mailbox": entry.extension,
        "seconds": round(entry.seconds or 0.0, 1),
        "message_call_id": entry.call_id,
    }
