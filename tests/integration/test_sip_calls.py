"""A softphone calls a real worker: pjsua2 on both ends, on loopback."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sip import tones, wav
from sip.errors import EngineError
from sip.hears import hears
from sip.softphone import PhoneCall, Softphone
from tests.fakes.sip_pool import SipPool, phone_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SipPool]:
    async with SipPool(tmp_path_factory.mktemp("pool")) as pool:
        await pool.ready()
        yield pool
        assert len(set(pool.pids())) == 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phone() -> AsyncIterator[Softphone]:
    async with Softphone(phone_settings()) as phone:
        yield phone


async def dialled(phone: Softphone, pool: SipPool, number: str, **headers: str) -> PhoneCall:
    pool.seen = len(pool.reports())
    call = await phone.dial(
        pool.uri(number), {name.replace("_", "-"): text for name, text in headers.items()}
    )
    await call.answered()
    return call


async def result(pool: SipPool) -> Any:
    return (await pool.report())["result"]


async def test_a_prompt_is_heard_from_beginning_to_end(
    phone: Softphone, pool: SipPool, tmp_path: Path
) -> None:
    call = await dialled(phone, pool, "play-speech")
    await call.record(tmp_path / "heard.wav")
    await call.ended()
    assert hears(tmp_path / "heard.wav", pool.folder / "speech.wav") == pytest.approx(0.0, abs=0.2)
    assert await result(pool) == ""


@pytest.mark.parametrize("verb", ["several", "several-ready"])
async def test_sounds_in_one_go_follow_each_other_with_a_tone_where_a_prompt_is_missing(
    phone: Softphone, pool: SipPool, tmp_path: Path, verb: str
) -> None:
    call = await dialled(phone, pool, verb)
    await call.record(tmp_path / "heard.wav")
    await call.ended()
    report = await pool.report()
    assert "hung_up" not in report
    linear = hears(tmp_path / "heard.wav", pool.folder / "linear.wav")
    other = hears(tmp_path / "heard.wav", pool.folder / "other.wav")
    assert linear is not None
    assert other is not None
    tiny, tone = 200 / 8000, 2 * tones.MISSING
    assert other - linear in (
        pytest.approx(0.4 + tiny, abs=0.03),  # "short" sounds alike and stands before it
        pytest.approx(0.8 + tone + tiny, abs=0.03),
    )
    assert 1.2 < report["took"] < 2.0
    assert [each.name for each in (pool.folder / "joined").iterdir()] == ["missing.wav"]
    assert hears(tmp_path / "heard.wav", pool.folder / "joined/missing.wav") is not None


async def test_nothing_to_play_is_no_reason_to_end_a_call(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "nothing")
    assert await call.ended() == 200
    assert await result(pool) == ""


@pytest.mark.parametrize("info", [False, True], ids=["RFC 4733", "SIP INFO"])
async def test_a_key_stops_a_prompt(phone: Softphone, pool: SipPool, info: bool) -> None:
    call = await dialled(phone, pool, "play-long")
    await asyncio.sleep(0.3)
    await call.press("#", info)
    report = await pool.report()
    assert report["result"] == "#"
    assert report["took"] < 2.0
    await call.ended()


async def test_a_key_that_does_not_stop_a_prompt_leaves_it_playing(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "play-short")
    await call.press("5")
    assert await result(pool) == ""
    await call.ended()


@pytest.mark.parametrize(("key", "answer"), [("2", "2"), ("9", "?")])
async def test_any_key_interrupts_a_question(phone: Softphone, pool: SipPool, key: str, answer: str) -> None:
    call = await dialled(phone, pool, "ask-long")
    await call.press(key)
    report = await pool.report()
    assert report["result"] == answer
    assert report["took"] < 2.0
    await call.ended()


async def test_silence_answers_a_question_with_nothing(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "ask-short")
    report = await pool.report()
    assert report["result"] == ""
    assert 1.3 < report["took"] < 2.5
    await call.ended()


async def test_keys_pressed_early_answer_the_questions_to_come(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "early")
    await call.press("147#")
    assert await result(pool) == ["1", "47"]
    await call.ended()


@pytest.mark.parametrize(
    ("keys", "digits"),
    [("1234567", "1234"), ("12#", "12"), ("12", "12"), ("*", "*"), ("1*2#", "1*2"), ("#", "")],
)
async def test_digits_are_collected_to_their_end(
    phone: Softphone, pool: SipPool, keys: str, digits: str
) -> None:
    call = await dialled(phone, pool, "digits-4")
    await call.press(keys)
    assert await result(pool) == digits
    await call.ended()


async def test_secret_digits_are_not_logged(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "digits-6")
    await call.press("918273")
    assert await result(pool) == "918273"
    await call.ended()
    assert "918273" not in pool.log()


async def test_what_is_said_is_recorded_until_a_key(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "record")
    await call.say(pool.folder / "speech.wav")
    await call.press("5#")
    ended_by, key, seconds, path, closed = await result(pool)
    assert (ended_by, key, closed) == ("key", "#", True)
    assert 1.4 < seconds < 3.0
    assert hears(Path(path), pool.folder / "speech.wav") is not None
    await call.ended()


async def test_a_pause_leaves_neither_a_gap_nor_what_was_said_meanwhile(
    phone: Softphone, pool: SipPool
) -> None:
    call = await dialled(phone, pool, "record-20-1.5")  # a pause is no silence
    await call.say(pool.folder / "speech.wav")
    await call.press("8")
    await asyncio.sleep(0.3)
    await call.say(pool.folder / "other.wav")
    await asyncio.sleep(1.2)
    await call.press("8")
    await asyncio.sleep(0.3)
    await call.say(pool.folder / "short.wav")
    await call.press("#")
    ended_by, key, seconds, path, closed = await result(pool)
    assert (ended_by, key, closed) == ("key", "#", True)
    assert 1.9 < seconds < 3.6
    before, after = (hears(Path(path), pool.folder / f"{name}.wav") for name in ("speech", "short"))
    assert before is not None and after is not None and after - before < 3.0
    assert hears(Path(path), pool.folder / "other.wav") is None
    await call.ended()


async def test_hanging_up_in_a_pause_keeps_what_was_said_before(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "record")
    await call.say(pool.folder / "other.wav")
    await call.press("8")
    await asyncio.sleep(0.4)
    await call.hang_up()
    ended_by, _, seconds, path, closed = await result(pool)
    assert (ended_by, closed) == ("hang-up", True)
    assert seconds < 2.0
    assert hears(Path(path), pool.folder / "other.wav") is not None


async def test_prompts_are_spoken_in_the_callers_language_where_it_has_them(
    phone: Softphone, pool: SipPool, tmp_path: Path
) -> None:
    call = await dialled(phone, pool, "spoken-de")
    await call.record(tmp_path / "heard.wav")
    await call.ended()
    await result(pool)
    heard = tmp_path / "heard.wav"
    assert hears(heard, pool.folder / "de" / "speech.wav") is not None
    assert hears(heard, pool.folder / "speech.wav") is None
    assert hears(heard, pool.folder / "other.wav") is not None


async def test_hanging_up_ends_a_recording_and_keeps_it(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "record")
    await call.say(pool.folder / "speech.wav")
    await call.hang_up()
    ended_by, _, seconds, path, closed = await result(pool)
    assert (ended_by, closed) == ("hang-up", True)
    assert 1.4 < seconds < 3.0
    assert hears(Path(path), pool.folder / "speech.wav") is not None


async def test_a_very_short_recording_is_complete_too(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "record")
    await call.say(pool.folder / "other.wav")
    await call.hang_up()
    _, _, seconds, path, closed = await result(pool)
    assert closed
    assert hears(Path(path), pool.folder / "other.wav") is not None
    assert seconds == wav.seconds(Path(path))


async def test_silence_ends_a_recording_also_when_the_caller_sends_no_packets(pool: SipPool) -> None:
    async with Softphone(phone_settings(suppress_silence=True)) as quiet:
        call = await dialled(quiet, pool, "record-20-2")
        await call.say(pool.folder / "speech.wav")
        ended_by, _, seconds, path, _ = await result(pool)
        assert ended_by == "silence"
        assert 3.2 < seconds < 5.5
        assert hears(Path(path), pool.folder / "speech.wav") is not None
        await call.ended()


async def test_a_caller_on_hold_is_silent(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "record-20-1")
    await call.say(pool.folder / "other.wav")
    await call.hold()
    ended_by, _, seconds, _, closed = await result(pool)
    assert (ended_by, closed) == ("silence", True)
    assert seconds < 2.0
    await call.ended()


async def test_a_recording_ends_at_its_limit(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "record-1")
    ended_by, _, seconds, _, _ = await result(pool)
    assert ended_by == "limit"
    assert 0.9 < seconds < 1.5
    await call.ended()


async def test_every_verb_after_the_hang_up_says_so(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "after")
    await asyncio.sleep(0.2)
    await call.hang_up()
    assert await result(pool) == ["hang-up", "hang-up", "HungUp", "HungUp", "HungUp", "HungUp"]


@pytest.mark.parametrize("number", ["play-long", "ask-long", "digits-4", "early"])
async def test_hanging_up_ends_each_verb(phone: Softphone, pool: SipPool, number: str) -> None:
    call = await dialled(phone, pool, number)
    await asyncio.sleep(0.1)
    await call.hang_up()
    assert (await pool.report())["hung_up"]


async def test_a_mistake_in_a_conversation_ends_that_call_only(phone: Softphone, pool: SipPool) -> None:
    bystander = await dialled(phone, pool, "record")
    before = pool.pids()
    call = await dialled(phone, pool, "fail")
    assert await call.ended() == 200
    assert pool.pids() == before
    await bystander.press("#")
    assert (await result(pool))[0] == "key"
    await bystander.ended()


async def test_on_hold_nothing_plays_and_both_directions_come_back(phone: Softphone, pool: SipPool) -> None:
    call = await dialled(phone, pool, "record")
    await call.hold()
    await asyncio.sleep(0.5)
    await call.resume()
    await asyncio.sleep(0.3)
    await call.say(pool.folder / "speech.wav")
    await call.press("#")
    _, _, _, path, _ = await result(pool)
    assert hears(Path(path), pool.folder / "speech.wav") is not None
    await call.ended()


async def test_a_prompt_goes_on_after_a_hold(phone: Softphone, pool: SipPool, tmp_path: Path) -> None:
    call = await dialled(phone, pool, "play-long")
    await call.hold()
    await asyncio.sleep(0.3)
    await call.resume()
    packets = await call.received()
    await asyncio.sleep(1.0)
    assert await call.received() - packets > 30
    await call.press("#")
    assert await result(pool) == "#"
    await call.ended()


async def test_no_packets_are_sent_while_recording_unless_the_trunk_wants_them(
    phone: Softphone, pool: SipPool
) -> None:
    quiet = await dialled(phone, pool, "record")
    talkative = await dialled(phone, pool, "record", X_VM_Trunk="talkative")
    await asyncio.sleep(1.6)
    before = [await quiet.received(), await talkative.received()]
    await asyncio.sleep(1.0)
    after = [await quiet.received(), await talkative.received()]
    assert after[0] - before[0] < 5
    assert after[1] - before[1] > 40
    await quiet.hang_up()
    await talkative.hang_up()
    await pool.report()


@pytest.mark.parametrize("codec", ["PCMA/8000", "G722/16000"])
async def test_other_codecs_are_spoken(pool: SipPool, codec: str) -> None:
    async with Softphone(phone_settings(codecs=(codec,))) as phone:
        call = await dialled(phone, pool, "record")
        await call.say(pool.folder / "speech.wav")
        await call.press("#")
        _, _, _, path, _ = await result(pool)
        await call.ended()
        assert hears(Path(path), pool.folder / "speech.wav") is not None


async def test_a_codec_that_we_do_not_speak_is_refused(pool: SipPool) -> None:
    async with Softphone(phone_settings(codecs=("speex/8000",))) as phone:
        call = await phone.dial(pool.uri("play"))
        assert await call.ended() == 488


async def test_who_called_and_why_is_told_to_the_conversation(phone: Softphone, pool: SipPool) -> None:
    headers = {
        "Diversion": '"Ada" <sip:1001@pbx>;reason=no_answer',
        "X-VM-Source": "udp:192.0.2.7:5060",
        "X-VM-Trunk": "pbx",
    }
    pool.seen = len(pool.reports())
    call = await phone.dial(pool.uri("nothing"), headers, caller='"Jürgen, Büro" <sip:+49305550@pbx>')
    await call.ended()
    invite = (await pool.report())["invite"]
    assert invite["redirections"] == [{"number": "1001", "reason": "no-reply", "name": "Ada"}]
    assert (invite["caller"], invite["caller_name"]) == ("+49305550", "Jürgen, Büro")
    assert (invite["source"], invite["trunk"]) == ("udp:192.0.2.7:5060", "pbx")


async def test_the_fifth_caller_of_a_worker_is_told_that_it_is_busy(phone: Softphone, pool: SipPool) -> None:
    async with Softphone(phone_settings()) as fifth:
        calls = [await dialled(phone, pool, "record") for _ in range(4)]
        assert pool.busy() == 4
        refused = await fifth.dial(pool.uri("record"))
        with pytest.raises(EngineError, match="486"):
            await refused.answered()
        for call in calls:
            await call.hang_up()
    await pool.until(lambda: pool.busy() == 0)
