"""A message's audio, and how far it has been heard."""

from collections.abc import Callable
from datetime import datetime

from sip import wav
from sip.call import Call
from voicemail.conversation.desk import Sounds


class Tape:
    """Plays from where it stands. A call does not tell how far a sound has been played, so that is taken
    from the clock: good to a few hundredths of a second, and kept inside the tape if the clock jumps."""

    def __init__(self, audio: bytes, sounds: Sounds, now: Callable[[], datetime]) -> None:
        """Raises BadSound."""
        self._sound = wav.parse(audio)
        self._audio, self._sounds, self._now = audio, sounds, now
        self._at = 0.0
        self.heard = False
        """Whether its end has been reached."""

    def restart(self) -> None:
        self._at = 0.0

    def back(self, seconds: float) -> None:
        self._at = max(0.0, self._at - seconds)

    async def play(self, call: Call, until: str) -> str:
        """The rest of it. The key out of `until` that stopped it; "" at the end."""
        rest = await self._sounds.file(self._rest())
        began = self._now()
        try:
            key = await call.play(rest, until=until)
        finally:
            self._sounds.drop(rest)
        played = (self._now() - began).total_seconds()
        self._at = min(max(0.0, self._at + played), self._sound.seconds) if key else 0.0
        self.heard |= not key
        return key

    def _rest(self) -> bytes:
        if not self._at:
            return self._audio
        samples = wav.samples_ulaw(self._sound)[int(self._at * wav.RATE) :]
        return wav.file_ulaw(samples or wav.SILENCE)
