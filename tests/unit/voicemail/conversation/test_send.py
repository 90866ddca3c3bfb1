from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sip import wav
from sip.call import HungUp
from store.ids import uuid7
from store.model import Envelope, Message, Setting
from tests.fakes.call import START, ScriptedCall, Step, at_every_moment
from tests.fakes.desk import ANNA, BEN, House, house
from voicemail.conversation.forward import forward
from voicemail.conversation.reply import reply
from voicemail.conversation.send_message import send_message
from voicemail.policy.base import Policy
from voicemail.policy.model import ClassOfService, Members, PrivateList, Quota, Unsent, UserOptions

CARL = replace(ANNA, id=uuid7(), extension="1003", name="Carl Benson")
BERT = replace(BEN, name="Bert Benson")
TO_BEN: tuple[Step, ...] = ("1", "002", "#")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, ANNA, BERT, CARL) as opened:
        yield opened


async def given(home: House, name: str, policy: Policy, owner: object = None) -> None:
    await home.store.settings.put(Setting(policy.KIND, name, policy.model_dump_json(), owner))  # type: ignore[arg-type]


async def run(home: House, call: ScriptedCall) -> ScriptedCall:
    with suppress(HungUp):
        await send_message(home.desk(), call, ANNA)
    return call


async def said(home: House, *script: Step) -> ScriptedCall:
    return await run(home, home.call(*script))


async def test_a_message_is_addressed_recorded_and_sent(home: House) -> None:
    call = await said(home, *TO_BEN, 4.0, "#")
    (message,) = await home.messages(BERT)
    assert message.envelope == Envelope(sender=ANNA.id, recipients=("1002",))
    assert (message.caller, message.seconds) == ("1001", 4.0)
    assert call.heard[-1] == "message_sent"


async def test_the_store_being_away_is_no_reason_to_say_sent(home: House) -> None:
    call = home.call(*TO_BEN, 4.0, "#")
    call.on_sound = lambda sound: setattr(
        home.store.state, "away", sound == "send_menu" or home.store.state.away
    )
    await run(home, call)
    assert call.heard[-1] == "message_waits"
    assert home.left_in_spool() == 1


async def test_every_option_is_in_the_envelope(home: House) -> None:
    call = await said(home, *TO_BEN, 4.0, "1", "1", "2", "3", "8", "4", "0305", "0930", "#")
    (waiting,) = await home.store.messages.sent(ANNA.id, START)
    due = START.replace(day=5, hour=9, minute=30)
    chosen = Envelope(
        sender=ANNA.id, recipients=("1002",), receipt=True, private=True, secure=True, deliver_at=due
    )
    assert (waiting.envelope, waiting.urgent) == (chosen, True)
    assert await home.messages(BERT) == []
    assert "will_be_delivered" in call.heard


async def test_options_are_taken_back_by_the_same_key(home: House) -> None:
    await said(
        home, *TO_BEN, 4.0, "1", "1", "1", "2", "2", "3", "3", "8", "8", "4", "", "0930", "4", "*", "*", "#"
    )
    (message,) = await home.messages(BERT)
    assert (message.urgent, message.envelope) == (False, Envelope(sender=ANNA.id, recipients=("1002",)))


async def test_a_moment_is_meant_by_the_users_clock_summer_time_included(home: House) -> None:
    await given(home, "options", UserOptions(time_zone="Europe/Berlin"), ANNA.id)
    await said(home, *TO_BEN, 4.0, "1", "4", "0701", "0930", "#")
    (waiting,) = await home.store.messages.sent(ANNA.id, START)
    assert waiting.envelope.deliver_at == START.replace(month=7, day=1, hour=7, minute=30)


@pytest.mark.parametrize("day, time", [("0231", None), ("0305", "2460"), ("0305", ""), ("99", None)])
async def test_a_day_or_time_that_is_none_changes_nothing(home: House, day: str, time: str | None) -> None:
    await said(home, *TO_BEN, 4.0, "1", "4", day, *([] if time is None else [time]), "#")
    (message,) = await home.messages(BERT)
    assert message.envelope.deliver_at is None


async def test_recording_again_and_adding_keep_what_was_chosen(home: House) -> None:
    await said(home, *TO_BEN, 4.0, "1", "2", "6", 3.0, "7", 2.0, "5", "#")
    (message,) = await home.messages(BERT)
    assert (message.seconds, message.envelope.receipt) == (5.0, True)


async def test_cancelling_leaves_nothing(home: House) -> None:
    call = await said(home, *TO_BEN, 4.0, "*")
    assert call.heard[-1] == "message_cancelled"
    assert (await home.messages(BERT), home.left_in_spool()) == ([], 0)


