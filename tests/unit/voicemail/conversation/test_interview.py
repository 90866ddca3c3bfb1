"""An interview: every question, one joined message, whoever hangs up, and whatever a crash leaves."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from sip import wav
from sip.invite import Invite, Reason, Redirection
from store.ids import uuid7
from store.model import Folder, Message, Setting, setting_id
from store.spool import Spool, SpoolEntry
from tests.fakes.call import START, Barges, ScriptedCall, Speaks, Step, voice
from tests.fakes.desk import BEN, PILOT, House, house
from voicemail.conversation.interview import beep
from voicemail.delivery import Delivery
from voicemail.policy.interview import Interview, question_kind
from voicemail.policy.model import Action, CallHandler, Go, GreetingSwitch, Members

OWNER = setting_id(Interview.KIND, "claims")
CLAIMS = Interview(extension="4600", questions=(30.0, 20.0, 10.0), messages_to=("list:claims",))
DIALLED = Invite("c", "4600", "+4930555")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        await given(made, CLAIMS)
        await made.store.settings.put(
            Setting(Members.KIND, "claims", Members(members=("1001", "1002")).model_dump_json())
        )
        for number in (1, 2, 3):
            await made.store.users.set_greeting(OWNER, wav.file_ulaw(b"\x20" * 8000), question_kind(number))
        yield made


async def given(home: House, interview: Interview) -> None:
    await home.store.settings.put(Setting(Interview.KIND, "claims", interview.model_dump_json()))


async def held(home: House, *script: Step, leaves_at: int = 0, invite: Invite = DIALLED) -> ScriptedCall:
    call = home.call(*script, leaves_at=leaves_at, invite=invite)
    await home.pilot().handle(call)
    return call


async def only(home: House) -> Message:
    [message] = await home.messages()
    [other] = await home.messages(BEN)
    assert other.seconds == message.seconds
    return message


async def samples(home: House) -> bytes:
    [message] = await home.messages()
    return wav.parse(await home.store.messages.audio(message.id)).data


def runs(*parts: int) -> bytes:
    """What the answers of these recordings sound like, a beep between two of them."""
    whole = [voice(number) * 8000 * 4 for number in parts]
    return beep().join(whole)


async def test_each_question_is_heard_and_all_answers_are_one_message(home: House) -> None:
    call = await held(home, 4.0, 4.0, Speaks(4.0, "silence"))
    assert [sound for sound in call.heard if sound == "tone"] == ["tone"] * 3
    assert call.heard[-2:] == ["message_sent", "goodbye"]
    message = await only(home)
    assert (await samples(home)) == runs(1, 2, 3)
    assert message.folder is Folder.NEW and not message.cut_off and not home.left_in_spool()


async def test_an_answer_is_as_long_as_its_question_allows(home: House) -> None:
    await held(home, 60.0, 60.0, 60.0)
    assert (await only(home)).seconds == pytest.approx(30 + 20 + 10 + 2 * 0.2)


async def test_hanging_up_in_the_middle_sends_what_was_answered(home: House) -> None:
    await held(home, 4.0, Speaks(4.0, "hang-up"))
    assert await samples(home) == runs(1, 2)
    assert not home.left_in_spool()


async def test_hanging_up_at_any_moment_loses_no_answer(home: House) -> None:
    """A recording in which the caller hangs up at once is three seconds of the fake's voice."""
    whole = await held(home, 4.0, 4.0, 4.0)
    for moment in range(1, whole.moments + 1):
        before = len(await home.messages())
        call = await held(home, 4.0, 4.0, 4.0, leaves_at=moment)
        assert call.gone and not home.left_in_spool()
        assert len(await home.messages()) == before + (call.recorded > 0), f"moment {moment}"


async def test_silence_is_no_answer_and_the_next_question_follows(home: House) -> None:
    await held(home, Speaks(0.0, "silence"), 4.0, 4.0)
    assert await samples(home) == runs(2, 3)


async def test_a_word_is_an_answer(home: House) -> None:
    await held(home, 0.5, Speaks(0.0, "silence"), Speaks(0.0, "silence"))
    assert (await only(home)).seconds >= 1.0


async def test_who_answers_nothing_is_told_so(home: House) -> None:
    call = await held(home, *[Speaks(0.0, "silence")] * 3)
    assert call.heard[-2:] == ["no_answer_recorded", "goodbye"]
    assert not await home.messages() and not home.left_in_spool()


async def test_a_question_without_a_recording_is_left_out(home: House) -> None:
    await home.store.users.set_greeting(OWNER, None, question_kind(2))
    call = await held(home, 4.0, 4.0)
    assert call.recorded == 2 and await samples(home) == runs(1, 2)


@pytest.mark.parametrize("change", [{"questions": ()}, {"messages_to": ()}, {"messages_to": ("list:none",)}])
async def test_an_interview_that_nobody_would_get_is_not_held(home: House, change: dict[str, object]) -> None:
    await given(home, CLAIMS.model_copy(update=change))
    call = await held(home)
    assert call.heard == ["cannot_record_now", "goodbye"] and not call.recorded


async def test_an_urgent_interview_makes_urgent_messages(home: House) -> None:
    await given(home, CLAIMS.model_copy(update={"urgent": True}))
    await held(home, 4.0)
    assert (await only(home)).urgent


async def test_it_goes_on_where_the_interview_says(home: House) -> None:
    after = Action(go=Go.USER, target="1002")
    await given(home, CLAIMS.model_copy(update={"after_message": after}))
    call = await held(home, 4.0, 4.0, 4.0)
    assert "default_greeting_before" in call.heard


