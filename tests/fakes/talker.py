"""A caller who sends RTP (RFC 3550) as a bad network would deliver it: late, bunched, out of order."""

import asyncio
import random
import re
import struct
from collections.abc import Sequence

from tests.fakes.sip import Dialog, Party, Where, text_of

FRAME, PAUSE = 160, 0.02
"""Bytes of mu-law in a packet, and the seconds it lasts."""


def delays(count: int, most: float, seed: int) -> list[float]:
    """Seconds by which each packet is late, in `most` at most: some so much that the next overtake it."""
    chance = random.Random(seed)
    return [0.0, *(chance.choice((0.0, 0.2, 0.5, 1.0)) * most for _ in range(count - 1))]


class Talker(Party):
    """A SIP party with an RTP port."""

    rtp: asyncio.DatagramTransport

    async def dial(self, uri: str, where: Where) -> Dialog:
        """Call, and be answered."""
        loop = asyncio.get_running_loop()
        made = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        self.rtp = made[0]
        port = self.rtp.get_extra_info("sockname")[1]
        body = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
        )
        sent = self.start("INVITE", uri, where, (("Content-Type", "application/sdp"),), body)
        final = await self.answer_to(sent, where, 5.0)
        assert final.code == 200, text_of(final.start, final.headers)
        dialog = Dialog.of_caller(self, final, where)
        dialog.send("ACK")
        found = re.search(r"^m=audio (\d+) ", final.body, re.MULTILINE)
        assert found
        self.theirs = "127.0.0.1", int(found[1])
        return dialog

    async def say(self, sound: bytes, late: Sequence[float]) -> float:
        """Send mu-law samples, packet n `late[n]` seconds after its time. Seconds by which a busy machine
        made one later still, at most."""
        packets = [sound[at : at + FRAME] for at in range(0, len(sound) - FRAME + 1, FRAME)]
        loop = asyncio.get_running_loop()
        began = loop.time() + PAUSE
        slip = 0.0
        order = sorted((PAUSE * number + late[number], number) for number in range(len(packets)))
        for moment, number in order:
            await asyncio.sleep(max(0.0, began + moment - loop.time()))
            header = struct.pack(">BBHII", 0x80, 0x80 * (not number), number, number * FRAME, 4711)
            self.rtp.sendto(header + packets[number], self.theirs)
            slip = max(slip, loop.time() - began - moment)
        return slip

    def close(self) -> None:
        super().close()
        if hasattr(self, "rtp"):
            self.rtp.close()
