"""All that a conversation sees of a call."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from sip.invite import Invite

Sound = str | Path
"""Something to play: the name of a prompt, or an 8 kHz mono WAV file (PCM16, mu-law or A-law)."""


class HungUp(Exception):
    """The caller has gone. Any verb of a Call may raise it; the conversation's runner catches it."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded: a complete WAV file on disk (mu-law, 8 kHz), its length, why it ended."""

    path: Path
    seconds: float
    ended_by: str
    """"key", "silence", "limit", "hang-up", or "cut-off": by us, who had to end the call."""
    key: str = ""


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """All in seconds. `silence` ends a recording after so much quiet, 0 never does."""

    longest: float = 300.0
    silence: float = 10.0
    keys: str = "#"
    """Keys that end the recording; others are ignored."""
    pause: str = ""
    """A key that pauses the recording, and lets it go on; "" for none. A pause of a minute ends it."""
    warning: Sound | None = None
    """Played to the caller 15 s before the limit, when that is 30 s or more; it is not recorded."""


class Transferred(StrEnum):
    """How putting a call through ended. After DONE the caller is gone from us."""

    DONE = "done"
    BUSY = "busy"
    NO_ANSWER = "no answer"
    REFUSED = "refused"
    """By the caller's own side, which cannot be transferred, or by the target."""
    DECLINED = "declined"
    """By whoever answered, and was asked."""


class Call(Protocol):
    """A call in progress. Digits pressed early are kept for the next `ask`, as experts type ahead.

    Every verb raises HungUp when the caller has gone, except `record`, which returns what there is
    with `ended_by` "hang-up" or "cut-off" (the next verb raises).
    """

    @property
    def invite(self) -> Invite: ...

    async def answer(self) -> None:
        """Pick up (200). Returns when audio flows. A second call does nothing."""

    async def reject(self, code: int, reason: str = "") -> None:
        """Refuse before answering, e.g. 404 or 503."""

    async def play(self, *sounds: Sound, until: str = "") -> str:
        """Play to the end, without a gap between sounds. A key of `until` stops it and is returned
        ("" when none came). An unknown prompt is a short tone, an unreadable file is skipped; both are
        logged."""

    async def prepare(self, *sounds: Sound, language: str) -> None:
        """Make these ready to be played in one go, in this language, without delay. The latest ones only;
        nothing comes of it when others are played. Never raises."""

    async def ask(self, *sounds: Sound, keys: str, wait: float = 5.0) -> str:
        """Play, then wait `wait` seconds for one key out of `keys`. Any key interrupts. "" means
        silence; a key outside `keys` is returned as "?" so that the menu can say it is wrong."""

    async def digits(self, *sounds: Sound, most: int, wait: float = 5.0, secret: bool = False) -> str:
        """Play, then collect up to `most` digits, ended by `#` or `wait` seconds of silence after
        the last one. "*" alone cancels and is returned as "*". `secret` keeps them out of logs."""

    async def record(self, path: Path, limits: RecordLimits) -> Recording:
        """Record to `path` (created; its directory must exist) until a key, silence, the limit or
        hang-up. Fsyncs the growing file at least every second. The file is complete (WAV sizes
        right) and fsynced when this returns."""

    async def transfer(self, number: str) -> Transferred:
        """Put the caller through to a number by REFER (RFC 3515), sent to where the call came from.
        DONE when that side has taken it over (a final NOTIFY of 2xx, or its BYE); it never waits longer
        than 20 s. A caller who came over no trunk, or whose side refuses the number, is put through as
        by `connect`, in 20 s, to a phone that has registered here.
        Whether the number may be called is the conversation's to check, before."""

    async def connect(self, number: str, ring: float, screen: "Screen | None" = None) -> Transferred:
        """As `transfer`, but supervised: ring the number ourselves for up to `ring` seconds while the
        caller hears ringing, and hand the call over when it is answered (REFER with Replaces,
        RFC 3891). A caller's side that cannot take it over stays joined with the other here, and this
        returns when they have hung up. When it is not answered, the caller is still here, and so he is
        when whoever answers does not want him, asked by `screen` for a minute at most (DECLINED)."""

    def use_language(self, language: str) -> None:
        """Prompts by name are spoken in this language from now on ("en", "de"); a prompt which that
        language lacks is spoken in the default one."""

    async def hang_up(self) -> None:
        """End the call (BYE). Does nothing when it has ended."""


Handler = Callable[[Call], Awaitable[None]]
"""Runs one call from INVITE to BYE, in the worker's asyncio thread."""

Screen = Callable[[Call], Awaitable[bool]]
"""A conversation with whoever has answered, before the caller is joined: whether the caller is wanted. Its
HungUp says no, as hanging up does."""

Talk = Callable[[Call], Awaitable[None]]
"""A conversation with somebody whom we have called."""


class Dial(Protocol):
    """How a handler calls somebody."""

    async def __call__(self, target: str, seconds: float, talk: Talk, *, trunk: bool) -> Transferred:
        """Ring `target` (a sip URI) for so long. DONE when it was answered; `talk` has run then, and the
        call is over. A phone that has registered here is called by its number; only with `trunk` may the
        URI lead elsewhere. Raises EngineError when there is no port to spare, HungUp from `talk`."""


@runtime_checkable
class CallsOut(Protocol):
    """A handler that makes calls, too."""

    def may_dial(self, dial: Dial) -> None:
        """Told once, before the first call comes."""


Session = Callable[[int], AbstractAsyncContextManager[Handler]]
"""Opens what a worker needs (database, spool) for slot n and gives the handler of its calls."""

Prompts = Callable[[str, str], Path | None]
"""Finds the file of a prompt by name and language ("" for the default one, in which a prompt that the
language lacks is found, too); None when there is none (it is then a tone, and logged)."""