async def test_a_key_of_a_handler_leads_to_it(home: House) -> None:
    keys = {"3": Action(go=Go.INTERVIEW, target="claims")}
    handler = CallHandler(schedule="always", keys=keys).model_dump_json()
    await home.store.settings.put(Setting(CallHandler.KIND, "opening-greeting", handler))
    await held(home, Barges("3"), "", 4.0, 4.0, 4.0, invite=Invite("c", PILOT, "+4930555"))
    assert (await only(home)).seconds > 12


async def test_a_greeting_leads_to_it(home: House) -> None:
    [anna] = [user for user in await home.store.users.all() if user.extension == "1001"]
    switch = GreetingSwitch(enabled=True, after=Action(go=Go.INTERVIEW, target="claims"))
    await home.store.settings.put(Setting(GreetingSwitch.KIND, "standard", switch.model_dump_json(), anna.id))
    forwarded = Invite("c", PILOT, "+4930555", redirections=(Redirection("1001", Reason.NO_REPLY),))
    await held(home, "", 4.0, 4.0, 4.0, invite=forwarded)
    assert (await only(home)).seconds > 12


async def test_its_number_is_dialled_during_a_greeting(home: House) -> None:
    await held(home, Barges("4"), "600", 4.0, 4.0, 4.0, invite=Invite("c", PILOT, "+4930555"))
    assert (await only(home)).seconds > 12


# ------------------------------------------------------------------------------- what a crash leaves


def left(spool: Spool, spoken: float, sample: bytes, **more: object) -> SpoolEntry:
    entry = SpoolEntry(uuid7(), "4600", START, addressees=("list:claims",))
    entry = replace(entry, **more)  # type: ignore[arg-type]
    spool.begin(entry).write_bytes(wav.file_ulaw(sample * int(spoken * wav.RATE)) if spoken else b"")
    return entry


async def recovered(home: House, *entries: SpoolEntry) -> None:
    home.delivery.recover(entries)
    async with asyncio.timeout(10):
        while home.delivery.waiting:
            home.pauses.end()
            await asyncio.sleep(0.001)


async def test_a_kill_in_the_second_answer_leaves_one_message(home: House) -> None:
    first = left(home.spool, 4.0, voice(1), complete=True, seconds=4.0)
    second = left(home.spool, 3.0, voice(2), continues=first.id, begun_at=4.0)
    await recovered(home, first, second)
    assert await samples(home) == voice(1) * 32000 + voice(2) * 24000
    assert (await only(home)).cut_off and not home.left_in_spool()


@pytest.mark.parametrize("seconds", [0.0, 0.1])
async def test_a_kill_before_the_second_answer_keeps_the_first(home: House, seconds: float) -> None:
    first = left(home.spool, 4.0, voice(1), complete=True, seconds=4.0)
    second = left(home.spool, seconds, voice(2), continues=first.id, begun_at=4.0)
    await recovered(home, first, second)
    assert (await only(home)).seconds == pytest.approx(4.0 + seconds)
    assert not home.left_in_spool()


async def test_a_kill_after_joining_joins_nothing_twice(home: House) -> None:
    joined = left(home.spool, 7.0, voice(1), complete=True, seconds=4.0)
    second = left(home.spool, 3.0, voice(2), continues=joined.id, begun_at=4.0, complete=True)
    await recovered(home, joined, second)
    assert await samples(home) == voice(1) * 56000
    assert not home.left_in_spool()


async def test_what_continues_a_message_that_is_sent_already_is_one_of_its_own(home: House) -> None:
    await recovered(home, left(home.spool, 3.0, voice(2), continues=UUID(int=7), begun_at=4.0))
    assert (await only(home)).seconds == 3.0


async def test_a_damaged_answer_does_not_keep_the_others_back(home: House) -> None:
    first = left(home.spool, 4.0, voice(1), complete=True, seconds=4.0)
    second = left(home.spool, 3.0, voice(2), continues=first.id, begun_at=4.0)
    home.spool.path(second.id).write_bytes(b"no sound at all, but long enough to be one" * 9)
    await recovered(home, first, second)
    assert (await only(home)).seconds == 4.0


async def test_killed_after_any_write_the_answers_are_one_message_with_nothing_twice(
    home: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in the spool after each of its changes is what a kill would leave."""
    kept: list[Path] = []
    folder = home.spool.folder

    def keeping(name: str) -> None:
        plain = getattr(Spool, name)

        def kept_after(self: Spool, *args: object, **more: object) -> object:
            done = plain(self, *args, **more)
            kept.append(tmp_path / f"killed-{len(kept)}")
            shutil.copytree(folder, kept[-1] / "slot-0")
            return done

        monkeypatch.setattr(Spool, name, kept_after)

    for name in ("begin", "finish", "remove"):
        keeping(name)
    await held(home, 4.0, 4.0, 4.0)
    monkeypatch.undo()
    whole, found = await samples(home), []
    assert len(kept) >= 10
    for left_there in kept:
        home.store.state.messages.clear()
        with Spool(left_there, 0) as spool:
            async with Delivery(home.store, spool, home.delivery.rules, sleep=_at_once) as delivery:
                delivery.recover(spool.left_behind())
                async with asyncio.timeout(10):
                    while delivery.waiting:  # noqa: ASYNC110
                        await asyncio.sleep(0.001)
            found.append(b"".join([await samples(home)] if await home.messages() else []))
            assert len(await home.messages()) <= 1 and not list(spool.folder.glob("*.json"))
    assert all(whole.startswith(each) for each in found)
    assert [len(each) for each in found[:-1]] == sorted(len(each) for each in found[:-1]), "nothing is lost"
    assert found[-2] == whole and found[-1] == b"", "the last is when the store has it"


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)
