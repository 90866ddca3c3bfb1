"""A caller who follows a script: a working Call without a telephone.

The script holds what the caller does, in order: "#", "12" … keys pressed when asked (in `digits`, all of
them; "" stays silent), `Speaks(12.0)` or plain `12.0` when recorded, `Barges("#")` a key pressed into
something that plays. When the script is over the caller hangs up. `leaves_at=n` makes the caller hang up
at the n-th moment (from 1): each sound is one, and so is each waiting and each recording.

Recordings are real WAV files whose samples tell which recording they are (`voice(n)`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sip import wav
from sip.call import HungUp, Recording, RecordLimits, Screen, Sound, Transferred
from sip.invite import Invite
from voicemail.prompts import SHIPPED, catalogue
from voicemail.words import LANGUAGES

FILE = "FILE"
"""Any sound that is no prompt: a message, a greeting."""
PROMPTS = {
    language: {name for table in catalogue(SHIPPED / language).values() for name in table}
    for language in LANGUAGES
}
START = datetime(2026, 3, 4, 15, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Speaks:
    """What happens during a recording."""

    seconds: float
    then: str = "#"
    """"#", or why it ended otherwise: "silence", "limit", "hang-up", "cut-off"."""


@dataclass(frozen=True)
class Barges:
    """A key pressed `after` seconds of a sound that it may stop: any, or one named, or FILE."""

    key: str
    into: str = ""
    after: float = 0.5

    def stops(self, sound: Sound, until: str) -> bool:
        name = FILE if isinstance(sound, Path) else sound
        return bool(until) and self.key in until and self.into in ("", name)


Step = str | float | Speaks | Barges


@dataclass
class Clock:
    """Time that passes when sounds are played."""

    time: datetime = START

    def now(self) -> datetime:
        return self.time

    def pass_(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def voice(number: int) -> bytes:
    """The sample that recording `number` (from 1) of a call is made of."""
    return bytes((0x10 + number,))


@dataclass
class ScriptedCall:
    """See above. `heard` is every sound played, even if a key cut it short; `verbs` what was called."""

    script: list[Step]
    invite: Invite = Invite(call_id="call-1", dialled="5000", caller="+4930555")
    leaves_at: int = 0
    clock: Clock = field(default_factory=Clock)
    heard: list[Sound] = field(default_factory=list)
    lengths: dict[int, float] = field(default_factory=dict)
    """Seconds of the files played, by their index in `heard`."""
    on_sound: Callable[[Sound], None] = lambda sound: None
    """Told of every sound when it begins."""
    transferred: Transferred = Transferred.DONE
    """How every transfer ends."""
    transfers: list[tuple[str, str]] = field(default_factory=list)
    """("transfer" or "connect", number) of each."""
    answers: list[Step] = field(default_factory=lambda: ["1"])
    """What those do who answer a transfer and are spoken to first: the script of each such call."""
    other: "ScriptedCall | None" = None
    """The last of them."""
    prepared: tuple[Sound, ...] = ()
    """What was made ready last."""
    language: str = "en"
    moments: int = 0
    recorded: int = 0
    answered: bool = False
    rejected: int = 0
    gone: bool = False
    ended: bool = False
    """Whether we hung up."""

    def _moment(self) -> None:
        if self.gone:
            raise HungUp
        self.moments += 1
        if self.moments == self.leaves_at:
            self.gone = True
            raise HungUp

    def _leave(self) -> HungUp:
        self.gone = True
        return HungUp()

    def _next(self) -> Step:
        if not self.script:
            raise self._leave()
        return self.script.pop(0)

    def _hear(self, sound: Sound) -> float:
        self._moment()
        there = isinstance(sound, Path) or sound in PROMPTS[self.language]
        assert there, f"there is no prompt {sound} in {self.language}"
        length = 1.0
        if isinstance(sound, Path):
            length = wav.seconds(sound)
            self.lengths[len(self.heard)] = length
        self.heard.append(sound)
        self.on_sound(sound)
        return length

    async def answer(self) -> None:
        if not self.answered:
            self._moment()
        self.answered = True

    async def reject(self, code: int, reason: str = "") -> None:
        self.rejected = code

    async def play(self, *sounds: Sound, until: str = "") -> str:
        assert self.answered, "played before the answer"
        if self.gone:
            raise HungUp
        for sound in sounds:
            length = self._hear(sound)
            step = self.script[0] if self.script else None
            if isinstance(step, Barges) and step.stops(sound, until):
                self.script.pop(0)
                self.clock.pass_(step.after)
                return step.key
            self.clock.pass_(length)
        return ""

    async def prepare(self, *sounds: Sound, language: str) -> None:
        self.prepared = sounds

    async def ask(self, *sounds: Sound, keys: str, wait: float = 5.0) -> str:
        await self.play(*sounds)
        self._moment()
        step = self._next()
        key = step.key if isinstance(step, Barges) else step
        assert isinstance(key, str) and len(key) <= 1, f"the script has {step!r} where a key is asked for"
        if not key:
            self.clock.pass_(wait)
        return key if key in keys else "?"

    async def digits(self, *sounds: Sound, most: int, wait: float = 5.0, secret: bool = False) -> str:
        await self.play(*sounds)
        self._moment()
        step = self._next()
        assert isinstance(step, str), f"the script has {step!r} where digits are asked for"
        if not step:
            self.clock.pass_(wait)
        return step[:most]

    async def record(self, path: Path, limits: RecordLimits) -> Recording:
        assert self.answered and path.parent.is_dir()
        self.recorded += 1
        try:
            self._moment()
            step = self._next()
        except HungUp:
            step = Speaks(3.0, "hang-up")
        speaks = Speaks(step) if isinstance(step, int | float) else step
        assert isinstance(speaks, Speaks), f"the script has {step!r} where a recording is made"
        seconds = min(speaks.seconds, limits.longest)
        self.gone |= speaks.then in ("hang-up", "cut-off")
        path.write_bytes(wav.file_ulaw(voice(self.recorded) * 2 * int(seconds * wav.RATE / 2)))
        self.clock.pass_(seconds)
        if speaks.then == "#":
            return Recording(path, seconds, "key", "#")
        return Recording(path, seconds, speaks.then)

    async def transfer(self, number: str) -> Transferred:
        done = self._put_through("transfer", number)
        self.gone |= done is Transferred.DONE
        return done

    async def connect(self, number: str, ring: float, screen: Screen | None = None) -> Transferred:
        done = self._put_through("connect", number)
        self.clock.pass_(0.0 if done is Transferred.DONE else ring)
        if screen and done is Transferred.DONE:
            done = await self._screened(screen)
        self.gone |= done is Transferred.DONE
        return done

    async def _screened(self, screen: Screen) -> Transferred:
        self.other = self.somebody()
        try:
            wanted = await screen(self.other)
        except HungUp:
            wanted = False
        self._moment()
        return Transferred.DONE if wanted and not self.other.gone else Transferred.DECLINED

    def somebody(self) -> "ScriptedCall":
        """Whoever answers."""
        return ScriptedCall(list(self.answers), clock=self.clock, answered=True)

    def _put_through(self, how: str, number: str) -> Transferred:
        assert self.answered, "transferred before the answer"
        self._moment()
        self.transfers.append((how, number))
        return self.transferred

    def use_language(self, language: str) -> None:
        self.language = language

    async def hang_up(self) -> None:
        self.ended = True


async def at_every_moment(
    call: Callable[[int], ScriptedCall], run: Callable[[ScriptedCall], Awaitable[None]]
) -> int:
    """Repeat a conversation with a hang-up at each of its moments. `call(leaves_at)` makes the caller
    anew, `run` holds it and checks what must be true then. Returns how many moments there were."""
    whole = call(0)
    await run(whole)
    for moment in range(1, whole.moments + 1):
        await run(call(moment))
    return whole.moments
