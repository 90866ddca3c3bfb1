"""Ten thousand callers who press anything at any time: no exception, no dead end, nothing confirmed is lost.

Each wave of calls is a house of its own, with two users, a list, a handler with keys, a broadcast, and a
store that is away at times. Both users have a key map made at random. Callers press keys that are offered
more often than others, know the PIN half of the time, speak, stay silent and hang up; their dice are seeded,
so that a failure can be repeated:
`python -m pytest tests/simulation/test_any_keys.py -k "[17]"`.
"""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from sip import wav
from sip.call import Recording, RecordLimits, Sound, Transferred
from sip.invite import Invite, Reason, Redirection
from store.model import Envelope, Setting, User
from tests.fakes.call import ScriptedCall, Speaks
from tests.fakes.desk import ANNA, BEN, CHEAP, PILOT, PIN, READY, House, house
from tests.fakes.key_maps import any_map
from voicemail import pins
from voicemail.conversation.services import SERVICES
from voicemail.policy.book import OPTIONS
from voicemail.policy.model import Action, CallHandler, ClassOfService, Go, Members, UserOptions
from voicemail.policy.transfers import OnBusy, OtherTransfer, Transfer

KEYS = "0123456789*#"
LONGEST_CALL = 120
"""Verbs until the caller has had enough, and says and presses nothing any more."""
PATIENCE = 90
"""Verbs after which a call with a silent caller must be over: a busy line is tried fifteen times."""
RINGS = Transfer(
    enabled=True, supervised=True, on_busy=OnBusy.HOLD, announce=True, ask_name=True, confirm=True
)
THERE = READY.model_copy(update={"transfer": RINGS, "type_menu": True, "key_map": "own"})
WAVES, CALLS = 100, 100


@pytest.fixture(autouse=True)
def cheap_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `pins.hashed`, for nothing."""
    monkeypatch.setattr(pins, "hashed", CHEAP.hash)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        policies = opened.desk().policies
        await policies.put("default", ClassOfService(may_broadcast=True, skip_pin=True))
        await policies.put("sales", Members(extension="600", members=("1001", "1002")))
        keys = {"1": Action(go=Go.USER, target="1001", transfer=True), "2": Action(go=Go.DIRECTORY)}
        keys |= {"3": Action(go=Go.TRANSFER, target="1002"), "4": Action(go=Go.HANDLER, target="goodbye")}
        keys |= {key: Action(go=go) for key, go in zip("5678", SERVICES, strict=True)}
        shop = CallHandler(extension="700", keys=keys, messages_to=("list:sales",), owners=("1001",))
        await policies.put("shop", shop)
        closed = OtherTransfer(active=True, enabled=False)
        await policies.put("front", CallHandler(extension="800", transfer=RINGS, closed_transfer=closed))
        for user in (ANNA, BEN):
            await opened.store.settings.put(setting(user, THERE))
        yield opened


class AnybodysCall(ScriptedCall):
    """Presses, speaks and hangs up at random; silent after LONGEST_CALL verbs."""

    def __init__(self, home: House, dice: random.Random) -> None:
        numbers = ["1001", "1001", "700", "800", "7777"]
        forwarded = (Redirection(dice.choice(numbers), dice.choice(list(Reason))),)
        invite = Invite(
            call_id="c",
            dialled=dice.choice([PILOT, PILOT, *numbers]),
            caller=dice.choice(["1001", "1002", "+49", ""]),
            redirections=forwarded if dice.random() < 0.4 else (),
            identified=dice.choice(["", "", "1001", "1002"]),
        )
        super().__init__(
            [], invite=invite, clock=home.clock, leaves_at=dice.choice([0, dice.randrange(3, 400)])
        )
        self.home = home
        self.dice, self.verbs, self.spool = dice, 0, home.spool.folder
        self.transferred = dice.choice(list(Transferred))
        self.kept: list[Recording] = []

    def somebody(self) -> ScriptedCall:
        """Who is called is anybody, too."""
        other = AnybodysCall(self.home, self.dice)
        other.answered = True
        return other

    @property
    def tired(self) -> bool:
        return self.verbs > LONGEST_CALL

    def _verb(self) -> None:
        self.verbs += 1
        assert self.verbs <= LONGEST_CALL + PATIENCE, f"the call does not end: {self.heard[-20:]}"

    async def play(self, *sounds: Sound, until: str = "") -> str:
        self._verb()
        await super().play(*sounds)
        return self.dice.choice(until) if until and not self.tired and self.dice.random() < 0.5 else ""

    async def ask(self, *sounds: Sound, keys: str, wait: float = 5.0) -> str:
        pressed = self.dice.choice([*keys, *keys, self.dice.choice(KEYS), ""])
        self.script = ["" if self.tired else pressed]
        return await super().ask(*sounds, keys=keys, wait=wait)

    async def digits(self, *sounds: Sound, most: int, wait: float = 5.0, secret: bool = False) -> str:
        known = [PIN] if secret else ["1001", "1002", "001", "600", "0304", "1530"]
        anything = "".join(self.dice.choices(KEYS[:10], k=6))
        self.script = ["" if self.tired else self.dice.choice([*known, *known, "", "*", anything])]
        return await super().digits(*sounds, most=most, wait=wait, secret=secret)

    async def record(self, path: Path, limits: RecordLimits) -> Recording:
        how = self.dice.choice(["#", "#", "hang-up", "silence", "limit"])
        self.script = [Speaks(self.dice.choice([0.0, 0.5, 2.0, 8.0]), how)]
        return await super().record(path, limits)


def setting(user: User, options: UserOptions) -> Setting:
    return Setting(UserOptions.KIND, OPTIONS, options.model_dump_json(), user.id)


def sent(call: ScriptedCall) -> int:
    """How many messages the caller was told to be sent."""
    return sum(sound == "message_sent" for sound in call.heard)


async def afresh(home: House, dice: random.Random) -> None:
    """Now and then somebody is new, or has changed his PIN; whoever it was, the dice know the PIN again."""
    for user in (ANNA, BEN):
        present: User = await home.store.users.get(user.id) or user
        if present.pin_hash != user.pin_hash:
            await home.store.users.change(user)
            await home.store.settings.put(setting(user, THERE))
        await home.store.sign_ins.unlock(user.id)
    if dice.random() < 0.02:
        await home.store.settings.put(setting(ANNA, UserOptions()))
    if dice.random() < 0.2:
        await home.leave(audio=wav.file_ulaw(b"\x55" * wav.RATE), envelope=Envelope(sender=BEN.id))


@pytest.mark.parametrize("wave", range(WAVES))
async def test_whatever_is_pressed_nothing_breaks(home: House, wave: int) -> None:
    dice = random.Random(wave)
    await home.desk().policies.put("own", any_map(dice))
    with structlog.testing.capture_logs() as lines:
        for number in range(CALLS):
            await afresh(home, dice)
            before = len(home.store.state.messages) + home.left_in_spool()
            home.store.state.away = dice.random() < 0.05
            call = AnybodysCall(home, dice)
            await home.pilot().handle(call)
            home.store.state.away = False
            assert call.ended
            more = len(home.store.state.messages) + home.left_in_spool() - before
            assert more >= sent(call), (number, call.heard)
            broke = [line for line in lines if "broke" in line["event"] or "exc_info" in line]
            assert broke == [], (number, call.heard[-12:])
    left = [each for each in (home.folder / "sounds").iterdir() if each.name != "greetings"]
    assert not left
