from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sip.call import HungUp, Recording, RecordLimits, Sound
from store.notes import envelope_of
from store.spool import SpoolEntry
from tests.fakes.call import ScriptedCall, Speaks, at_every_moment, voice
from tests.fakes.desk import ANNA, BEN, House, house
from voicemail.conversation.host import Letterbox
from voicemail.conversation.leave_message import ROWS, leave_message, review_menu

BOX = Letterbox("1001", ANNA.id, longest=60.0)
MENU = [said for _, _, said in ROWS]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def leave(home: House, call: ScriptedCall, box: Letterbox = BOX) -> bool:
    """False when the caller hung up."""
    with suppress(HungUp):
        await leave_message(home.desk(), call, box)
        return True
    return False


async def test_hanging_up_after_the_tone_sends(home: House) -> None:
    call = home.call(Speaks(5.0, "hang-up"))
    assert not await leave(home, call)
    (message,) = await home.messages()
    assert (message.seconds, message.caller, message.cut_off, message.urgent) == (
        5.0,
        "+4930555",
        False,
        False,
    )
    assert call.heard == ["tone"]
    assert home.left_in_spool() == 0


async def test_a_recording_that_we_had_to_end_is_sent_as_cut_off(home: House) -> None:
    assert not await leave(home, home.call(Speaks(5.0, "cut-off")))
    (message,) = await home.messages()
    assert (message.seconds, message.cut_off) == (5.0, True)


async def test_a_disk_that_has_just_filled_up_is_told_before_the_tone(home: House) -> None:
    """The room for a recording longer than any disk stands for one that has just been filled."""
    call = home.call(5.0)
    assert await leave(home, call, replace(BOX, longest=1e14))
    assert call.heard == ["cannot_record_now"]
    assert home.left_in_spool() == 0


async def test_pound_sends_and_says_so_afterwards(home: House) -> None:
    call = home.call(5.0, "#")
    assert await leave(home, call)
    assert len(await home.messages()) == 1
    assert call.heard == ["tone", *MENU, "message_sent"]


async def test_the_message_has_left_the_spool_for_the_store_before_sent_is_said(home: House) -> None:
    call = home.call(5.0, "#")
    in_spool: dict[Sound, int] = {}
    call.on_sound = lambda sound: in_spool.update({sound: home.left_in_spool()})
    await leave(home, call)
    assert (in_spool["tone"], in_spool["review_send"], in_spool["message_sent"]) == (1, 1, 0)


async def test_words_of_the_host_come_before_the_tone(home: House) -> None:
    call = home.call(Speaks(5.0, "hang-up"))
    with suppress(HungUp):
        await leave_message(home.desk(), call, BOX, "record_at_tone")
    assert call.heard == ["record_at_tone", "tone"]


async def test_hanging_up_before_or_in_the_tone_leaves_nothing(home: House) -> None:
    await leave(home, home.call(leaves_at=1))
    assert not await home.messages()
    assert home.left_in_spool() == 0


async def test_a_full_mailbox_is_told_before_the_tone(home: House) -> None:
    call = home.call()
    assert await leave(home, call, replace(BOX, full=True))
    assert (call.heard, call.recorded) == (["mailbox_full"], 0)


@pytest.mark.parametrize(
    ("box", "keys"),
    [
        (BOX, "#12345*"),
        (replace(BOX, may_edit=False), "#25*"),
        (replace(BOX, may_mark_urgent=False), "#1345*"),
        (replace(BOX, may_mark_private=False), "#1234*"),
        (replace(BOX, may_edit=False, may_mark_urgent=False, may_mark_private=False), "#*"),
    ],
)
async def test_only_what_the_mailbox_allows_is_offered_and_done(
    home: House, box: Letterbox, keys: str
) -> None:
    menu = review_menu(box)
    assert "".join(menu.keys) == keys
    assert len(menu.help) == len(keys)
    call = home.call(5.0, *(key for key in "12345" if key not in keys), "#")
    await leave(home, call, box)
    (message,) = await home.messages()
    assert (call.heard.count("invalid_key"), message.urgent) == (7 - len(keys), False)


async def test_the_recording_can_be_paused_and_warns_of_its_end(home: House) -> None:
    given: list[RecordLimits] = []
    call = home.call()

    async def record(path: Path, limits: RecordLimits) -> Recording:
        given.append(limits)
        return await ScriptedCall.record(call, path, limits)

    call.record = record  # type: ignore[method-assign]
    await leave(home, call)
    assert given == [RecordLimits(60.0, 10.0, "#", "8", "fifteen_seconds_left")]


async def test_cancelled_is_gone_even_if_the_caller_leaves_while_it_is_said(home: House) -> None:
    told = len(MENU) + 4
    for leaves_at in (0, told):
        call = home.call(5.0, "*", leaves_at=leaves_at)
        await leave(home, call)
        assert call.moments == told
        assert leaves_at or call.heard[-1] == "message_cancelled"
    assert not await home.messages()
    assert home.left_in_spool() == 0


async def test_hanging_up_anywhere_after_the_tone_sends_once(home: House) -> None:
    seen = 0

    async def run(call: ScriptedCall) -> None:
        nonlocal seen
        await leave(home, call)
        before, seen = seen, len(await home.messages())
        assert seen - before == (1 if call.recorded else 0), f"left at {call.leaves_at}: {call.heard}"
        assert home.left_in_spool() == 0

    moments = await at_every_moment(
        lambda at: home.call(5.0, "3", 4.0, "4", 3.0, "2", "#", leaves_at=at), run
    )
    assert moments > 30


async def test_hearing_it_plays_the_recording(home: House) -> None:
    call = home.call(5.0, "1", "#")
    await leave(home, call)
    assert 5.0 in call.lengths.values()


