"""Voice mail from and to other systems: two of ours that only know one another as locations, by phone keys
alone; foreign senders (swaks, curl, ffmpeg's G.726 through a real Postfix), and a foreign
reader behind one."""

import asyncio
import base64
import os
import smtplib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from sip import wav
from store.ids import uuid7
from store.model import OUTGOING, QUARANTINE, Envelope, Folder, MessageKind, NewMessage, Setting
from tests.acceptance import scene
from tests.acceptance.apart import (
    ENOUGH,
    FRESH,
    SHORT,
    SPEECH,
    A,
    Apart,
    B,
    Clock,
    audible,
    known,
    posted,
    samples,
    snr,
    speech,
)  # fmt: skip
from tests.fakes.dovecot import Dovecot, running_dovecot
from tests.fakes.postfix import Postfix, running_postfix
from tests.fakes.vpim_validator import violations
from voicemail import departures
from voicemail.policy.locations import Location, Tls
from voicemail.receipts import REPORTS
from voicemail.tour.tour import Listening, prompt

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def keys(heard: Listening, pressed: str, *expected: str) -> None:
    """Press keys, then hear the prompts, one after the other."""
    await heard.call.press(pressed)
    for name in expected:
        await heard.hear(name)


async def speaks(heard: Listening) -> None:
    """At the tone; then sends."""
    await heard.call.say(prompt(SPEECH))
    await keys(heard, "#", "send_brief")
    await keys(heard, "#", "message_sent")
    await heard.call.hang_up()


async def test_two_systems_exchange_messages_by_phone_keys_alone(apart: Apart) -> None:
    """To a colleague and to somebody elsewhere at once: both have the same recording, but for the codec."""
    heard = await apart.here.dial(apart.ann)
    await keys(heard, "", "no_messages")
    await keys(heard, "2", "address_number_brief")
    await keys(heard, f"82{apart.eva.extension}#", "n_8", "n_2", "address_added")
    await keys(heard, "1", "address_number_brief")
    await keys(heard, f"{apart.ben.extension}#", "address_added")
    await keys(heard, "#", "tone")
    await speaks(heard)
    clock = Clock()
    [received] = await apart.there.messages(apart.eva, 1)
    print(f"\nin the other system {clock} after 'message sent'")
    [local] = await apart.here.messages(apart.ben, 1)
    assert received.envelope.remote and received.envelope.remote.address == f"1001@{A}"
    there, sent = await apart.there.sound(received), await apart.here.sound(local)
    print(f"{len(there) / 8000:.2f} s of {len(sent) / 8000:.2f} s, {snr(there, sent):.1f} dB")
    assert abs(len(there) - len(sent)) <= 160 and snr(there, sent) >= ENOUGH

    heard = await apart.there.dial(apart.eva)
    await keys(heard, "", "new_message")
    await keys(heard, "1", "received")
    await heard.hear("what was recorded elsewhere", prompt(SPEECH))
    await heard.hear("after_message_brief")  # before its end, 4 would make it slower
    await heard.call.press("4")
    await heard.hear("tone")
    await speaks(heard)
    [answer] = await apart.here.messages(apart.ann, 1)
    assert answer.envelope.remote and answer.envelope.remote.address == f"2001@{B}"
    heard = await apart.here.dial(apart.ann)
    await keys(heard, "", "new_message")
    await keys(heard, "1", "received")
    await heard.hear("the answer", prompt(SPEECH))
    await heard.call.hang_up()


# ---- foreign senders


