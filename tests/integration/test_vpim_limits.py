"""What hostile mails may cost: each is read in a process of its own, which measures its memory and CPU time
(other work shares the machine).
And many examples by Hypothesis of what is written, judged by the strict system and by Python's email."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.vpim_mails import ANN, BOB, SENT, plain, wav
from tests.fakes.vpim_payloads import FIELDS, PAYLOADS
from tests.fakes.vpim_validator import violations
from voicemail.vpim.headers import NoAddress, clean
from voicemail.vpim.model import Codec, Person, Report, Speech, Unreadable, VoiceMail
from voicemail.vpim.read import read
from voicemail.vpim.write import written

MB = 1024 * 1024
MEASURE = """
import json, resource, sys, time
from voicemail.vpim.model import Unreadable
from voicemail.vpim.read import read
from voicemail.vpim import sound
import av, numpy
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
{make}
before, began = peak(), time.process_time()
try:
    read(raw)
    code = "read"
except Unreadable as error:
    code = error.code
print(json.dumps([code, time.process_time() - began, peak() - before]))
"""
SOUND = 'b"From: a@b.example\\r\\nContent-Type: {media}\\r\\n\\r\\n"'
BOMBS = {
    "10,000 levels of multipart": (
        'raw = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\\r\\n\\r\\n--b%d\\r\\n" % (n, n)'
        " for n in range(10_000))",
        "5.6.0",
    ),
    "10,000 levels with one boundary": (
        'raw = b"Content-Type: multipart/mixed; boundary=b\\r\\n\\r\\n--b\\r\\n" * 10_000',
        "5.6.0",
    ),
    "10,000 mails in mails": ('raw = b"Content-Type: message/rfc822\\r\\n\\r\\n" * 10_000', "5.6.0"),
    "mails in mails in base64": (
        "import base64\nraw = b'x'\nfor _ in range(40):\n"
        "    raw = b'Content-Type: message/rfc822\\r\\nContent-Transfer-Encoding: base64\\r\\n\\r\\n'"
        " + base64.encodebytes(raw)\n",
        "5.3.4",
    ),
    "100,000 parts": (
        'raw = b"Content-Type: multipart/mixed; boundary=b\\r\\n\\r\\n" + b"--b\\r\\n\\r\\nx\\r\\n" * 10**5',
        "5.6.0",
    ),
    "100,000 empty parts": (
        'raw = b"Content-Type: multipart/voice-message; boundary=b\\r\\n\\r\\n" + b"--b\\r\\n" * 100_000',
        "5.6.0",
    ),
    "100 MB of text": ('raw = b"\\r\\n" + b"Hello, world! 1234567890\\r\\n" * 4_000_000', "5.3.4"),
    "34 MB of text": ('raw = b"\\r\\n" + b"Hello\\r\\n" * 4_900_000', "5.6.0"),
    "34 MB without a line end": ('raw = b"x" * 34_000_000', "5.6.0"),
    "34 MB of blank lines": ('raw = b"a: b\\r\\n" + b"\\r\\n" * 17_000_000', "5.6.0"),
    "34 MB of header": ('raw = b"Subject: " + b"x" * 34_000_000', "5.6.0"),
    "a folded header of 34 MB": ('raw = b"Subject: x\\r\\n" + b" x\\r\\n" * 8_500_000', "5.6.0"),
    "a million header fields": ('raw = b"a: b\\r\\n" * 1_000_000 + b"\\r\\n"', "5.6.0"),
    "5 million near misses of a boundary": (
        'raw = b"Content-Type: multipart/mixed; boundary=b\\r\\n\\r\\n" + b"--bx\\r\\n" * 5_000_000',
        "5.6.0",
    ),
    "34 MB of dashes": (
        'raw = b"Content-Type: multipart/mixed; boundary=" + b"-" * 60 + b"\\r\\n\\r\\n" + b"-" * 34_000_000',
        "5.6.0",
    ),
    "a parameter without end": (
        "raw = b'Content-Type: multipart/mixed; ' + b';a=\"' * 100_000 + b'\\r\\n\\r\\n'",
        "5.6.0",
    ),
    "brackets, quotes and words in every header": (
        "raw = b''.join(b'%s: ' % name + b'(\"<=?utf-8?q?=41?= \\\\' * 4000 + b'\\r\\n' for name in"
        " (b'From', b'To', b'Cc', b'Subject', b'Date', b'Message-ID'))"
        f" + {SOUND.format(media='audio/basic')} + b'\\xff' * 8000",
        "read",
    ),
    "14 hours of silence in an AMR file": (
        f"raw = {SOUND.format(media='audio/amr')} + b'#!AMR\\n' + (b'\\x04' + bytes(12)) * 2_600_000",
        "5.2.3",
    ),
    "hours of raw ADPCM": (f"raw = {SOUND.format(media='audio/32KADPCM')} + b'\\x55' * 34_000_000", "5.2.3"),
    "hours of mu-law": (f"raw = {SOUND.format(media='audio/basic')} + b'\\xff' * 34_000_000", "5.2.3"),
    "a WAV file of one sample a second": (
        "import struct\nraw = "
        + SOUND.format(media="audio/wav")
        + " + b'RIFF\\xff\\xff\\xff\\x7fWAVEfmt \\x10\\0\\0\\0' + struct.pack('<HHIIHH', 1, 1, 1, 2, 2, 16)"
        " + b'data\\xff\\xff\\xff\\x7f' + b'\\1\\0' * 17_000_000",
        "5.2.3",
    ),
    "a WAV file of 2,000 channels": (
        "import struct\nraw = "
        + SOUND.format(media="audio/wav")
        + " + b'RIFF\\xff\\xff\\xff\\x7fWAVEfmt \\x10\\0\\0\\0'"
        " + struct.pack('<HHIIHH', 1, 2000, 8000, 32_000_000, 4000, 16)"
        " + b'data\\xff\\xff\\xff\\x7f' + b'\\1\\0' * 1_000_000",
        "5.6.0",
    ),
}


def measured(make: str) -> tuple[str, float, float]:
    """The code (or "read"), the seconds, and the bytes by which the process grew at most."""
    program = [sys.executable, "-c", MEASURE.format(make=make)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    code, seconds, memory = json.loads(done.stdout)
    return code, seconds, memory


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_less_than_2_seconds_and_100_mb(name: str) -> None:
    make, code = BOMBS[name]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(make=make)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    got, seconds, memory = json.loads(done.stdout)
    assert got == code
    assert seconds < 2 and memory < 100 * MB, f"{seconds:.2f} s, {memory / MB:.0f} MB"


def test_the_longest_message_that_is_taken_is_bounded_as_well() -> None:
    head = SOUND.format(media="audio/basic\\r\\nContent-Transfer-Encoding: base64")
    sound = "base64.encodebytes(bytes(range(256)) * (1799 * 8000 // 256))"
    got, _, memory = measured(f"import base64\nraw = {head} + {sound}")
    assert got == "read" and memory < 150 * MB


# ---- many examples

NAMES = st.one_of(st.text(max_size=120), st.sampled_from(PAYLOADS))
LOCALS = st.from_regex(r"\A[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[a-z0-9]{1,5}){0,2}\Z").filter(
    lambda text: "=?" not in text
)
DOMAINS = st.from_regex(r"\A[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,3}\Z")
ADDRESSES = st.builds(lambda local, domain: f"{local}@{domain}", LOCALS, DOMAINS)
PEOPLE = st.builds(Person, ADDRESSES, NAMES)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1980, 1, 1), datetime(2099, 1, 1), timezones=ZONES).map(
    lambda when: when.replace(microsecond=0)
)
SPEECH = st.builds(
    lambda seconds, sender, sent: Speech(wav(seconds), seconds, sender, sent if sender else None),
    st.sampled_from([0.05, 0.1]),
    st.one_of(st.none(), PEOPLE),
    TIMES,
)
MAILS = st.builds(
    VoiceMail,
    message_id=st.sampled_from(["", "m1@vm.example.com"]),
    sent=TIMES,
    sender=PEOPLE,
    to=st.lists(PEOPLE, max_size=4).map(tuple),
    cc=st.lists(PEOPLE, max_size=2).map(tuple),
    speech=st.lists(SPEECH, min_size=1, max_size=4).map(tuple),
    spoken_name=st.sampled_from([None, wav(0.05)]),
    spoken_subject=st.sampled_from([None, wav(0.05)]),
    subject=NAMES,
    urgent=st.booleans(),
    private=st.booleans(),
    receipt_to=st.one_of(st.just(""), ADDRESSES),
    language=st.sampled_from(["", "en", "de-DE", "x\r\ny"]),
    vcard=st.booleans(),
)


def defects(raw: bytes) -> list[object]:
    mail = message_from_bytes(raw, policy=policy.default)
    return [defect for part in mail.walk() for defect in part.defects]


def known(person: Person) -> Person:
    return replace(person, name=clean(person.name))


@settings(max_examples=60, deadline=None)
@given(mail=MAILS, codec=st.sampled_from(list(Codec)), item=st.text(max_size=30))
def test_whatever_is_written_is_by_the_rfc(mail: VoiceMail, codec: Codec, item: str) -> None:
    raw = written(mail, codec, item)
    assert violations(raw) == []
    assert defects(raw) == []
    assert raw == written(mail, codec, item)


@settings(max_examples=60, deadline=None)
@given(mail=MAILS)
def test_whatever_is_written_is_read_again(mail: VoiceMail) -> None:
    got = read(written(mail, Codec.PCMU, "i1"))
    assert isinstance(got, VoiceMail) and got.is_vpim
    assert got.sender.address == mail.sender.address and got.sent == mail.sent
    assert got.sender.name == clean(mail.sender.name) or not clean(mail.sender.name)
    assert got.to == tuple(map(known, mail.to)) and got.cc == (tuple(map(known, mail.cc)) if mail.to else ())
    assert (got.urgent, got.private, got.receipt_to) == (mail.urgent, mail.private, mail.receipt_to)
    assert got.seconds == pytest.approx(mail.seconds) or len(mail.speech) > 1
    assert (got.spoken_name, got.spoken_subject) == (mail.spoken_name, mail.spoken_subject)
    assert got.subject == (clean(mail.subject, 200) or "Voice message")
    named = [each.sender for each in mail.speech if each.sender]
    assert {known(each).address for each in named} <= {
        each.sender.address for each in got.speech if each.sender
    }


STRUCTURE = """
From: a@b.example|Date: x|Content-Type: multipart/mixed; boundary=b|Content-Type: message/rfc822
Content-Type: multipart/voice-message; boundary=b0|Content-Type: audio/basic|Content-Type: audio/wav
Content-Type: multipart/report; boundary=b|Content-Type: message/delivery-status|Content-Type: /;=
Content-Type: message/disposition-notification|Content-Type: text/directory|Final-Recipient: rfc822; a@b
Content-Type: multipart/alternative; boundary*0=b; boundary*1*=%30|Content-Transfer-Encoding: base64
Content-Transfer-Encoding: quoted-printable|Action: failed|Disposition: a/b; displayed|BEGIN:VCARD|N:a;b
Content-Disposition: inline; voice=Originator-Spoken-Name|--b|--b--|--b0|--b0--|AAAA|=41=|=?utf-8?b?QQ?=
"""
PIECES = st.sampled_from(
    [
        *STRUCTURE.strip().replace("|", "\n").split("\n"),
        "",
        "",
        "RIFF\0\0\0\0WAVEfmt ",
        "\xff\0",
        '"',
        "(",
        "<",
    ]
)
ENDS = st.sampled_from(["\r\n", "\r\n", "\n", "", " "])


@settings(max_examples=500, deadline=None)
@given(pieces=st.lists(st.tuples(st.one_of(PIECES, PIECES, st.text(max_size=10)), ENDS), max_size=40))
def test_nothing_that_comes_in_raises_anything_but_unreadable(pieces: list[tuple[str, str]]) -> None:
    raw = "".join(piece + end for piece, end in pieces).encode("latin-1", "replace")
    try:
        assert isinstance(read(raw), VoiceMail | Report)
    except Unreadable as error:
        assert error.code.startswith("5.") and str(error)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10**6), junk=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_a_damaged_mail_raises_nothing_but_unreadable(at: int, junk: bytes, cut: bool) -> None:
    raw = written(plain(speech=(Speech(wav(0.1), 0.1), Speech(wav(0.1), 0.1, BOB, SENT))), Codec.WAV, "i1")
    at %= len(raw)
    try:
        assert isinstance(read(raw[:at] + junk + (b"" if cut else raw[at + len(junk) :])), VoiceMail | Report)
    except Unreadable as error:
        assert error.code.startswith("5.")


@pytest.mark.parametrize("name", FIELDS)
def test_no_payload_becomes_a_recipient_for_pythons_strictest_reader(name: str) -> None:
    for payload in PAYLOADS:
        try:
            raw = written(FIELDS[name](payload), Codec.PCMU, "i1")
        except NoAddress:
            continue
        mail = message_from_bytes(raw, policy=policy.default)
        headers = [mail[key] for key in ("From", "To", "Cc", "Bcc") if mail[key]]
        specs = {each.addr_spec for header in headers for each in header.addresses}
        assert specs == {ANN.address, "2001@other.example.org", "2002+11@other.example.org", BOB.address} or (
            name in ("recipient name", "recipient address")
        )
        assert not any("eve" in spec for spec in specs), payload
        assert str(mail["Disposition-Notification-To"]) == f"<{ANN.address}>" or name == "receipt"


def test_times_without_a_zone_are_utc() -> None:
    got = read(written(plain(sent=datetime(2026, 1, 2, 3, 4, 5)), Codec.G726, "i1"))
    assert isinstance(got, VoiceMail) and got.sent == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
