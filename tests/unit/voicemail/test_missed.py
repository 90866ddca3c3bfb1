"""Callers who leave no message: who is told of, and that nobody waits for it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sip.invite import Invite, Reason, Redirection
from store.model import OutboxItem, Setting, Work
from tests.fakes.call import Barges, ScriptedCall, Speaks, Step
from tests.fakes.desk import ANNA, PILOT, PIN, House, house
from voicemail.policy.devices import Device, DeviceKind
from voicemail.policy.note import Event, Note

FORWARDED = Invite("call-1", PILOT, "+4930555", "Eve", (Redirection("1001", Reason.NO_REPLY),))


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        await told(opened, Device(kind=DeviceKind.MISSED, enabled=True))
        yield opened


async def told(home: House, device: Device) -> None:
    body = device.model_dump_json()
    await home.store.settings.put(Setting(Device.KIND, "missed", body, ANNA.id))


async def called(home: House, *script: Step, leaves_at: int = 0) -> ScriptedCall:
    call = home.call(*script, leaves_at=leaves_at, invite=FORWARDED)
    await home.pilot().handle(call)
    return call


def noted(home: House) -> list[OutboxItem]:
    return [item for item in home.store.state.outbox.values() if item.kind is Work.NOTIFY]


async def test_who_hangs_up_during_the_greeting_is_noted_with_number_name_and_time(home: House) -> None:
    await called(home, leaves_at=3)
    (item,) = noted(home)
    note = Note.read(item.payload)
    assert (note.event, note.device, item.mailbox_id) == (Event.MISSED, "", ANNA.id)
    assert note.facts["caller"] == "+4930555" and note.facts["caller_name"] == "Eve"
    assert note.facts["at"].startswith("2026-03-04T")


@pytest.mark.parametrize("wanted", [True, False])
async def test_it_is_noted_for_a_webhook_that_tells_of_missed_calls(home: House, wanted: bool) -> None:
    await told(home, Device(kind=DeviceKind.WEBHOOK, enabled=True, missed_calls=wanted))
    await called(home, leaves_at=3)
    assert len(noted(home)) == wanted


@pytest.mark.parametrize(
    ("script", "missed"),
    [
        ((Speaks(5.0, "hang-up"),), False),
        ((Speaks(5.0), "#"), False),
        ((Speaks(5.0), "*"), True),
        ((Speaks(0.2, "hang-up"),), True),
        ((Speaks(0.2), Speaks(0.2), Speaks(0.2)), True),
        ((Barges("*"), PIN, "*"), False),
        ((Barges("0"),), False),
    ],
)
async def test_whoever_leaves_no_message_nor_goes_elsewhere_is_noted(
    home: House, script: tuple[Step, ...], missed: bool
) -> None:
    await called(home, *script)
    assert len(noted(home)) == missed
    assert json.dumps([each.payload for each in noted(home)]).count(PIN) == 0


async def test_at_every_moment_there_is_either_a_message_or_a_note(home: House) -> None:
    whole = await called(home, Speaks(5.0), "#")
    for moment in range(2, whole.moments + 1):
        home.store.state.outbox.clear()
        home.store.state.messages.clear()
        call = await called(home, Speaks(5.0), "#", leaves_at=moment)
        assert call.gone
        assert len(noted(home)) + len(await home.messages()) == 1, moment


async def test_who_does_not_want_to_know_is_not_told(home: House) -> None:
    await told(home, Device(kind=DeviceKind.MISSED, enabled=False))
    await called(home, leaves_at=3)
    assert not noted(home)


async def test_a_store_that_goes_away_meanwhile_harms_no_call(home: House) -> None:
    call = home.call(leaves_at=3, invite=FORWARDED)

    def away(_: object) -> None:
        home.store.state.away = True

    call.on_sound = away
    await home.pilot().handle(call)
    home.store.state.away = False
    assert call.ended and not noted(home)