async def run(*command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(subprocess.run, command, input=given, capture_output=True, timeout=30)


async def test_swaks_and_curl_leave_messages(apart: Apart, tmp_path: Path) -> None:
    """As a user's mail program does: a recording attached to a mail."""
    recording = tmp_path / "recording.wav"
    recording.write_bytes(speech())
    before, to = await known(apart), f"1002@{A}"
    server = f"127.0.0.1:{apart.here.plan.smtp}"
    swaks = ["swaks", "--server", server, "--from", "eve@example.net", "--to", to, "--body", "Listen!"]
    attached = ["--attach-type", "audio/x-wav", "--attach-name", "a.wav", "--attach", f"@{recording}"]
    sent = await run(*swaks, *attached)
    assert sent.returncode == 0, sent.stdout[-2000:]
    await audible(apart, before, "swaks")
    before = await known(apart)

    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "eve@example.net", to, "a recording"
    mail["Message-ID"], mail["Date"] = "<curl.1@example.net>", "Sat, 28 Nov 2026 12:00:00 +0000"
    mail.set_content("Listen!")
    mail.add_attachment(speech(), "audio", "wav", filename="a.wav")
    curl = ["curl", "-sS", "--max-time", "20", f"smtp://{server}", "--mail-from", "eve@example.net"]
    sent = await run(*curl, "--mail-rcpt", to, "--upload-file", "-", given=mail.as_bytes(policy=SMTP))
    assert sent.returncode == 0, sent.stderr
    await audible(apart, before, "curl")


async def test_an_unknown_mailbox_is_refused_in_the_dialogue(apart: Apart) -> None:
    server = f"127.0.0.1:{apart.here.plan.smtp}"
    swaks = ["swaks", "--server", server, "--from", "eve@example.net", "--to", f"4711@{A}"]
    refused = await run(*swaks)
    assert refused.returncode and b"550 5.1.1" in refused.stdout, refused.stdout[-2000:]
    assert b"DATA" not in refused.stdout
    elsewhere = await run(*swaks[:-1], "1002@elsewhere.example")
    assert elsewhere.returncode and b"550 5.7.1" in elsewhere.stdout


FOREIGN = """\
From: Eve Foreign <2722@foreign.example>\r
To: 1002@{domain}\r
Date: Sat, 28 Nov 2026 12:00:00 +0000\r
Message-ID: <foreign.1@foreign.example>\r
MIME-Version: 1.0  (Voice 2.0)\r
Content-Type: Multipart/Voice-Message; Version=2.0; Boundary="==foreign=="\r
Content-Transfer-Encoding: 7bit\r
Importance: High\r
\r
--==foreign==\r
Content-Type: Audio/32KADPCM\r
Content-Transfer-Encoding: Base64\r
Content-Disposition: inline; voice=Voice-Message\r
Content-Duration: {seconds}\r
\r
{sound}\r
--==foreign==--\r
"""
"""As RFC 3801 section 9 shows one, by hand."""


async def g726() -> bytes:
    """The speech as ffmpeg codes it: raw, the first sample in the low bits."""
    raw = ["-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "-"]
    coded = ["-c:a", "g726le", "-code_size", "4", "-ar", "8000", "-f", "g726le", "-"]
    made = await run("ffmpeg", "-v", "error", *raw, *coded, given=samples(speech()).astype("<i2").tobytes())
    assert made.returncode == 0 and made.stdout, made.stderr
    return made.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a Postfix of its own")
async def test_a_foreign_voice_message_comes_through_postfix(apart: Apart, tmp_path: Path) -> None:
    sound = base64.encodebytes(await g726()).decode().replace("\n", "\r\n")
    seconds = round(len(samples(speech())) / 8000)
    raw = tmp_path / "foreign.eml"
    raw.write_bytes(FOREIGN.format(domain=A, seconds=seconds, sound=sound.strip()).encode())
    before = await known(apart)
    with running_postfix({A: apart.here.plan.smtp}, "mx.foreign.example") as postfix:
        swaks = ["swaks", "--server", f"127.0.0.1:{postfix.port}", "--from", "2722@foreign.example"]
        sent = await run(*swaks, "--to", f"1002@{A}", "--data", f"@{raw}")
        assert sent.returncode == 0, sent.stdout[-2000:]
        message = await audible(apart, before, "G.726 of ffmpeg through Postfix")
    assert message.urgent
    assert message.envelope.remote and message.envelope.remote.address == "2722@foreign.example"


# ---- foreign readers


@dataclass(frozen=True, slots=True)
class Foreign:
    """Another system's mail server, and what its users read. It takes mails for users whom it does not know
    and for a host that is dead, and reports on both afterwards."""

    postfix: Postfix
    dovecot: Dovecot

    async def mail(self, user: str, wanted: str) -> bytes:
        """The first one that has this in it, once it is there."""
        found: list[bytes] = []

        async def look() -> bool:
            found[:] = [
                each for each in await asyncio.to_thread(self.dovecot.raw, user) if wanted.encode() in each
            ]
            return bool(found)

        await scene.seen(f"a mail for {user}", look, 15)
        return found[0]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def foreign(apart: Apart) -> AsyncIterator[Foreign]:
    """As far as the first system knows it."""
    if os.geteuid() != 0:
        pytest.skip("only root may run a Postfix and a Dovecot of its own")
    ways = {"foreign.example": ["2722"], "late.example": scene.free_port(), A: apart.here.plan.smtp}
    more = "smtpd_reject_unlisted_recipient = no\ndelay_warning_time = 1s"
    with (
        running_postfix(ways, "mx.foreign.example", more) as postfix,
        running_dovecot(postfix.mail) as dovecot,
    ):
        far = ["domain=foreign.example", f"host=127.0.0.1:{postfix.port}", "tls=none"]
        await apart.here.command("location", "set", "foreign", *far)
        late = Location(domain="late.example", host=f"127.0.0.1:{postfix.port}", tls=Tls.NONE)
        await apart.here.store.settings.put(Setting(Location.KIND, "late", late.model_dump_json()))
        await asyncio.sleep(FRESH)
        yield Foreign(postfix, dovecot)
    await apart.here.command("location", "remove", "foreign")
    await apart.here.command("location", "remove", "late")


async def test_independent_readers_understand_what_is_sent(apart: Apart, foreign: Foreign) -> None:
    """A foreign system behind a real Postfix: the strict validator, Python's email and ffmpeg read it."""
    await apart.here.store.users.set_greeting(apart.ann.id, wav.file_ulaw(b"\x55\xd5" * 4000), "name")
    await posted(apart, speech(), "2722@foreign.example")
    raw = await foreign.mail("2722", "Originator-Spoken-Name")
    added, _, rest = raw.partition(b"\r\n")  # by the last host
    assert added.startswith(b"Return-Path: <1001@") and violations(rest) == []
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage) and not mail.defects
    assert (mail["From"].addresses[0].addr_spec, mail["MIME-Version"][:3]) == (f"1001@{A}", "1.0")
    voices = {part["Content-Disposition"].params["voice"].lower(): part for part in mail.iter_parts()}
    assert set(voices) == {"originator-spoken-name", "voice-message"}
    coded = voices["voice-message"].get_payload(decode=True)
    assert isinstance(coded, bytes)
    decode = ["-f", "g726le", "-code_size", "4", "-sample_rate", "8000", "-i", "-", "-f", "s16le", "-"]
    made = await run("ffmpeg", "-v", "error", *decode, given=coded)
    assert made.returncode == 0, made.stderr
    ratio = snr(np.frombuffer(made.stdout, "<i2").astype(float), samples(speech()))
    print(f"read by ffmpeg: {ratio:.1f} dB")
    assert ratio >= ENOUGH


# ---- reports of foreign systems

RECEIPT = """\
From: 2722@foreign.example\r
To: {to}\r
Date: Sat, 28 Nov 2026 12:00:00 +0000\r
Message-ID: <receipt.1@foreign.example>\r
Subject: Read: your message\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=disposition-notification; boundary=r\r
\r
--r\r
\r
Your message was displayed.\r
\r
--r\r
Content-Type: message/disposition-notification\r
\r
Reporting-UA: pc.foreign.example; Some Mail Program\r
Original-Recipient: rfc822;2722@foreign.example\r
Final-Recipient: rfc822;2722@foreign.example\r
Original-Message-ID: {about}\r
Disposition: manual-action/MDN-sent-manually; displayed\r
\r
--r--\r
"""
"""As mail programs write one (RFC 8098 section 9), by hand."""


async def told(apart: Apart) -> dict[str, Envelope]:
    """What the author has been told, by whom it is about."""
    listing = await apart.here.store.messages.listing(apart.ann.id)
    reports = [each.envelope for each in listing if each.envelope.kind in REPORTS]
    return {each.remote.address if each.remote else each.recipients[0]: each for each in reports}


async def test_what_foreign_mail_servers_and_programs_report_reaches_the_author(
    apart: Apart, foreign: Foreign, tmp_path: Path
) -> None:
    """After its 250, Postfix finds that there is no such user, and that a host does not answer; what the
    third one gets he opens in a mail program, which sends a receipt."""
    to = ("2722@foreign.example", "4711@foreign.example", "2733@late.example")
    envelope = Envelope(sender=apart.ann.id, receipt=True)
    message = NewMessage(uuid7(), OUTGOING, "1001", "", datetime.now(UTC), 1.0, envelope=envelope)
    await departures.depart(apart.here.store, message, to, SHORT, 1.0)
    raw = await foreign.mail("2722", "Disposition-Notification-To")
    mail = message_from_bytes(raw, policy=policy.default)
    receipt = tmp_path / "receipt.eml"
    back = mail["Disposition-Notification-To"].strip("<>")
    receipt.write_bytes(RECEIPT.format(to=back, about=mail["Message-ID"]).encode())
    swaks = ["swaks", "--server", f"127.0.0.1:{foreign.postfix.port}", "--from", "<>", "--to", back]
    sent = await run(*swaks, "--data", f"@{receipt}")
    assert sent.returncode == 0, sent.stdout[-2000:]

    async def look() -> bool:
        return set(to) <= (await told(apart)).keys()

    await scene.seen("reports on all three", look, 20)
    by_address = await told(apart)
    assert [(by_address[each].kind, by_address[each].why) for each in to] == [
        (MessageKind.READ_RECEIPT, ""), (MessageKind.NON_DELIVERY, "gone"), (MessageKind.NON_DELIVERY, "late")
    ]  # fmt: skip
    assert await apart.here.store.messages.listing(OUTGOING, Folder.NEW) == []


async def test_that_a_message_arrived_is_nothing_to_be_told(apart: Apart, foreign: Foreign) -> None:
    """A real Postfix reports success, as a sender might have asked for; nobody's mailbox gets anything."""
    store, about = apart.here.store, uuid7()
    before = len(await store.messages.listing(apart.ann.id)), len(await store.messages.listing(QUARANTINE))
    mail = f"From: 1001@{A}\r\nMessage-ID: <{about}@{A}>\r\nSubject: x\r\n\r\nx\r\n"

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", foreign.postfix.port, timeout=10) as client:
            client.sendmail(f"1001@{A}", ["2722@foreign.example"], mail, rcpt_options=["NOTIFY=SUCCESS"])

    await asyncio.to_thread(send)

    async def look() -> bool:
        return "nothing to be told: delivered" in apart.here.node.log.read_text()

    await scene.seen("the report in the log", look, 10)
    after = len(await store.messages.listing(apart.ann.id)), len(await store.messages.listing(QUARANTINE))
    assert after == before
