"""A dispatch message by telephone: accepted, declined, postponed, and taken by somebody else meanwhile."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from sip import wav
from sip.call import HungUp
from sip.invite import Invite
from store.ids import uuid7
from store.model import (
    OUTGOING,
    Answer,
    Counts,
    Envelope,
    Folder,
    Mark,
    MessageKind,
    NewMessage,
    Setting,
    User,
    copy_id,
)
from tests.fakes.call import START, Barges, ScriptedCall, Step
from tests.fakes.desk import ANNA, BEN, House, house
from voicemail.conversation.hear_messages import hear_messages, resume
from voicemail.conversation.main_menu import main_menu
from voicemail.departures import depart
from voicemail.policy.interview import Interview, question_kind
from voicemail.policy.model import CallHandler, Members, Undeliverable

AFTER = "after_dispatch_menu"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as opened:
        yield opened


async def dispatched(home: House, *people: User, audio: bytes | None = None, urgent: bool = False) -> UUID:
    """To ANNA, BEN and others. Its id; each one's copy is `copy_id` of it."""
    sound = wav.file_ulaw(b"\x55" * 4 * wav.RATE) if audio is None else audio
    new = NewMessage(uuid7(), ANNA.id, "+4930555", "", START, 4.0, urgent)
    new = replace(new, envelope=Envelope(dispatch=new.id))
    await home.store.messages.send(new, [each.id for each in people or (ANNA, BEN)], sound)
    return new.id


async def hear(home: House, *script: Step, user: User = ANNA, leaves_at: int = 0) -> ScriptedCall:
    call = home.call(*script, leaves_at=leaves_at)
    with suppress(HungUp):
        await hear_messages(home.desk(), call, user, Folder.NEW)
    return call


async def folders(home: House, user: User = ANNA) -> list[Folder]:
    return [each.folder for each in await home.messages(user)]


async def test_it_is_announced_as_what_it_is_and_accepted(home: House) -> None:
    await dispatched(home)
    call = await hear(home, "2")
    assert "dispatch_message" in call.heard and call.heard[-3:] == [
        AFTER, "dispatch_accepted", "end_of_messages"
    ]  # fmt: skip
    assert await folders(home) == [Folder.SAVED] and await folders(home, BEN) == []
    assert await home.store.messages.counts(BEN.id) == Counts()


@pytest.mark.parametrize(("key", "said"), [("2", "dispatch_accepted"), ("3", "dispatch_declined")])
async def test_the_keys_work_while_it_plays(home: House, key: str, said: str) -> None:
    await dispatched(home)
    call = await hear(home, Barges(key))
    assert said in call.heard and AFTER not in call.heard


async def test_declining_removes_the_own_copy_only(home: House) -> None:
    await dispatched(home)
    await hear(home, "3")
    assert await home.messages() == [] and await folders(home, BEN) == [Folder.NEW]


async def test_the_last_holder_is_told_to_accept_and_asked_again(home: House) -> None:
    await dispatched(home)
    await hear(home, "3")
    call = await hear(home, "3", "2", user=BEN)
    assert "dispatch_last_holder" in call.heard and "dispatch_accepted" in call.heard
    assert await folders(home, BEN) == [Folder.SAVED]


@pytest.mark.parametrize("key", ["#", "*"])
async def test_postponing_keeps_it_new_for_all_even_when_it_was_heard(home: House, key: str) -> None:
    await dispatched(home)
    await hear(home, key)
    assert await folders(home) == await folders(home, BEN) == [Folder.NEW]


async def test_silence_and_a_wrong_key_change_nothing(home: House) -> None:
    await dispatched(home)
    call = await hear(home, "4", "", "", "")
    assert "invalid_key" in call.heard and "still_there" in call.heard
    assert await folders(home) == await folders(home, BEN) == [Folder.NEW]


async def test_hanging_up_anywhere_answers_nothing_before_the_key(home: House) -> None:
    await dispatched(home)
    whole = home.call("#")
    await hear_messages(home.desk(), whole, ANNA, Folder.NEW)
    for moment in range(1, whole.moments + 1):
        call = await hear(home, "#", leaves_at=moment)
        assert call.gone
        assert await folders(home) == await folders(home, BEN) == [Folder.NEW], moment


async def test_hanging_up_while_it_is_confirmed_keeps_the_acceptance(home: House) -> None:
    await dispatched(home)
    probe = await hear(home, "#")
    call = await hear(home, "2", leaves_at=probe.moments)
    assert call.heard[-1] != "end_of_messages"
    assert await folders(home) == [Folder.SAVED] and await folders(home, BEN) == []


async def test_one_that_was_accepted_since_it_was_listed_is_told_and_skipped(home: House) -> None:
    await dispatched(home), await dispatched(home)
    first, second = [m.envelope.dispatch for m in await home.messages() if m.envelope.dispatch]
    call = home.call("#")

    def taken(sound: object) -> None:
        if sound == AFTER:
            home.store.state.put(Setting("dispatch", str(BEN.id), accepted(copy_id(second, BEN.id)), second))

    call.on_sound = taken
    await hear_messages(home.desk(), call, ANNA, Folder.NEW)
    assert "dispatch_taken" in call.heard and call.heard.count("dispatch_message") == 1
    assert [m.envelope.dispatch for m in await home.messages()] == [first]


def accepted(message: UUID) -> str:
    return f'{{"answer": "accept", "message": "{message}"}}'