async def test_who_records_first_and_hangs_up_sends_nothing_before_it_is_addressed(tmp_path: Path) -> None:
    addressed = 0

    async def one(call: ScriptedCall) -> None:
        nonlocal addressed
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        async with house(folder, ANNA, BERT, CARL) as home:
            await given(home, "options", UserOptions(record_first=True), ANNA.id)
            await run(home, call)
            got = len(await home.messages(BERT))
            assert got == (len(call.script) <= 1)  # the pound behind the addressees was pressed
            assert home.left_in_spool() == 0
            addressed += got

    script = (4.0, *TO_BEN, "#")
    await at_every_moment(lambda moment: ScriptedCall(list(script), leaves_at=moment, answered=True), one)
    assert addressed > 2


async def test_a_recording_that_is_addressed_to_nobody_is_cancelled(home: House) -> None:
    await given(home, "options", UserOptions(record_first=True), ANNA.id)
    call = await said(home, 4.0, "*")
    assert call.heard[-1] == "message_cancelled"
    assert home.left_in_spool() == 0


@pytest.mark.parametrize("unsent", Unsent)
async def test_hanging_up_at_any_moment_sends_once_or_not_at_all(tmp_path: Path, unsent: Unsent) -> None:
    spoken = sent = 0

    async def one(call: ScriptedCall) -> None:
        nonlocal spoken, sent
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        async with house(folder, ANNA, BERT, CARL) as home:
            await given(home, "options", UserOptions(unsent=unsent), ANNA.id)
            await run(home, call)
            got = len(await home.messages(BERT))
            chosen = call.recorded > 0 and (unsent is Unsent.SEND or not call.script)
            assert got == chosen
            assert home.left_in_spool() == 0
            spoken, sent = spoken + (call.recorded > 0), sent + got

    script = (*TO_BEN, 4.0, "1", "1", "#")
    await at_every_moment(lambda moment: ScriptedCall(list(script), leaves_at=moment, answered=True), one)
    assert spoken > sent if unsent is Unsent.DISCARD else spoken == sent > 3


async def test_what_a_crash_leaves_of_a_message_to_be_discarded_is_held(home: House) -> None:
    await given(home, "options", UserOptions(unsent=Unsent.DISCARD), ANNA.id)
    held: list[bool] = []
    call = home.call(*TO_BEN, 4.0, "#")
    call.on_sound = lambda sound: held.extend(
        e.held for e in home.spool.left_behind() if sound == "send_menu"
    )
    await run(home, call)
    assert held == [True]
    assert len(await home.messages(BERT)) == 1


# ---- to whom


async def to_whom(home: House, *script: Step) -> tuple[str, ...]:
    """The extensions that get a message addressed like this."""
    await said(home, *script, 4.0, "#")
    return tuple([user.extension for user in (ANNA, BERT, CARL) if await home.messages(user)])


async def test_several_are_added_heard_and_removed(home: House) -> None:
    more = ("1", "1", "003", "1", "1", "002", "2", "3", "1", "#", "#")
    assert await to_whom(home, "1", "002", *more) == ("1003",)


async def test_a_name_is_spelled_after_two_pounds(home: House) -> None:
    assert await to_whom(home, "#", "#", "2", "36766" + "2275", "#") == ("1003",)


async def test_of_several_of_a_name_one_is_chosen(home: House) -> None:
    assert await to_whom(home, "#", "#", "2", "36766", "2", "#") == ("1003",)


async def test_who_is_not_listed_is_not_found_by_name(home: House) -> None:
    await given(home, "options", UserOptions(listed=False), CARL.id)
    assert await to_whom(home, "#", "#", "2", "36766", "#") == ("1002",)


async def test_a_wrong_number_is_told_and_another_one_asked_for(home: House) -> None:
    call = await said(home, "7", "777", *TO_BEN, 4.0, "#")
    assert "nobody_has_this_extension" in call.heard
    assert len(await home.messages(BERT)) == 1


async def test_system_lists_have_numbers_and_names(home: House) -> None:
    await given(home, "sales", Members(extension="8001", members=("1002", "1003")))
    assert await to_whom(home, "8", "001", "#") == ("1002", "1003")
    await given(home, "sales", Members(display_name="Sales team", members=("1002",)))
    call = await said(home, "#", "#", "7", "2537", "#", 4.0, "#")
    assert call.heard[-1] == "message_sent"
    assert [len(await home.messages(user)) for user in (BERT, CARL)] == [2, 1]


async def test_who_may_not_send_to_lists_is_told(home: House) -> None:
    await given(home, "default", ClassOfService(may_send_to_lists=False))
    await given(home, "sales", Members(extension="8001", members=("1002",)))
    assert "not_allowed" in (await said(home, "8", "001", "*")).heard


async def test_a_private_lists_members_are_addressed(home: House) -> None:
    await given(home, "7", PrivateList(members=("1002", "1003")), ANNA.id)
    assert await to_whom(home, "7", "", "#") == ("1002", "1003")