async def test_urgent_can_be_set_and_taken_back(home: House) -> None:
    for script, urgent in ((("2", "#"), True), (("2", "2", "#"), False)):
        call = home.call(5.0, *script)
        await leave(home, call)
        assert (await home.messages())[0].urgent is urgent or urgent is False
    assert sorted(each.urgent for each in await home.messages()) == [False, True]


async def test_an_urgent_message_recorded_again_stays_urgent(home: House) -> None:
    await leave(home, home.call(5.0, "2", "3", 6.0, "#"))
    (message,) = await home.messages()
    assert (message.urgent, message.seconds) == (True, 6.0)


def noted_at(home: House, call: ScriptedCall, moment: str) -> list[SpoolEntry]:
    """What is in the spool whenever this is heard."""
    notes: list[SpoolEntry] = []
    call.on_sound = lambda sound: notes.extend(home.spool.left_behind()) if sound == moment else None
    return notes


async def test_private_can_be_set_and_taken_back_and_outlasts_another_recording(home: House) -> None:
    for script, private in ((("5",), True), (("5", "5"), False), (("5", "3", 6.0), True)):
        call = home.call(5.0, *script, "2", "#")
        notes = noted_at(home, call, "message_marked_urgent")
        await leave(home, call)
        assert [(envelope_of(note.envelope).private, note.urgent) for note in notes] == [(private, True)]
        assert "message_marked_private" in call.heard


async def test_a_caller_who_is_certain_is_the_messages_sender(home: House) -> None:
    for sender in (BEN.id, None):
        call = home.call()
        notes = noted_at(home, call, "tone")
        with suppress(HungUp):
            await leave_message(home.desk(), call, BOX, sender=sender)
        assert [envelope_of(note.envelope).sender for note in notes] == [sender]


async def test_recording_again_replaces_the_first(home: House) -> None:
    await leave(home, home.call(5.0, "3", 6.0, "#"))
    assert await home.audio() == [voice(2)]


@pytest.mark.parametrize("second", [Speaks(0.4, "hang-up"), Speaks(0.0, "hang-up")])
async def test_a_second_recording_that_is_too_short_leaves_the_first(home: House, second: Speaks) -> None:
    await leave(home, home.call(5.0, "3", second))
    assert await home.audio() == [voice(1)]


async def test_too_short_a_second_recording_is_told_and_the_first_sent(home: House) -> None:
    call = home.call(5.0, "3", 0.4, "#")
    await leave(home, call)
    assert "too_short" in call.heard
    assert await home.audio() == [voice(1)]


async def test_adding_makes_one_longer_message(home: House) -> None:
    await leave(home, home.call(5.0, "4", 4.0, "#"))
    (message,) = await home.messages()
    assert message.seconds == 9.0
    assert await home.audio() == [voice(1) + voice(2)]
    assert home.left_in_spool() == 0


async def test_hanging_up_while_adding_sends_both_parts(home: House) -> None:
    await leave(home, home.call(5.0, "4", Speaks(4.0, "hang-up")))
    assert await home.audio() == [voice(1) + voice(2)]


async def test_silence_at_the_menu_sends(home: House) -> None:
    call = home.call(Speaks(12.0, "silence"), "", "", "")
    assert await leave(home, call)
    assert call.heard.count("review_send") == 3
    assert call.heard[-1] == "message_sent"
    assert len(await home.messages()) == 1


async def test_a_wrong_key_is_told_and_the_menu_said_again(home: House) -> None:
    call = home.call(5.0, "9", "#")
    await leave(home, call)
    assert call.heard == ["tone", *MENU, "invalid_key", *MENU, "message_sent"]


async def test_the_longest_recording_is_told_and_kept(home: House) -> None:
    call = home.call(Speaks(99.0, "limit"), "#")
    await leave(home, call)
    assert "limit_reached" in call.heard
    assert (await home.messages())[0].seconds == 60.0


async def test_too_short_three_times_ends_the_call(home: House) -> None:
    call = home.call(0.2, 0.2, 0.2)
    assert await leave(home, call)
    assert call.heard.count("too_short") == 2
    assert call.heard[-1] == "tone"
    assert not await home.messages()
    assert home.left_in_spool() == 0


async def test_a_full_disk_is_told_before_the_tone(home: House) -> None:
    home.delivery.rules = type(home.delivery.rules)(least_free=2**62)
    call = home.call()
    assert await leave(home, call)
    assert call.heard == ["cannot_record_now"]


async def test_with_the_store_away_the_message_waits_in_the_spool_and_sent_is_said(home: House) -> None:
    home.store.state.away = True
    call = home.call(5.0, "2", "#")
    await leave(home, call)
    assert "message_sent" in call.heard
    (entry,) = home.spool.left_behind()
    assert (entry.complete, entry.urgent, home.delivery.waiting) == (True, True, 1)


async def test_a_message_in_the_spool_is_whole_although_the_caller_hung_up(home: House) -> None:
    home.store.state.away = True
    await leave(home, home.call(Speaks(5.0, "hang-up")))
    (entry,) = home.spool.left_behind()
    assert (entry.complete, entry.seconds) == (True, 5.0)


async def test_a_message_for_somebody_unknown_now_finds_its_mailbox_later(home: House) -> None:
    await leave(home, home.call(Speaks(5.0, "hang-up")), Letterbox("1001"))
    assert len(await home.messages()) == 1


async def test_what_a_stranger_says_about_himself_is_kept_short(home: House) -> None:
    call = home.call(Speaks(5.0, "hang-up"))
    call.invite = type(call.invite)(
        call_id="x" * 999, dialled="1001", caller="5" * 999, caller_name="n" * 999
    )
    await leave(home, call)
    (message,) = await home.messages()
    assert (len(message.caller), len(message.caller_name)) == (128, 128)
