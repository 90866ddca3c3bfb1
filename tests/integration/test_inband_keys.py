"""Keys as tones in the audio, from a telephone that knows neither telephone events nor SIP INFO."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest_asyncio

from sip import wav
from tests.fakes.sip import SDP, Message, Party
from tests.fakes.sip_pool import SipPool
from tests.unit.sip.test_inband import silence, tone


@pytest_asyncio.fixture
async def pool(tmp_path: Path) -> AsyncIterator[SipPool]:
    async with SipPool(tmp_path) as started:
        await started.ready()
        yield started


async def speak(rtp: socket.socket, where: tuple[str, int], sound: np.ndarray) -> None:
    """20 ms packets of mu-law, in time."""
    audio = wav.samples_ulaw(wav.parse(wav.file_pcm16(sound.astype("<i2").tobytes())))
    for number in range(len(audio) // 160):
        packet = struct.pack(">BBHII", 0x80, 0, number, number * 160, 77)
        rtp.sendto(packet + audio[number * 160 : number * 160 + 160], where)
        await asyncio.sleep(0.02)


def place_of(answer: Message) -> tuple[str, int]:
    found = re.search(r"m=audio (\d+)", answer.body)
    assert found and "telephone-event" not in answer.body
    return "127.0.0.1", int(found[1])


async def test_keys_in_the_audio_are_heard_where_no_events_were_agreed_on(pool: SipPool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp:
        rtp.bind(("127.0.0.1", 0))
        sdp = SDP.replace("4000", str(rtp.getsockname()[1]))
        async with await Party.open() as phone:
            answer, dialog = await phone.call(pool.uri("digits-3"), ("127.0.0.1", pool.port), sdp=sdp)
            assert answer.code == 200 and dialog
            pieces = [piece for key in "457" for piece in (tone(key, 0.1), silence(0.1))]
            await speak(rtp, place_of(answer), np.concatenate([silence(0.3), *pieces, silence(0.2)]))
            assert (await pool.report())["result"] == "457"
            logged = pool.log().partition("dialled=digits-3")[2]
            assert "digits= many=3" in logged and not re.search(r"=\W?[457]\b|457", logged)