@pytest.mark.parametrize("script", [("*",), ("", "", ""), ("#", "", "#", "", "#", ""), ("9",) * 2])
async def test_who_goes_back_or_says_nothing_sends_nothing(home: House, script: tuple[Step, ...]) -> None:
    call = await said(home, *script)
    assert (call.recorded, home.left_in_spool()) == (0, 0)


async def test_the_addressees_are_changed_after_recording(home: House) -> None:
    await said(home, *TO_BEN, 4.0, "9", "1", "1", "1", "003", "#", "#")
    envelopes = [(await home.messages(user))[0].envelope.recipients for user in (BERT, CARL)]
    assert envelopes == [("1002", "1003")] * 2


async def test_a_mailbox_without_room_for_sending_refuses(home: House) -> None:
    await given(home, "default", ClassOfService(quota=Quota(warn=1, no_send=2)))
    await home.leave(ANNA)
    call = await said(home, *TO_BEN)
    assert (call.heard, call.recorded) == (["cannot_send_full"], 0)


# ---- what waits for its day


async def test_what_waits_is_heard_and_cancelled(home: House) -> None:
    await said(home, "1", "002", "1", "1", "003", "#", 4.0, "1", "4", "", "2300", "#")
    assert len(await home.store.messages.sent(ANNA.id, START)) == 2
    call = await said(home, "2", "1", "3")
    assert call.heard[:3] == ["you_have", "n_1", "later_message"]
    assert "later_cancelled" in call.heard
    assert await home.store.messages.sent(ANNA.id, START) == []
    home.clock.pass_(86_400)
    assert await home.messages(BERT) == await home.messages(CARL) == []


# ---- answering and passing on


async def from_ben(home: House, **more: object) -> Message:
    envelope = Envelope(sender=BERT.id, recipients=("1001", "1003", "list:sales"))
    new = await home.leave(ANNA, envelope=replace(envelope, **more), caller="1002")  # type: ignore[arg-type]
    found = await home.store.messages.get(new.id)
    assert found
    return found


async def test_a_reply_goes_to_the_sender(home: House) -> None:
    await reply(home.desk(), home.call(4.0, "#"), ANNA, await from_ben(home), False)
    (message,) = await home.messages(BERT)
    assert (message.envelope.sender, message.envelope.recipients) == (ANNA.id, ("1002",))
    assert await home.messages(CARL) == []


async def test_a_reply_to_all_goes_to_the_others_too_but_not_to_oneself(home: House) -> None:
    await given(home, "sales", Members(members=("1003",)))
    await reply(home.desk(), home.call(4.0, "#"), ANNA, await from_ben(home), True)
    recipients = ("1002", "1003", "list:sales")
    for user in (BERT, CARL):
        (message,) = await home.messages(user)
        assert message.envelope.recipients == recipients


async def test_a_secure_message_is_answered_securely_and_stays_so(home: House) -> None:
    call = home.call(4.0, "1", "8", "#")
    await reply(home.desk(), call, ANNA, await from_ben(home, secure=True), False)
    assert "stays_secure" in call.heard
    assert (await home.messages(BERT))[0].envelope.secure


async def test_an_outside_caller_is_not_answered(home: House) -> None:
    call = home.call()
    await reply(home.desk(), call, ANNA, await from_ben(home, sender=None), False)
    assert call.heard == ["caller_cannot_be_answered"]


async def test_a_message_is_passed_on_behind_an_introduction(home: House) -> None:
    old = await from_ben(home)
    await forward(home.desk(), home.call("1", "003", "#", "1", 2.0, "#"), ANNA, old)
    (message,) = await home.messages(CARL)
    assert [part.sender for part in message.envelope.parts] == [ANNA.id, BERT.id]
    assert message.seconds == 6.0


async def test_a_message_is_passed_on_as_it_is(home: House) -> None:
    old = await from_ben(home, secure=True)
    call = home.call("1", "003", "#", "#", "1", "5", "#")
    await forward(home.desk(), call, ANNA, old)
    (message,) = await home.messages(CARL)
    assert wav.parse(await home.store.messages.audio(message.id)).seconds == 4.0
    assert ([part.sender for part in message.envelope.parts], message.envelope.secure) == ([BERT.id], True)
    assert home.left_in_spool() == 0


async def test_an_introduction_is_added_to_what_is_passed_on(home: House) -> None:
    old = await from_ben(home)
    await forward(home.desk(), home.call("1", "003", "#", "#", "1", "7", 3.0, "#"), ANNA, old)
    (message,) = await home.messages(CARL)
    assert [part.seconds for part in message.envelope.parts] == [3.0, 4.0]


async def test_a_private_message_is_not_passed_on(home: House) -> None:
    call = home.call()
    await forward(home.desk(), call, ANNA, await from_ben(home, private=True))
    assert call.heard == ["private_not_forwarded"]
