"""Does listening for tones cost a worker its life? Calls without telephone events press keys as tones and
hang up in the midst of them, four at a time, one worker:

    .venv/bin/python -m tests.bench.inband [calls]

Prints how many BYEs were answered, and whether the worker is still the same process.
"""

import asyncio
import random
import re
import socket
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from tests.fakes.sip import SDP, Party
from tests.fakes.sip_pool import SipPool
from tests.integration.test_inband_keys import speak
from tests.unit.sip.test_inband import silence, tone

AT_ONCE = 4


async def caller(pool: SipPool, phone: Party, dice: random.Random, ends: Counter[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp:
        rtp.bind(("127.0.0.1", 0))
        sdp = SDP.replace("4000", str(rtp.getsockname()[1]))
        answer, dialog = await phone.call(pool.uri("cycles"), ("127.0.0.1", pool.port), sdp=sdp)
        found = re.search(r"m=audio (\d+)", answer.body)
        if not dialog or not found:
            ends[f"refused {answer.code}"] += 1
            return
        pressed = "".join(dice.choice("0123456789") for _ in range(dice.randint(1, 6)))
        pieces = [piece for key in pressed for piece in (tone(key, 0.08), silence(0.08))]
        sound = np.concatenate([silence(0.2), *pieces, silence(0.1)])
        speaking = asyncio.create_task(speak(rtp, ("127.0.0.1", int(found[1])), sound))
        await asyncio.sleep(dice.random() * 1.2)
        try:
            ends[f"BYE {(await dialog.request('BYE')).code}"] += 1
        except TimeoutError:
            ends["BYE lost"] += 1
        await speaking


async def main(calls: int) -> None:
    ends: Counter[str] = Counter()
    dice = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        async with SipPool(Path(folder)) as pool, await Party.open() as phone:
            await pool.ready()
            began = pool.pids()
            for _ in range(calls // AT_ONCE):
                await asyncio.gather(*(caller(pool, phone, dice, ends) for _ in range(AT_ONCE)))
            same = "the same worker" if pool.pids() == began else "THE WORKER WAS REPLACED"
    sys.stdout.write(f"{calls} calls: {dict(ends)}, {same}\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 240))
