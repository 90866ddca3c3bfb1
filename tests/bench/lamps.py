"""A PBX that only has lamps: answers each NOTIFY and notes when it came."""

import asyncio
import re
import time
from collections import defaultdict
from typing import cast

WANTED = (b"via:", b"from:", b"to:", b"call-id:", b"cseq:")


class Lamps(asyncio.DatagramProtocol):
    """`lit`: extension -> (seconds since the epoch, new messages), in order of arrival."""

    def __init__(self) -> None:
        self.lit: dict[str, list[tuple[float, int]]] = defaultdict(list)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        now = time.time()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        if not lines[0].startswith(b"NOTIFY sip:"):
            return
        kept = [line for line in lines[1:] if line.lower().startswith(WANTED)]
        answer = [b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b""]
        self.transport.sendto(b"\r\n".join(answer), sender)
        extension = lines[0].split()[1].partition(b":")[2].partition(b"@")[0].decode()
        if count := re.search(rb"Voice-Message: *(\d+)/", body):
            self.lit[extension].append((now, int(count[1])))

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def at_least(self, extension: str, new: int, after: float) -> float | None:
        """When the lamp first showed so many new messages."""
        return next((at for at, count in self.lit[extension] if count >= new and at >= after), None)
