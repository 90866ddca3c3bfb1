"""Callers who press anything at any time: no exception, no dead end, no message lost or doubled."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from sip.call import Recording, RecordLimits, Sound
from sip.invite import Invite, Redirection
from tests.fakes.call import ScriptedCall, Speaks
from tests.fakes.desk import ANNA, PILOT, PIN, House, house

KEYS = "0123456789*#"
LONGEST_CALL = 60
"""Verbs until the caller has had enough."""


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


class AnybodysCall(ScriptedCall):
    """Presses, speaks and hangs up at random; knows a PIN, and uses it half of the time."""

    def __init__(self, home: House, dice: random.Random) -> None:
        forwarded = (Redirection(dice.choice(["1001", "1001", "7777"])),) if dice.random() < 0.6 else ()
        invite = Invite("c", dice.choice([PILOT, PILOT, "1001"]), dice.choice(["1001", "+49"]), "", forwarded)
        super().__init__([], invite=invite, clock=home.clock, leaves_at=dice.randrange(3, 400))
        self.dice, self.verbs, self.cancelled, self.spool = dice, 0, False, home.spool.folder
        self.kept: list[Recording] = []

    def _verb(self) -> None:
        self.verbs += 1
        if self.verbs > LONGEST_CALL:
            raise self._leave()

    async def play(self, *sounds: Sound, until: str = "") -> str:
        self._verb()
        await super().play(*sounds)
        return self.dice.choice(until) if until and self.dice.random() < 0.5 else ""

    async def ask(self, *sounds: Sound, keys: str, wait: float = 5.0) -> str:
        self.script = [self.dice.choice([*KEYS, ""])]
        key = await super().ask(*sounds, keys=keys, wait=wait)
        self.cancelled |= key == "*" and "review_cancel" in sounds
        return key

    async def digits(self, *sounds: Sound, most: int, wait: float = 5.0, secret: bool = False) -> str:
        right = PIN if secret else "1001"
        self.script = [self.dice.choice([right, right, "", "*", "".join(self.dice.choices(KEYS, k=6))])]
        return await super().digits(*sounds, most=most, wait=wait, secret=secret)

    async def record(self, path: Path, limits: RecordLimits) -> Recording:
        how = self.dice.choice(["#", "#", "hang-up", "silence", "limit"])
        self.script = [Speaks(self.dice.choice([0.0, 0.5, 2.0, 8.0]), how)]
        taken = await super().record(path, limits)
        if path.parent == self.spool:  # greetings and names are recorded elsewhere
            self.kept.append(taken)
        return taken


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_is_pressed_nothing_breaks(home: House, seed: int) -> None:
    dice = random.Random(seed)
    with structlog.testing.capture_logs() as lines:
        for _ in range(12):
            before = len(home.store.state.messages) + home.left_in_spool()
            home.store.state.away = dice.random() < 0.1
            call = AnybodysCall(home, dice)
            await home.pilot().handle(call)
            home.store.state.away = False
            after = len(home.store.state.messages) + home.left_in_spool()
            assert call.ended
            assert call.verbs <= LONGEST_CALL + 3, "the call does not end"
            enough = any(each.seconds >= 1 for each in call.kept)
            assert after - before == int(enough and not call.cancelled), call.heard
            await home.store.sign_ins.unlock(ANNA.id)
    assert [line for line in lines if "broke" in line["event"] or "exc_info" in line] == []
    left = [each for each in (home.folder / "sounds").iterdir() if each.name != "greetings"]
    assert not left
