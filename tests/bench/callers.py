"""SIPp as the callers: a PBX forwards them to mailboxes, they hear the greeting, speak and hang up."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.sound import FRAME, RATE

SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="deposit">
<send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:caller[field1]@[local_ip]>;tag=[call_number]
To: <sip:[service]@[remote_ip]>
Call-ID: [field1]///[call_id]
CSeq: 1 INVITE
Contact: <sip:pbx@[local_ip]:[local_port]>
Diversion: <sip:[field0]@[local_ip]>;reason=no-answer
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=from [rtpstream_audio_port]
c=IN IP4 [media_ip]
t=0 0
m=audio EAR RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=ptime:20
]]></send>
<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
<recv response="200" rrs="true"/>
<send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:caller[field1]@[local_ip]>;tag=[call_number]
[last_To:]
[routes]
Call-ID: [field1]///[call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<pause milliseconds="LISTEN"/>
<nop><action><exec rtp_stream="SOUND,1,0"/></action></nop>
<pause milliseconds="TALK"/>
<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:caller[field1]@[local_ip]>;tag=[call_number]
[last_To:]
[routes]
Call-ID: [field1]///[call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"""
TO_THE_END = 0.1
"""Seconds from the last packet to the BYE."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`key` begins the Call-ID (SIPp drops what is before "///"), so that message and caller find each
    other."""

    key: str
    extension: str
    ear: int = 0
    """The port that wants to hear the node; 0: SIPp's own. It speaks from its own in any case."""


@dataclass(slots=True)
class Seen:
    """When things happened in a call, in seconds since the epoch."""

    invite: float = 0.0
    answered: float = 0.0
    bye: float = 0.0
    ended: float = 0.0
    """When the BYE was answered with 200."""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Callers of one edge, who all say the same."""

    folder: Path
    edge: str
    pilot: str
    sip_port: int
    rtp_port: int
    callers: tuple[Caller, ...]
    at_once: int
    rate: float
    """Calls a second while fewer than `at_once` are up."""
    address: str = "127.0.0.1"
    more: tuple[str, ...] = ("-timeout", "300s")
    """Of SIPp's options."""

    def write(self, listen: float, sound: bytes) -> None:
        """Scenario and callers, for `listen` seconds of greeting; `sound` is mu-law. SIPp does not
        send the last packet of a file."""
        self.folder.mkdir(parents=True)
        (self.folder / "sound.raw").write_bytes(sound + sound[:FRAME])
        talk = len(sound) / RATE + TO_THE_END
        ear = "[field2]" if any(caller.ear for caller in self.callers) else "[rtpstream_audio_port]"
        values = {
            "LISTEN": f"{1000 * listen:.0f}", "TALK": f"{1000 * talk:.0f}", "SOUND": "sound.raw", "EAR": ear,
        }  # fmt: skip
        scenario = SCENARIO
        for name, value in values.items():
            scenario = scenario.replace(name, value)
        (self.folder / "scenario.xml").write_text(scenario)
        rows = (f"{caller.extension};{caller.key};{caller.ear};\n" for caller in self.callers)
        (self.folder / "callers.csv").write_text("SEQUENTIAL\n" + "".join(rows))

    async def start(self) -> asyncio.subprocess.Process:
        with (self.folder / "screen").open("wb") as screen:
            return await asyncio.create_subprocess_exec(
                "sipp", self.edge, "-sf", "scenario.xml", "-inf", "callers.csv", "-s", self.pilot,
                "-i", self.address, "-mi", self.address, "-p", str(self.sip_port), "-mp", str(self.rtp_port),
                "-m", str(len(self.callers)), "-l", str(self.at_once),
                "-r", "1", "-rp", f"{1000 / self.rate:.0f}",
                "-trace_shortmsg", "-shortmessage_file", "messages.csv", "-shortmessage_overwrite", "true",
                "-trace_err", "-error_file", "errors", "-nostdin", *self.more,
                cwd=self.folder, stdin=asyncio.subprocess.DEVNULL, stdout=screen, stderr=screen,
            )  # fmt: skip

    def seen(self) -> dict[str, Seen]:
        """What happened, by the callers' keys."""
        log = (self.folder / "messages.csv").read_text(errors="replace")
        return seen([caller.key for caller in self.callers], log.splitlines())


def seen(keys: list[str], lines: Iterable[str]) -> dict[str, Seen]:
    """What happened in each call, from SIPp's log of short messages; `keys` of the calls in their order.
    A line that was cut off, as SIPp was killed, tells nothing."""
    found = {key: Seen() for key in keys}
    for line in lines:
        columns = line.split("\t")
        if len(columns) < 7:
            continue
        _, _, at, way, call_id, sequence, first = columns[:7]
        number = int(call_id.partition("-")[0])  # SIPp counts its calls from 1
        _note(found[keys[number - 1]], float(at), way, sequence, first)
    return found


def _note(call: Seen, at: float, way: str, sequence: str, first: str) -> None:
    """Repetitions count from the first time on."""
    invite = sequence.endswith("INVITE")
    if way == "S" and first.startswith("INVITE"):
        call.invite = call.invite or at
    elif way == "S" and first.startswith("BYE"):
        call.bye = call.bye or at
    elif way == "R" and sequence.endswith("BYE") and first.startswith("SIP/2.0 200"):
        call.ended = call.ended or at
    elif way == "R" and invite and first.startswith("SIP/2.0 200"):
        call.answered = call.answered or at
    elif way == "R" and invite and not first.startswith("SIP/2.0 1"):
        call.refused = first
