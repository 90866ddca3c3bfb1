from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sip.call import HungUp
from store.ids import uuid7
from store.model import SYSTEM, Counts, Setting, User
from tests.fakes.call import FILE, START, Barges, ScriptedCall, Step
from tests.fakes.desk import ANNA, BEN, House, house
from voicemail.conversation.broadcast import hear_broadcasts
from voicemail.conversation.send_message import send_message
from voicemail.policy.model import ClassOfService

ONCE = ["broadcast_for_all", FILE]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        allowed = ClassOfService(may_broadcast=True).model_dump_json()
        await opened.store.settings.put(Setting(ClassOfService.KIND, "default", allowed))
        yield opened


async def recorded(home: House, *script: Step) -> ScriptedCall:
    call = home.call("3", *script)
    with suppress(HungUp):
        await send_message(home.desk(), call, ANNA)
    return call


async def hears(home: House, user: User, *script: Step, leaves_at: int = 0) -> list[str]:
    call = home.call(*script, leaves_at=leaves_at)
    with suppress(HungUp):
        await hear_broadcasts(home.desk(), call, user)
    return [sound if isinstance(sound, str) else FILE for sound in call.heard]


async def test_everybody_hears_it_whole_and_once_and_no_lamp_is_lit(home: House) -> None:
    assert (await recorded(home, 4.0, "#")).heard[-1] == "broadcast_sent"
    for user in (ANNA, BEN):
        assert await hears(home, user, Barges("#"), Barges("*")) == ONCE
        assert await hears(home, user) == []
        assert await home.store.messages.counts(user.id) == Counts()


async def test_who_hangs_up_in_its_middle_hears_it_again(home: House) -> None:
    await recorded(home, 4.0, "#")
    await hears(home, BEN, leaves_at=2)
    assert await hears(home, BEN) == ONCE


async def test_it_has_a_first_and_a_last_day(home: House) -> None:
    call = await recorded(home, 4.0, "3", "0306", "4", "0307", "1", "#")
    assert "broadcast_from" in call.heard and "broadcast_until" in call.heard
    assert await hears(home, BEN) == []
    home.clock.time = START.replace(day=6, hour=1)
    assert await hears(home, BEN) == ONCE
    home.clock.time = START.replace(day=7, hour=23)
    assert await hears(home, ANNA) == ONCE
    home.clock.time = START.replace(day=8, hour=1)
    late = replace(BEN, id=uuid7(), extension="1009")
    assert await hears(home, late) == []


@pytest.mark.parametrize("script", [("*",), (), ("", "", ""), ("4", "9999")])
async def test_nothing_is_played_to_anybody_before_it_is_sent(home: House, script: tuple[Step, ...]) -> None:
    await recorded(home, 4.0, *script)
    assert await home.store.messages.listing(SYSTEM) == []
    assert home.left_in_spool() == 0


async def test_recording_it_again_replaces_it(home: House) -> None:
    await recorded(home, 4.0, "2", 3.0, "#")
    (message,) = await home.store.messages.listing(SYSTEM)
    assert message.seconds == 3.0
