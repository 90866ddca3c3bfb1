"""What is made ready while a PIN is typed, and what is noted behind the voice."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sip import wav
from sip.call import HungUp, Sound
from store.errors import Unavailable
from store.memory import MemorySignIns
from store.model import Envelope, MessageKind
from store.signing_in import Attempt
from tests.fakes.call import FILE, ScriptedCall
from tests.fakes.desk import ANNA, CHEAP, PIN, House, house
from voicemail.conversation.user_side import user_side
from voicemail.greetings import NAME
from voicemail.policy.model import ClassOfService, MenuStyle, Quota


class Types(ScriptedCall):
    """Types a PIN until the first words are ready, if the store is there; `meanwhile` happens then, once."""

    meanwhile: Callable[[], Coroutine[Any, Any, object]] | None = None
    ready: asyncio.Event
    away = False

    async def prepare(self, *sounds: Sound, language: str) -> None:
        await super().prepare(*sounds, language=language)
        self.ready.set()

    async def digits(self, *sounds: Sound, most: int, wait: float = 5.0, secret: bool = False) -> str:
        self.ready = asyncio.Event()
        pressed = await super().digits(*sounds, most=most, wait=wait, secret=secret)
        if "enter_pin" in sounds and not self.away:
            async with asyncio.timeout(10.0):
                await self.ready.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        if self.meanwhile:
            await self.meanwhile()
            self.meanwhile = None
        return pressed


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def enter(
    home: House, *script: str, meanwhile: Callable[[], Coroutine[Any, Any, object]] | None = None
) -> Types:
    call = Types([*script], clock=home.clock, answered=True)
    call.meanwhile, call.away = meanwhile, home.store.state.away
    with suppress(HungUp):
        await user_side(home.desk(), call, ANNA, False)
    return call


def said(call: ScriptedCall) -> list[str]:
    """What was heard after the PIN was asked for."""
    words = [FILE if isinstance(each, Path) else each for each in call.heard]
    return words[words.index("enter_pin") + 1 :]


async def options(home: House, **changes: object) -> None:
    policies = home.desk().policies
    changed = (await policies.options(ANNA.id)).model_copy(update=changes)
    await policies.set_options(ANNA.id, changed)


async def test_the_first_words_were_ready(home: House) -> None:
    await home.leave()
    await home.leave(urgent=True)
    await home.leave(envelope=Envelope(MessageKind.NON_DELIVERY))
    call = await enter(home, PIN)
    assert list(call.prepared) == said(call) == call.heard[2:]
    assert said(call)[0] == "you_have" and said(call)[-1] == "main_menu"


async def test_so_were_the_words_of_a_user_who_knows_the_keys(home: House) -> None:
    await options(home, menu_style=MenuStyle.BRIEF)
    call = await enter(home, PIN)
    assert list(call.prepared) == call.heard[2:] == ["no_messages", "main_menu_brief"]


async def test_so_was_the_name_with_what_else_comes_first(home: House) -> None:
    await home.desk().policies.put("default", ClassOfService(quota=Quota(warn=1)))
    await home.leave()
    await home.store.users.set_greeting(ANNA.id, wav.file_ulaw(b"\x11" * wav.RATE), NAME)
    call = await enter(home, PIN)
    assert said(call)[:3] == [FILE, "mailbox_nearly_full", "you_have"]
    assert list(call.prepared) == call.heard[2:4]


async def test_a_message_that_comes_while_the_pin_is_typed_is_counted(home: House) -> None:
    call = await enter(home, PIN, meanwhile=home.leave)
    assert call.prepared[0] == "no_messages"
    assert said(call)[0] == "you_have"


async def test_a_name_recorded_while_the_pin_is_typed_is_heard(home: House) -> None:
    def recorded(seconds: int) -> Coroutine[Any, Any, None]:
        return home.store.users.set_greeting(ANNA.id, wav.file_ulaw(b"\x11" * seconds * wav.RATE), NAME)

    await recorded(1)
    call = await enter(home, PIN, meanwhile=lambda: recorded(3))
    assert call.lengths[2] == 3.0


async def test_options_set_while_the_pin_is_typed_hold(home: House) -> None:
    call = await enter(home, PIN, "", meanwhile=lambda: options(home, must_change_pin=True))
    assert said(call)[0] == "pin_must_be_changed"


async def test_a_pin_changed_while_it_is_typed_is_the_new_one(home: House) -> None:
    def change() -> Coroutine[Any, Any, None]:
        return home.store.users.change(replace(ANNA, pin_hash=CHEAP.hash("775533")))

    call = await enter(home, PIN, "775533", meanwhile=change)
    assert said(call)[:3] == ["pin_wrong", "try_again", "enter_pin"]
    assert said(call)[3] == "no_messages"


async def test_who_is_removed_while_the_pin_is_typed_does_not_get_in(home: House) -> None:
    call = await enter(home, PIN, meanwhile=lambda: home.store.users.remove(ANNA.id))
    assert said(call)[0] == "pin_wrong"


async def test_a_store_that_was_away_while_the_pin_was_typed_is_asked_again(home: House) -> None:
    home.store.state.away = True

    async def back() -> None:
        home.store.state.away = False

    call = await enter(home, PIN, meanwhile=back)
    assert call.prepared == () and said(call) == ["no_messages", "main_menu"]


async def test_an_id_that_nobody_has_asks_the_store_and_makes_ready_just_as_much(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("look", "begin"):
        real = getattr(MemorySignIns, name)

        async def noted(*given: Any, real: Any = real, name: str = name, **named: Any) -> Any:
            asked.append(name)
            return await real(*given, **named)

        monkeypatch.setattr(MemorySignIns, name, noted)
    seen = []
    for extension in (ANNA.extension, "7777"):
        call = Types([extension, "111222"], clock=home.clock, answered=True)
        with suppress(HungUp):
            await user_side(home.desk(), call, None, False)
        seen.append((list(asked), call.prepared, call.heard))
        asked.clear()
    assert seen[0] == seen[1]
    assert seen[0][0][:2] == ["look", "begin"]


# ------------------------------------------------------------------ noting that it was right


def successes(home: House) -> int:
    return sum(event.kind == "success" for event in home.store.state.sign_ins[ANNA.id])


async def test_that_the_pin_was_right_is_noted_behind_the_voice(home: House) -> None:
    noted: dict[str, int] = {}
    call = home.call(PIN, "*")
    call.on_sound = lambda sound: noted.setdefault(str(sound), successes(home) if call.heard[2:] else 0)
    await user_side(home.desk(), call, ANNA, False)
    assert noted["main_menu"] == 0
    assert successes(home) == 1


@pytest.mark.parametrize("leaves_at", [4, 5])
async def test_it_is_noted_although_the_user_hangs_up_at_once(home: House, leaves_at: int) -> None:
    call = home.call(PIN, leaves_at=leaves_at)
    with pytest.raises(HungUp):
        await user_side(home.desk(), call, ANNA, False)
    assert successes(home) == 1


async def test_it_is_noted_when_a_second_has_passed_while_the_call_goes_on(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicemail.conversation.sign_in.NOTED_AFTER", 0.0)
    seen: list[int] = []

    class Stays(Types):
        async def ask(self, *sounds: Sound, keys: str, wait: float = 5.0) -> str:
            for _ in range(100):
                await asyncio.sleep(0)
            seen.append(successes(home))
            return await super().ask(*sounds, keys=keys, wait=wait)

    with suppress(HungUp):
        await user_side(home.desk(), Stays([PIN], clock=home.clock, answered=True), ANNA, False)
    assert seen[0] == 1 and successes(home) == 1


async def test_it_is_noted_at_the_end_if_the_store_was_away_in_between(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[Attempt] = []
    real = MemorySignIns.succeeded

    async def fails_once(sign_ins: MemorySignIns, attempt: Attempt) -> None:
        tries.append(attempt)
        if len(tries) == 1:
            raise Unavailable("gone for a moment")
        await real(sign_ins, attempt)

    monkeypatch.setattr(MemorySignIns, "succeeded", fails_once)
    await user_side(home.desk(), home.call(PIN, "*"), ANNA, False)
    assert tries[0] == tries[1] and successes(home) == 1


async def test_a_wrong_pin_is_never_noted_as_right(home: House) -> None:
    call = await enter(home, "111222", "111223", "111224")
    assert call.heard[-1] == "goodbye" and successes(home) == 0


async def test_who_has_never_been_there_is_set_up_first_and_then_told_what_there_is(home: House) -> None:
    await options(home, enrolled=False)
    call = await enter(home, PIN)
    assert said(call)[0] == "enrol_welcome"
