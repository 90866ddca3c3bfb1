"""A message's audio, how far it has been heard, and how fast and loud it plays."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

import numpy as np

from sip import wav
from sip.call import Call
from voicemail.conversation.desk import Sounds
from voicemail.stretch import Samples, louder, stretched

SPEEDS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
VOLUMES = (0, 6, 12, -6)
"""dB, in the order in which one key goes through them."""
FIRST = 20.0
"""Seconds of a recording that are made slower or faster before they play; the rest is while they do."""
AROUND = 2.0
"""Seconds before the end of the first piece in which it may end: where it is quietest."""
WINDOW = 400
"""Samples whose loudness is compared for that."""


class Tape:
    """Plays from where it stands to the next of its `stops`, or the end. A call does not tell how far a sound
    has been played, so that is taken from the clock: good to a few hundredths of a second, and kept inside
    the tape if the clock jumps. All times are those of the recording, whatever the speed."""

    def __init__(
        self,
        audio: bytes,
        sounds: Sounds,
        now: Callable[[], datetime],
        *,
        speed: float = 1.0,
        volume: int = 0,
        stops: Sequence[float] = (),
    ) -> None:
        """`stops` are seconds from the beginning. Raises BadSound."""
        self._sound = wav.parse(audio)
        self._audio, self._sounds, self._now = audio, sounds, now
        self._stops = tuple(stop for stop in stops if 0 < stop < self._sound.seconds)
        self.at = 0.0
        """Seconds from the beginning."""
        self.speed, self.volume = speed, volume
        self.heard = False
        """Whether its end has been reached by listening."""

    @property
    def ended(self) -> bool:
        return self.at >= self._sound.seconds

    @property
    def part(self) -> int:
        """Which stretch between stops it stands in, from 0."""
        return sum(self.at >= stop for stop in self._stops)

    def restart(self) -> None:
        self.at = 0.0

    def wind(self, seconds: float) -> None:
        """Forward, or back."""
        self.at = min(max(0.0, self.at + seconds), self._sound.seconds)

    def change_speed(self, steps: int) -> None:
        """Faster by so many steps of SPEEDS, or slower."""
        nearest = min(range(len(SPEEDS)), key=lambda n: abs(SPEEDS[n] - self.speed))
        self.speed = SPEEDS[min(max(0, nearest + steps), len(SPEEDS) - 1)]

    def change_volume(self) -> None:
        """The next of VOLUMES."""
        at = VOLUMES.index(self.volume) if self.volume in VOLUMES else -1
        self.volume = VOLUMES[(at + 1) % len(VOLUMES)]

    async def play(self, call: Call, until: str) -> str:
        """To the next stop. The key out of `until` that stopped it; "" when it got there."""
        was, ends, key = self.at, await asyncio.to_thread(self._ends), ""
        coming = self._prepared(self.at, ends[0])
        try:
            for end, following in zip_longest(ends, ends[1:]):
                piece = await self._sounds.file(await coming)
                if following:
                    coming = self._prepared(end, following)
                if key := await self._play_piece(call, until, piece, end):
                    break
        finally:
            coming.cancel()
        self.heard |= not key and self.ended and was < ends[-1]
        return key

    def _ends(self) -> list[float]:
        """Where the pieces end in which the tape plays to its next stop. What is stretched begins with a
        short one: making five minutes slower takes longer than a key may wait."""
        end = next((stop for stop in self._stops if stop > self.at), self._sound.seconds)
        if self.speed == 1.0 or end - self.at <= FIRST:
            return [end]
        start = round((self.at + FIRST - AROUND) * wav.RATE)
        around = np.abs(self._plain[start : start + round(AROUND * wav.RATE)].astype(np.int32))
        quietest = int(around.reshape(-1, WINDOW).sum(axis=1).argmin())
        return [(start + (quietest + 0.5) * WINDOW) / wav.RATE, end]

    def _prepared(self, start: float, end: float) -> asyncio.Task[bytes]:
        return asyncio.create_task(asyncio.to_thread(self._piece, start, end))

    async def _play_piece(self, call: Call, until: str, piece: Path, end: float) -> str:
        began = self._now()
        try:
            key = await call.play(piece, until=until)
        finally:
            played = (self._now() - began).total_seconds() * self.speed
            self._sounds.drop(piece)
            self.at = min(max(self.at, self.at + played), end)
        if not key:
            self.at = end
        return key

    def _piece(self, start: float, end: float) -> bytes:
        """From `start` to `end`, as it is to be heard."""
        first, last = int(start * wav.RATE), round(end * wav.RATE)
        if self.speed != 1.0 or self.volume:
            heard = louder(stretched(self._plain[first:last], self.speed, wav.RATE), self.volume)
            return wav.file_pcm16(heard.tobytes().ljust(2 * wav.PLAYABLE, b"\0"))
        if not first and last >= self._sound.samples:
            return self._audio
        return wav.file_ulaw(wav.samples_ulaw(self._sound)[first:last].ljust(wav.PLAYABLE, wav.SILENCE))

    @cached_property
    def _plain(self) -> Samples:
        return np.frombuffer(wav.samples_pcm16(self._sound), np.int16)
