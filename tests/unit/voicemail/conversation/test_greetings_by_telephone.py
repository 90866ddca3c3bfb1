"""Greetings by telephone: recorded, heard, switched, given an end, given back to the system."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sip import wav
from sip.call import HungUp
from tests.fakes.call import START, ScriptedCall, Speaks, Step, at_every_moment, voice
from tests.fakes.desk import ANNA, House, house
from voicemail.conversation import setup
from voicemail.conversation.setup.greetings import current, end_of_day
from voicemail.policy.model import GreetingKind, GreetingSwitch, Source


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def run(home: House, *script: Step) -> ScriptedCall:
    call = home.call(*script)
    with suppress(HungUp):
        await setup.setup(home.desk(), call, ANNA)
    return call


async def switch(home: House, kind: str) -> GreetingSwitch:
    return (await home.desk().policies.of(GreetingSwitch, ANNA.id)).get(kind, GreetingSwitch())


async def recording(home: House, kind: str) -> bytes:
    """What a recorded greeting is made of: b"" for none."""
    audio = await home.store.users.greeting(ANNA.id, kind)
    return wav.parse(audio).data[:1] if audio else b""


async def test_an_alternate_greeting_is_recorded_and_on_until_its_last_day(home: House) -> None:
    call = await run(home, "1", "2", "2", 5.0, "#", "4", "0306", "*", "*", "*")
    assert await recording(home, "alternate") == voice(1)
    kept = await switch(home, "alternate")
    assert kept.enabled and kept.source is Source.RECORDING
    assert kept.until == datetime(2026, 3, 7, tzinfo=START.tzinfo)
    assert call.heard[2:4] == ["alternate_greeting", "is_off"]
    assert "greeting_kept" in call.heard and "until" in call.heard


async def test_a_greeting_is_switched_and_given_back_to_the_system(home: House) -> None:
    await run(home, "1", "3", "3", "*", "*", "*")
    assert (await switch(home, "closed")).enabled
    call = await run(home, "1", "3", "3", "5", "1", "*", "*", "*")
    kept = await switch(home, "closed")
    assert not kept.enabled and kept.source is Source.SYSTEM
    assert call.heard.count("system_greeting_is_played") == 2


async def test_what_is_said_of_wrong_keys_is_recorded_heard_and_given_back_to_the_system(home: House) -> None:
    call = await run(home, "1", "7", "1", "2", 5.0, "#", "1", "*", "*", "*")
    assert call.heard[2:5] == ["error_greeting", "standard_greeting_menu", "system_greeting_is_played"]
    assert await recording(home, "error") == voice(1)
    assert list(call.lengths.values())[-1] == 5.0
    kept = await switch(home, "error")
    assert (kept.enabled, kept.source) == (True, Source.RECORDING)
    call = await run(home, "1", "7", "5", "1", "*", "*", "*")
    assert (await switch(home, "error")).source is Source.SYSTEM
    assert call.heard.count("system_greeting_is_played") == 2


@pytest.mark.parametrize("off", [GreetingSwitch(), GreetingSwitch(enabled=True, until=START)])
async def test_an_error_greeting_that_an_administrator_switched_off_is_the_systems(
    home: House, off: GreetingSwitch
) -> None:
    await home.store.users.set_greeting(ANNA.id, wav.file_ulaw(b"\x42" * 8000), "error")
    await home.desk().policies.put("error", off, ANNA.id)
    call = await run(home, "1", "7", "1", "3", "4", "2", 4.0, "#", "*", "*", "*")
    assert "system_greeting_is_played" in call.heard
    assert call.heard.count("invalid_key") == 2, "it is neither switched nor has an end"
    kept = await switch(home, "error")
    assert (kept.enabled, kept.until, kept.source) == (True, None, Source.RECORDING)


async def test_a_day_that_does_not_exist_changes_nothing(home: House) -> None:
    call = await run(home, "1", "2", "4", "0231", "*", "*", "*")
    assert "no_such_day" in call.heard
    assert not (await switch(home, "alternate")).enabled


async def test_an_old_greeting_stays_until_the_new_one_is_kept(home: House) -> None:
    await home.store.users.set_greeting(ANNA.id, wav.file_ulaw(b"\x42" * 8000), "standard")

    async def check(call: ScriptedCall) -> None:
        await home.store.users.set_greeting(ANNA.id, wav.file_ulaw(b"\x42" * 8000), "standard")
        with suppress(HungUp):
            await setup.setup(home.desk(), call, ANNA)
        confirmed = "greeting_kept" in call.heard
        kept = await recording(home, "standard")
        assert kept == voice(2) if confirmed else kept in (b"\x42", voice(2))
        assert kept == b"\x42" or call.moments > 8  # never before `#` was pressed

    script: list[Step] = ["1", "1", "2", 4.0, "2", Speaks(5.0), "#", "*", "*", "*"]
    assert await at_every_moment(lambda at: home.call(*script, leaves_at=at), check) > 10


def test_days_lie_ahead() -> None:
    now = datetime(2026, 3, 4, 15, tzinfo=START.tzinfo)
    ends: Callable[[str], datetime | None] = lambda pressed: end_of_day(pressed, now)  # noqa: E731
    assert ends("0304") == datetime(2026, 3, 5, tzinfo=now.tzinfo)
    assert ends("0303") == datetime(2027, 3, 4, tzinfo=now.tzinfo)
    assert ends("0229") == datetime(2028, 3, 1, tzinfo=now.tzinfo)
    assert ends("1301") is ends("12") is ends("12*1") is None


def test_a_greeting_whose_end_has_come_is_off() -> None:
    over = GreetingSwitch(enabled=True, until=START - timedelta(seconds=1))
    assert not current({"alternate": over}, GreetingKind.ALTERNATE, START).enabled
    assert current({"standard": over}, GreetingKind.STANDARD, START).enabled
    assert current({"standard": over}, GreetingKind.STANDARD, START).source is Source.RECORDING
    assert current({"error": over}, GreetingKind.ERROR, START).source is Source.SYSTEM
    ends = GreetingSwitch(enabled=True, until=START + timedelta(seconds=1))
    assert current({"error": ends}, GreetingKind.ERROR, START).source is Source.RECORDING
