"""Workers that die, drain, wait for their database, and are treated badly."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from sip import wav
from sip.board import State
from sip.errors import EngineError
from sip.hears import hears
from sip.pool import END_CALLS
from sip.softphone import Softphone
from tests.fakes.sip import Party
from tests.fakes.sip_pool import SipPool, phone_settings


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[SipPool]:
    async with SipPool(tmp_path, workers=2) as pool:
        await pool.ready()
        yield pool


@pytest.fixture
async def phone() -> AsyncIterator[Softphone]:
    async with Softphone(phone_settings()) as phone:
        yield phone


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_killed_worker_is_back_within_a_second_and_its_recording_can_be_repaired(
    pool: SipPool, phone: Softphone
) -> None:
    call = await phone.dial(pool.uri("record"))
    await call.answered()
    await call.say(pool.folder / "speech.wav")
    await asyncio.sleep(0.6)
    victim, bystander = pool.pids()
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    await pool.until(lambda: pool.pids()[0] not in (0, victim) and pool.board.read()[0].state is State.READY)
    assert time.monotonic() - began < 1.0
    assert pool.pids()[1] == bystander
    (left,) = pool.folder.glob("kept/*.wav")
    assert not wav.closed(left)
    assert wav.repair(left)
    assert wav.closed(left)
    assert hears(left, pool.folder / "speech.wav") is not None
    again = await phone.dial(pool.uri("record-1"))
    await again.answered()
    await again.ended()


async def test_a_worker_that_hangs_is_replaced_and_its_recording_can_be_repaired(
    pool: SipPool, phone: Softphone
) -> None:
    call = await phone.dial(pool.uri("record"))
    await call.answered()
    await call.say(pool.folder / "speech.wav")
    await asyncio.sleep(0.6)
    victim, bystander = pool.pids()
    os.kill(victim, signal.SIGSTOP)
    await pool.until(lambda: pool.pids()[0] not in (0, victim) and pool.board.read()[0].state is State.READY)
    assert pool.pids()[1] == bystander
    assert "worker hangs and is killed" in pool.log()
    (left,) = pool.folder.glob("kept/*.wav")
    assert wav.repair(left)
    assert hears(left, pool.folder / "speech.wav") is not None


async def test_a_pool_that_is_told_to_end_lets_calls_finish_and_takes_no_new_ones(
    pool: SipPool, phone: Softphone
) -> None:
    talking = await phone.dial(pool.uri("record"))
    await talking.answered()
    pool.terminate()
    await pool.until(lambda: all(worker.state is not State.READY for worker in pool.board.read()))
    refused = await phone.dial(pool.uri("record"))
    with pytest.raises(EngineError, match="503"):
        await refused.answered()
    await talking.say(pool.folder / "speech.wav")
    await talking.press("#")
    assert (await pool.report())["result"][0] == "key"
    assert await asyncio.wait_for(pool.process.wait(), 3) == 0


async def test_calls_that_do_not_finish_are_ended_and_their_recordings_kept(
    pool: SipPool, phone: Softphone
) -> None:
    talking = await phone.dial(pool.uri("record"))
    await talking.answered()
    pool.terminate()
    assert await talking.ended(5) == 200
    ended_by, _, seconds, _, closed = (await pool.report())["result"]
    assert (ended_by, closed) == ("cut-off", True)
    assert seconds > 1.5
    assert await asyncio.wait_for(pool.process.wait(), 3) == 0


@pytest.mark.parametrize("draining", [False, True])
async def test_calls_are_ended_at_once_when_the_pool_is_told_so(
    pool: SipPool, phone: Softphone, draining: bool
) -> None:
    talking = await phone.dial(pool.uri("record"))
    await talking.answered()
    await asyncio.sleep(0.3)  # the conversation begins with the ACK
    if draining:
        pool.terminate()
        await asyncio.sleep(0.2)
    began = asyncio.get_running_loop().time()
    pool.process.send_signal(END_CALLS)
    assert await talking.ended(5) == 200
    assert asyncio.get_running_loop().time() - began < 1.0
    assert (await pool.report())["result"][0] == "cut-off"
    assert await asyncio.wait_for(pool.process.wait(), 3) == 0


async def test_workers_die_with_the_zygote(pool: SipPool) -> None:
    pids = pool.pids()
    pool.process.kill()
    await pool.until(lambda: not any(alive(pid) for pid in pids), 1.0)


async def test_without_a_database_calls_are_refused_until_it_is_there(
    tmp_path: Path, phone: Softphone
) -> None:
    (tmp_path / "database-away").touch()
    async with SipPool(tmp_path) as pool:
        await pool.until(lambda: pool.pids() != [0])
        await asyncio.sleep(0.5)
        refused = await phone.dial(pool.uri("play-short"))
        with pytest.raises(EngineError, match="503"):
            await refused.answered()
        assert pool.board.read()[0].state is State.STARTING
        (tmp_path / "database-away").unlink()
        await pool.ready()
        call = await phone.dial(pool.uri("play-short"))
        await call.answered()
        await call.ended()


async def test_a_worker_that_is_told_to_end_alone_is_replaced(pool: SipPool) -> None:
    victim = pool.pids()[0]
    os.kill(victim, signal.SIGTERM)
    await pool.until(lambda: pool.pids()[0] not in (0, victim) and alive(pool.pids()[0]))
    assert not alive(victim)


async def test_a_worker_does_not_outlive_its_asyncio_thread(pool: SipPool, phone: Softphone) -> None:
    victim = pool.pids()[0]
    await phone.dial(pool.uri("quit"))
    await pool.until(lambda: pool.pids()[0] not in (0, victim) and pool.board.read()[0].state is State.READY)
    assert not alive(victim)


# ---- the crashes of the library that were seen before


async def test_rapid_barge_in_does_not_kill_a_worker(pool: SipPool, phone: Softphone) -> None:
    before = pool.pids()
    call = await phone.dial(pool.uri("cycles"))
    await call.answered()
    await call.press("0123456789" * 2 + "#", info=True)
    assert len((await pool.report())["result"]) == 20
    await call.ended()
    assert pool.pids() == before


async def test_barge_in_just_when_prompts_end_does_not_kill_a_worker(pool: SipPool, phone: Softphone) -> None:
    before = pool.pids()
    for step in range(8):
        call = await phone.dial(pool.uri("play-short"))
        await call.answered()
        await asyncio.sleep(0.37 + step * 0.007)
        with suppress(EngineError):  # it may have ended
            await call.press("#", info=True)
        await call.ended()
    assert pool.pids() == before


async def test_a_flood_of_keys_while_calls_end_does_not_kill_a_worker(
    pool: SipPool, phone: Softphone
) -> None:
    before = pool.pids()
    for number in ("digits-4", "ask-long", "record-1", "cycles"):
        call = await phone.dial(pool.uri(number))
        await call.answered()
        with suppress(EngineError):  # the first keys may have ended it
            await call.press("1234567890*" * 2)
            await call.press("1234567890*" * 4, info=True)
        await asyncio.sleep(0.3)
        await call.hang_up()
    assert pool.pids() == before


INVITE_BODY = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 9 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)


async def test_many_calls_that_end_before_audio_flows_leave_a_worker_able_to_answer(
    pool: SipPool, phone: Softphone
) -> None:
    """More of them than there are ports in the conference, no faster than the edge lets them through."""
    before, where = pool.pids(), ("127.0.0.1", pool.port)
    caller = await Party.open()
    for _ in range(60):
        sent = caller.start(
            "INVITE", pool.uri("play-short"), where, [("Content-Type", "application/sdp")], INVITE_BODY
        )
        answer = await caller.answer_to(sent, where)
        assert answer.code in (200, 486)
        await asyncio.sleep(0.05)
    caller.close()
    assert pool.pids() == before


async def test_junk_leaves_a_worker_as_it_was(pool: SipPool, phone: Softphone) -> None:
    before = pool.pids()
    junk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    call = await phone.dial(pool.uri("play-speech"))
    await call.answered()
    for size in range(0, 1200, 7):
        junk.sendto(os.urandom(size), ("127.0.0.1", pool.port))
        junk.sendto(os.urandom(size), ("127.0.0.1", pool.rtp + size % 40))
        junk.sendto(b"INVITE sip:x SIP/2.0\r\n" + os.urandom(size), ("127.0.0.1", pool.port))
    assert await call.ended() == 200
    assert pool.pids() == before


async def test_a_call_in_the_place_of_one_that_just_ended_is_not_ended_with_it(
    pool: SipPool, phone: Softphone
) -> None:
    """The worker is busy for a moment, so that a BYE and the next INVITE come to it at once; with its other
    places taken, the new call gets the place of the old one."""
    old = [await phone.dial(pool.uri("record")) for _ in range(4)]
    for call in old:
        await call.answered()
    (worker, _) = pool.pids()
    async with Softphone(phone_settings()) as other:
        for call in old:
            os.kill(worker, signal.SIGSTOP)
            left = asyncio.create_task(call.hang_up())
            await asyncio.sleep(0.1)
            dialling = asyncio.create_task(other.dial(pool.uri("record")))
            await asyncio.sleep(0.1)
            os.kill(worker, signal.SIGCONT)
            await left
            await (new := await dialling).answered()
            await asyncio.sleep(0.3)
            assert pool.busy() == 4
            await new.received()


async def test_being_stopped_and_going_on_is_no_signal_to_end() -> None:
    """As when the machine is frozen: the pool once ended all its workers at waking."""
    code = (
        "import signal; from sip.pool import waited; watched = {signal.SIGTERM};"
        "signal.pthread_sigmask(signal.SIG_BLOCK, watched); print('waits', flush=True);"
        "print(waited(watched, 0.2), flush=True); print(waited(watched, 9.0))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    await process.stdout.readline()
    await asyncio.sleep(0.05)  # until it waits
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.3)
    process.send_signal(signal.SIGCONT)
    assert await process.stdout.readline() == b"0\n"
    process.terminate()
    assert await process.stdout.readline() == b"15\n"
    await process.wait()
