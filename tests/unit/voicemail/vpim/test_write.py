"""Voice messages as they leave: by RFC 3801's table, always the same bytes, no header of others' choice."""

import email
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email import policy
from email.utils import getaddresses

import pytest

from sip.errors import BadSound
from sip.wav import file_pcm16, parse, samples_pcm16
from tests.fakes.vpim_mails import ANN, BOB, SENT, full, plain, wav
from tests.fakes.vpim_payloads import FIELDS, PAYLOADS, slim
from tests.fakes.vpim_recordings import snr, speech
from tests.fakes.vpim_validator import violations
from voicemail.vpim.headers import NoAddress
from voicemail.vpim.model import Codec, Person, Speech, VoiceMail
from voicemail.vpim.read import read
from voicemail.vpim.write import written

ITEM = "0193-11aa"


def independently(raw: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(raw, policy=policy.default)  # type: ignore[return-value]


def defects(raw: bytes) -> list[object]:
    mail = email.message_from_bytes(raw, policy=policy.default)
    found = [defect for part in mail.walk() for defect in part.defects]
    headers = [value for part in mail.walk() for value in part.values()]
    return found + [defect for value in headers for defect in getattr(value, "defects", ())]


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("mail", [plain(), full()], ids=["plain", "full"])
def test_the_strict_system_and_pythons_email_find_nothing_wrong(mail: VoiceMail, codec: Codec) -> None:
    raw = written(mail, codec, ITEM)
    assert violations(raw) == []
    assert defects(raw) == []


def test_the_header_is_the_tables() -> None:
    head = written(full(), Codec.G726, ITEM).partition(b"\r\n\r\n")[0].decode()
    assert head.split("\r\n") == [
        "Date: Fri, 02 Jan 2026 03:04:05 +0000",
        'From: "Ann Example" <1001@vm.example.com>',
        'To: "Carl" <2001@other.example.org>, <2002+11@other.example.org>',
        "Cc: =?utf-8?B?Qm9iIMOWdGhlcg==?= <+49305551@other.example.org>",
        "Message-ID: <m1@vm.example.com>",
        "Subject: =?utf-8?B?VGhlIOKAnHBsYW7igJ0gb2YgdGhlIGRheQ==?=",
        "Sensitivity: Private",
        "Importance: high",
        "Disposition-Notification-To: <1001@vm.example.com>",
        "Message-Context: voice-message",
        "Content-Language: en-US",
        "MIME-Version: 1.0 (Voice 2.0)",
        "Content-Type: Multipart/Voice-Message; Version=2.0;",
        ' boundary="=_0_0193-11aa"',
        "Content-Transfer-Encoding: 7bit",
    ]


def test_a_plain_message_says_nothing_it_need_not() -> None:
    head = written(plain(), Codec.G726, ITEM).partition(b"\r\n\r\n")[0].decode()
    names = [line.partition(":")[0] for line in head.split("\r\n") if line[0] != " "]
    assert names == [
        "Date", "From", "Message-ID", "Subject", "Message-Context", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding",
    ]  # fmt: skip
    assert "Subject: Voice message" in head


def test_parts_are_in_playing_order() -> None:
    mail = independently(written(full(), Codec.G726, ITEM))
    kinds = [
        (part.get_content_type(), str(part["Content-Disposition"] or "").replace('"', "").split("; ")[1])
        for part in mail.walk()
        if not part.is_multipart()
    ]
    assert kinds == [
        ("audio/32kadpcm", "voice=Originator-Spoken-Name"),
        ("audio/32kadpcm", "voice=Spoken-Subject"),
        ("audio/32kadpcm", "voice=Voice-Message"),
        ("audio/32kadpcm", "voice=Voice-Message"),
        ("audio/32kadpcm", "voice=Voice-Message"),
        ("text/directory", "filename=sender.vcf"),
    ]


@pytest.mark.parametrize("codec", list(Codec))
def test_the_same_message_gives_the_same_bytes(codec: Codec) -> None:
    assert written(full(), codec, ITEM) == written(full(), codec, ITEM)
    assert written(full(), codec, ITEM) != written(full(), codec, "0193-22bb")


@pytest.mark.parametrize("mail", [plain(), full()], ids=["plain", "full"])
def test_what_is_written_is_read_again(mail: VoiceMail) -> None:
    got = read(written(mail, Codec.PCMU, ITEM))
    assert isinstance(got, VoiceMail)
    speech = tuple(replace(each, sound=b"") for each in got.speech)
    assert [each.sound for each in got.speech] == [each.sound for each in mail.speech]
    assert got.spoken_name == mail.spoken_name and got.spoken_subject == mail.spoken_subject
    assert replace(got, speech=speech, spoken_name=None, spoken_subject=None, card=None) == replace(
        mail,
        speech=tuple(replace(each, sound=b"") for each in mail.speech),
        spoken_name=None,
        spoken_subject=None,
        subject=mail.subject or "Voice message",
    )
    assert (got.card is None) is not mail.vcard


def test_speech_keeps_20_db_on_its_way() -> None:
    mail = plain(speech=(Speech(file_pcm16(speech(10)), 10.0),))
    got = read(written(mail, Codec.G726, ITEM))
    assert isinstance(got, VoiceMail)
    assert snr(speech(10), samples_pcm16(parse(got.speech[0].sound))) >= 20


def test_copies_are_named_only_where_all_recipients_are() -> None:
    raw = written(plain(cc=(BOB,)), Codec.G726, ITEM)
    assert b"\r\nCc:" not in raw and b"\r\nTo:" not in raw


def test_a_sender_without_a_name_is_named_by_the_mailbox() -> None:
    raw = written(plain(sender=Person("1001@vm.example.com")), Codec.G726, ITEM)
    assert b'From: "1001" <1001@vm.example.com>\r\n' in raw


def test_without_a_message_id_the_items_makes_one() -> None:
    assert b"Message-ID: <0193-11aa@vm.example.com>\r\n" in written(plain(message_id=""), Codec.G726, ITEM)


def test_adjoining_stretches_of_ones_own_become_one_part() -> None:
    raw = written(plain(speech=(Speech(wav(), 1.0), Speech(wav(0.5), 0.5))), Codec.PCMU, ITEM)
    assert violations(raw) == []
    got = read(raw)
    assert isinstance(got, VoiceMail)
    assert [parse(each.sound).data for each in got.speech] == [parse(wav()).data + parse(wav(0.5)).data]


def test_ones_own_words_after_something_forwarded_keep_their_place() -> None:
    speech = (Speech(wav(1), 1), Speech(wav(0.5), 0.5, BOB, SENT), Speech(wav(0.2), 0.2))
    raw = written(plain(speech=speech), Codec.PCMU, ITEM)
    assert violations(raw) == []
    got = read(raw)
    assert isinstance(got, VoiceMail)
    assert [each.sound for each in got.speech] == [each.sound for each in speech]
    assert [each.sender for each in got.speech] == [None, BOB, ANN]


def test_something_forwarded_without_an_introduction() -> None:
    raw = written(plain(speech=(Speech(wav(), 1, BOB, SENT),)), Codec.PCMU, ITEM)
    assert violations(raw) == []
    got = read(raw)
    assert isinstance(got, VoiceMail) and got.speech[0].sender == BOB and got.sender == ANN


@pytest.mark.parametrize("minutes", [0, 60, -210, 345])
def test_the_date_has_a_numeric_zone(minutes: int) -> None:
    sent = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(minutes=minutes)))
    raw = written(plain(sent=sent), Codec.G726, ITEM)
    assert violations(raw) == []
    got = read(raw)
    assert isinstance(got, VoiceMail) and got.sent == sent