@pytest.mark.parametrize("key", ["2", "3"])
async def test_one_that_was_accepted_while_it_plays_is_told(home: House, key: str) -> None:
    name = await dispatched(home)
    call = home.call(key)
    call.on_sound = lambda sound: (
        sound == AFTER
        and home.store.state.put(Setting("dispatch", str(BEN.id), accepted(copy_id(name, BEN.id)), name))
    )
    await hear_messages(home.desk(), call, ANNA, Folder.NEW)
    assert "dispatch_taken" in call.heard and await home.messages() == []
    assert await folders(home, BEN) == [Folder.NEW]


async def test_a_damaged_one_can_be_declined(home: House) -> None:
    await dispatched(home, audio=b"no sound")
    call = await hear(home, "3")
    assert "dispatch_declined" in call.heard and await home.messages() == []
    assert await folders(home, BEN) == [Folder.NEW]


async def test_an_older_release_on_the_other_node_leaves_it_as_it_is(home: House) -> None:
    await dispatched(home)
    home.store.state.schema = 4
    call = await hear(home, "2")
    assert "nothing_changed" in call.heard
    assert await folders(home) == await folders(home, BEN) == [Folder.NEW]


async def test_after_it_was_accepted_it_is_a_message_as_any_other(home: House) -> None:
    name = await dispatched(home)
    await home.store.dispatches.answer(copy_id(name, ANNA.id), Answer.ACCEPT)
    call = await hear(home, "3")
    assert "dispatch_message" not in call.heard and "after_message_menu" in call.heard
    assert await folders(home) == [Folder.DELETED]


async def test_who_is_overruled_hears_by_whom(home: House) -> None:
    envelope = Envelope(MessageKind.OVERRULED, sender=BEN.id, about=uuid7())
    await home.leave(envelope=envelope, caller="1002")
    call = home.call("1", "3", "*")
    await main_menu(home.desk(), call, ANNA)
    assert "dispatch_overruled" in call.heard and "from_extension" in call.heard
    assert "new_receipt" in call.heard, "it counts as a receipt"


async def test_where_the_user_was_cut_off_is_forgotten_when_somebody_else_has_it(home: House) -> None:
    name = await dispatched(home)
    await hear(home, leaves_at=9)
    options = await home.desk().policies.options(ANNA.id)
    assert options.resume_message == copy_id(name, ANNA.id)
    await home.store.dispatches.answer(copy_id(name, BEN.id), Answer.ACCEPT)
    call = home.call()
    await resume(home.desk(), call, ANNA)
    assert call.heard == []


# --------------------------------------------------------------------------------- where they come from


async def set_up(home: House, policy: CallHandler | Interview, name: str) -> None:
    members = Members(members=("1001", "1002"))
    await home.store.settings.put(Setting(Members.KIND, "team", members.model_dump_json()))
    await home.store.settings.put(Setting(policy.KIND, name, policy.model_dump_json()))


async def test_a_handler_can_have_its_messages_dispatched(home: House) -> None:
    await set_up(home, CallHandler(extension="4600", messages_to=("list:team",), dispatch=True), "shop")
    call = home.call(5.0, "3", 6.0, "#", "", invite=Invite("c", "4600", "+4930555"))
    await home.pilot().handle(call)
    [mine], [bens] = await home.messages(), await home.messages(BEN)
    assert mine.open_dispatch and mine.envelope.dispatch == bens.envelope.dispatch
    assert mine.seconds == 6.0, "recorded again, and one dispatch still"


async def test_an_interview_can_be_dispatched(home: House) -> None:
    interview = Interview(extension="4600", questions=(30.0,), messages_to=("list:team",), dispatch=True)
    await set_up(home, interview, "claims")
    owner = Setting(Interview.KIND, "claims", "{}").id
    await home.store.users.set_greeting(owner, wav.file_ulaw(b"\x20" * 8000), question_kind(1))
    await home.pilot().handle(home.call(5.0, invite=Invite("c", "4600", "+4930555")))
    assert (await home.messages())[0].open_dispatch


async def test_one_that_nobody_gets_is_undeliverable_and_no_dispatch(home: House) -> None:
    shop = CallHandler(extension="4600", messages_to=("1009", "list:team"), dispatch=True)
    await set_up(home, shop, "shop")
    await home.store.settings.put(Setting(Members.KIND, "team", Members().model_dump_json()))
    last = Undeliverable(members=("1002",))
    await home.store.settings.put(Setting(Undeliverable.KIND, "default", last.model_dump_json()))
    await home.pilot().handle(home.call(5.0, "#", "", invite=Invite("c", "4600", "+4930555")))
    [message] = await home.messages(BEN)
    assert message.envelope.dispatch is None


async def test_whoever_is_on_another_system_gets_it_even_when_it_is_accepted_here_first(home: House) -> None:
    new = NewMessage(uuid7(), ANNA.id, "+4930555", "", START, 4.0)
    new = replace(new, envelope=Envelope(dispatch=new.id))
    await home.store.messages.send(new, [ANNA.id, BEN.id], b"x")
    await depart(home.store, new, ["carl@vm.example.com"], b"x", 1.0)
    await home.store.dispatches.answer(copy_id(new.id, ANNA.id), Answer.ACCEPT)
    leaving = await home.store.messages.get(copy_id(new.id, OUTGOING))
    assert leaving and leaving.envelope.dispatch is None


async def test_it_is_marked_as_any_message_by_its_owner(home: House) -> None:
    name = await dispatched(home)
    await home.store.dispatches.answer(copy_id(name, ANNA.id), Answer.ACCEPT)
    await home.store.messages.mark(copy_id(name, ANNA.id), Mark.READ)
    assert await folders(home) == [Folder.SAVED]