def test_a_long_list_of_recipients_is_folded() -> None:
    many = tuple(Person(f"{n}@other.example.org", f"Number {n}") for n in range(500))
    raw = written(plain(to=many), Codec.G726, ITEM)
    assert violations(raw) == [] and max(map(len, raw.split(b"\r\n"))) <= 78
    got = read(raw)
    assert isinstance(got, VoiceMail) and got.to == many


def test_a_message_without_sound_cannot_be_written() -> None:
    with pytest.raises(BadSound):
        written(plain(speech=()), Codec.G726, ITEM)
    with pytest.raises(BadSound):
        written(plain(speech=(Speech(b"RIFFjunk", 1),)), Codec.G726, ITEM)


# ---- injection


def shape(raw: bytes) -> list[list[str]]:
    """Names of the fields of each part, as Python's email reads them."""
    return [
        [name for name in part if name != "Content-Language"] for part in email.message_from_bytes(raw).walk()
    ]


def recipients(raw: bytes) -> list[str]:
    """All addresses that any header names, as Python's email reads them."""
    names = ("From", "To", "Cc", "Bcc", "Disposition-Notification-To", "Reply-To")
    parts = list(email.message_from_bytes(raw).walk())
    return [spec for _, spec in getaddresses([part[name] for part in parts for name in names if part[name]])]


def test_there_are_64_payloads() -> None:
    assert len(set(PAYLOADS)) == 64


@pytest.mark.parametrize("name", FIELDS)
def test_no_payload_makes_a_header_a_part_or_a_recipient(name: str) -> None:
    usual = shape(written(slim(), Codec.PCMU, ITEM))
    for payload in PAYLOADS:
        try:
            raw = written(FIELDS[name](payload), Codec.PCMU, ITEM)
        except NoAddress:
            assert "address" in name or name == "receipt"
            continue
        assert shape(raw) == usual, payload
        assert violations(raw) == [], payload
        assert not any("eve@" in address for address in recipients(raw)), payload


def test_addresses_that_cannot_be_written_to_are_refused() -> None:
    for address in (
        "",
        "1001",
        "@x",
        "a@",
        "a b@c.example",
        "a@b c",
        "ä@b.example",
        "a@b..c",
        "a" * 65 + "@b",
    ):
        with pytest.raises(NoAddress):
            written(plain(sender=Person(address, "Ann")), Codec.G726, ITEM)


def test_addresses_of_the_profile_are_written_as_they_are() -> None:
    for address in (
        "2722@d.example", "2722+111@d.example", "+16135551234@d.example", "+17035551234+230@d.example",
        "/VPIM=+12145551212/EXT=4/DL=2/@d.example", '"Ann Example"@d.example', "a@[192.0.2.1]",
    ):  # fmt: skip
        raw = written(plain(to=(Person(address),)), Codec.G726, ITEM)
        assert violations(raw) == []
        got = read(raw)
        assert isinstance(got, VoiceMail) and got.to == (Person(address),)


def test_a_strange_item_id_makes_a_plain_boundary() -> None:
    raw = written(full(), Codec.G726, 'x"\r\nBcc: eve@evil.example')
    assert violations(raw) == [] and b"eve" not in raw
