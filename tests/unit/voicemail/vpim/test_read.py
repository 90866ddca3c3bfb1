"""Mails that come in: every shape that RFC 3801 and mail programs know, and what is refused."""

import base64
import quopri
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from sip.wav import file_pcm16, parse
from tests.fakes.vpim_mails import ANN, BOB, SENT, full, plain, wav
from tests.fakes.vpim_recordings import RECORDINGS, recording
from voicemail.vpim.mime import Limits, parameters
from voicemail.vpim.model import UNDATED, Card, Codec, Person, Speech, Unreadable, VoiceMail
from voicemail.vpim.read import read
from voicemail.vpim.write import written

ULAW = parse(wav(0.5)).data
HEAD = (
    "From: Ann Example <1001@vm.example.com>\r\nDate: Fri, 2 Jan 2026 03:04:05 +0000\r\nMIME-Version: 1.0\r\n"
)


def sound(voice: str = "", data: bytes = ULAW, media: str = "audio/basic", more: str = "") -> str:
    """A part with sound, in base64."""
    disposition = f"Content-Disposition: inline; voice={voice}\r\n" if voice else ""
    coded = base64.encodebytes(data).decode().replace("\n", "\r\n")
    return f"Content-Type: {media}\r\nContent-Transfer-Encoding: base64\r\n{disposition}{more}\r\n{coded}"


def multipart(kind: str, *parts: str, boundary: str = "b0") -> str:
    """Content-Type and body."""
    body = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n{body}--{boundary}--\r\n'


def got(text: str | bytes, limits: Limits = Limits()) -> VoiceMail:  # noqa: B008
    mail = read(text if isinstance(text, bytes) else text.encode(), limits)
    assert isinstance(mail, VoiceMail)
    return mail


def refused(text: str | bytes, limits: Limits = Limits()) -> Unreadable:  # noqa: B008
    with pytest.raises(Unreadable) as error:
        read(text if isinstance(text, bytes) else text.encode(), limits)
    return error.value


VPIM = multipart("voice-message", sound("Voice-Message"), boundary="b1")


@pytest.mark.parametrize(
    ("text", "forwarded"),
    [
        (HEAD + VPIM, False),
        (HEAD + multipart("mixed", VPIM), False),
        (HEAD + multipart("mixed", "Content-Type: text/plain\r\n\r\nHi", VPIM), False),
        (HEAD + multipart("mixed", VPIM, "Content-Type: text/plain\r\n\r\n-- \r\nA list's footer"), False),
        (HEAD + "Content-Type: message/rfc822\r\n\r\n" + HEAD + VPIM, True),
        (HEAD + multipart("mixed", "Content-Type: message/rfc822\r\n\r\n" + HEAD + VPIM), True),
        (HEAD + multipart("digest", "\r\n" + HEAD + VPIM), True),
        ((HEAD + VPIM).replace("\r\n", "\n"), False),
        ((HEAD + VPIM).replace("--b1--\r\n", ""), False),
        ("Broken line\r\n" + HEAD + VPIM, False),
        ("From someone Fri Jan  2 2026\r\n" + HEAD + VPIM, False),
        (HEAD.replace("MIME-Version: 1.0\r\n", "") + VPIM, False),
    ],
)
def test_a_voice_message_is_found_wherever_it_is(text: str, forwarded: bool) -> None:
    mail = got(text)
    assert mail.is_vpim and mail.sender == ANN and mail.sent == SENT
    assert [parse(each.sound).data for each in mail.speech] == [ULAW]
    assert mail.speech[0].sender == (ANN if forwarded else None)
    assert mail.speech[0].sent == (SENT if forwarded else None)


@pytest.mark.parametrize(
    ("media", "name", "data"),
    [
        ("audio/x-wav", "a.wav", wav(0.5)),
        ("audio/wav", "a.wav", wav(0.5)),
        ("audio/vnd.wave", "a.wav", file_pcm16(b"\1\0" * 4000)),
        ("application/octet-stream", "Recording.WAV", wav(0.5)),
        ("application/octet-stream", "msg1.726", b"\x55" * 2000),
        ("audio/basic", "", ULAW),
        ("audio/32KADPCM", "", b"\x55" * 2000),
        ("AUDIO/PCMA", "", b"\xd5" * 4000),
    ],
)
def test_a_mail_with_a_recording_attached_is_a_voice_message(media: str, name: str, data: bytes) -> None:
    disposition = f'Content-Disposition: attachment; filename="{name}"\r\n' if name else ""
    part = sound(data=data, media=media, more=disposition)
    mail = got(HEAD + "Subject: Hello\r\n" + multipart("mixed", "\r\nText, and 1 < 2", part))
    assert not mail.is_vpim and mail.subject == "Hello"
    assert [each.seconds for each in mail.speech] == [pytest.approx(0.5)]
    assert got(HEAD + part).seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("kind", "subtype"), [("mp3", "mpeg"), ("opus", "ogg"), ("amr", "amr"), ("m4a", "mp4"), ("m4a", "x-m4a")]
)
def test_what_mail_programs_send_is_read(kind: str, subtype: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ann <ann@example.com>", "1001@vm.example.com", "Grüße"
    mail.set_content("See the attachment.")
    mail.add_alternative("<b>See the attachment.</b>", subtype="html")
    mail.add_attachment(recording(*RECORDINGS[kind]), "audio", subtype, filename=f"Aufnahme für dich.{kind}")
    read_mail = got(mail.as_bytes())
    assert read_mail.seconds == pytest.approx(2.0, abs=0.2) and not read_mail.is_vpim
    assert (read_mail.subject, read_mail.sender.address) == ("Grüße", "ann@example.com")


def test_of_several_forms_the_best_counts_and_of_several_recordings_all() -> None:
    both = multipart("alternative", sound(data=ULAW[:800]), sound(data=ULAW), boundary="b2")
    assert [each.seconds for each in got(HEAD + both).speech] == [0.5]
    two = multipart("mixed", sound(data=ULAW[:800]), sound(data=ULAW))
    assert [each.seconds for each in got(HEAD + two).speech] == [0.1, 0.5]


@pytest.mark.parametrize(
    ("coding", "code"),
    [
        ("Base64", base64.encodebytes),
        ("BASE64", lambda data: base64.encodebytes(data).replace(b"\n", b" \r\n\t")),
        ("base64", lambda data: base64.b64encode(data).rstrip(b"=") + b"\r\n"),
        ("quoted-printable", lambda data: quopri.encodestring(data.replace(b"\n", b"\x8a"))),
        ("8bit", lambda data: data),
        ("binary", lambda data: data),
        ("7bit", lambda data: data),
    ],
)
def test_every_transfer_encoding_is_decoded(coding: str, code: object) -> None:
    data = bytes(octet if octet not in (10, 13) else 11 for octet in ULAW)
    head = HEAD + 'Content-Type: multipart/voice-message; boundary="b0"\r\n\r\n--b0\r\n'
    head += f"Content-Type: audio/basic\r\nContent-Transfer-Encoding: {coding}\r\n\r\n"
    mail = got(head.encode() + code(data) + b"\r\n--b0--\r\n")  # type: ignore[operator]
    sounds = parse(mail.speech[0].sound).data
    assert sounds.rstrip(b"\r\n") == data


def test_names_are_told_apart_from_the_message() -> None:
    mail = got(
        HEAD
        + multipart(
            "voice-message",
            sound("Originator-Spoken-Name", ULAW[:800]),
            sound("recipient-spoken-name", ULAW[:160]),
            sound("SPOKEN-SUBJECT", ULAW[:1600]),
            sound("Voice-Message", more="Content-Language: de\r\nContent-Duration: 99\r\n"),
        )
    )
    assert mail.spoken_name is not None and parse(mail.spoken_name).seconds == 0.1
    assert mail.spoken_subject is not None and parse(mail.spoken_subject).seconds == 0.2
    assert [each.seconds for each in mail.speech] == [0.5] and mail.language == "de"


def test_all_that_a_header_says() -> None:
    head = (
        "Received: from a by b; Fri, 2 Jan 2026 03:04:06 +0000\r\nreceived: from c by a\r\n"
        'FROM: "Ann \\"X\\" Example" (Ms) <1001@vm.example.com>\r\n'
        "To: =?utf-8?Q?J=C3=B6rg?= =?utf-8?Q?_Y?= <2001@vm.example.com>, team: 2002@vm.example.com,\r\n"
        "\t<@relay.example:2003@vm.example.com>;\r\nCc: nobody\r\n"
        "Date: Fri, 2 Jan 2026 04:04:05 +0100 (CET)\r\nMessage-ID: <x.1@vm.example.com>\r\n"
        "Subject: =?iso-8859-1?b?R3L832U=?=\r\nIMPORTANCE: High\r\nSensitivity: personal\r\n"
        "Disposition-Notification-To: Ann <1001@vm.example.com>\r\nReply-To: <ann@example.com>\r\n"
        "Content-Language: en-GB, de\r\n"
    )
    mail = got(head + VPIM)
    assert mail.sender == Person("1001@vm.example.com", 'Ann "X" Example')
    assert mail.to == (
        Person("2001@vm.example.com", "Jörg Y"),
        Person("2002@vm.example.com"),
        Person("2003@vm.example.com"),
    )
    assert mail.cc == () and mail.sent == SENT and mail.hops == 2
    assert mail.message_id == "x.1@vm.example.com" and mail.subject == "Grüße"
    assert mail.urgent and mail.private and not mail.automatic
    assert (mail.receipt_to, mail.reply_to, mail.language) == (
        "1001@vm.example.com",
        "ann@example.com",
        "en-GB",
    )


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("", UNDATED),
        ("Date: yesterday\r\n", UNDATED),
        ("Date: Mon, 99 Foo 20266 99:99:99 +9999\r\n", UNDATED),
        ("Date: Fri, 2 Jan 2026 03:04:05 -0000\r\n", SENT),
        ("Date: 2 Jan 26 03:04:05 GMT\r\n", SENT),
        ("Received: from a by b; Fri, 2 Jan 2026 03:04:05 +0000\r\n", SENT),
    ],
)
def test_a_date_is_believed_if_it_is_one(line: str, sent: datetime) -> None:
    assert got(line + "From: a@b.example\r\n" + VPIM).sent == sent


@pytest.mark.parametrize("line", ["", "From: \r\n", "From: =?\r\n", "From: nobody\r\n", "From: <>\r\n"])
def test_a_mail_from_nobody_cannot_be_answered(line: str) -> None:
    assert got(line + VPIM).unanswerable
    assert got("From: non-mail-user@vm.example.com\r\n" + VPIM).unanswerable
    assert not got(HEAD + VPIM).unanswerable


def test_an_automatic_mail_gets_no_receipt() -> None:
    mail = got(
        "Auto-Submitted: auto-generated\r\nDisposition-Notification-To: <a@b.example>\r\n" + HEAD + VPIM
    )
    assert mail.automatic and mail.receipt_to == ""
    assert not got("Auto-Submitted: no\r\n" + HEAD + VPIM).automatic


def test_forwarded_messages_keep_their_senders_and_their_order() -> None:
    inner = "From: Eve <3@c.example>\r\n" + multipart("voice-message", sound(data=ULAW[:800]), boundary="b3")
    inner = "Content-Type: message/rfc822\r\n\r\n" + inner
    middle = multipart("voice-message", sound(data=ULAW[:1600]), inner, boundary="b2")
    middle = "From: Bob <2@b.example>\r\nDate: 1 Dec 2025 00:00:00 +0000\r\n" + middle
    mail = got(HEAD + multipart("voice-message", sound(), "Content-Type: message/rfc822\r\n\r\n" + middle))
    assert [(each.seconds, each.sender) for each in mail.speech] == [
        (0.5, None),
        (0.2, Person("2@b.example", "Bob")),
        (0.1, Person("3@c.example", "Eve")),
    ]
    assert [each.sent for each in mail.speech] == [None, datetime(2025, 12, 1, tzinfo=UTC), None]


def test_a_private_message_must_not_be_forwarded() -> None:
    private = "Content-Type: message/rfc822\r\n\r\nSensitivity: Private\r\nFrom: b@c.example\r\n" + VPIM
    assert refused(HEAD + multipart("mixed", private)).code == "5.6.0"
    own = private.replace("b@c.example", "1001@VM.example.com")
    assert got(HEAD + multipart("mixed", own)).private


def test_a_vcard_is_read() -> None:
    card = (
        "Content-Type: text/directory; profile=vCard\r\n\r\nBEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann Card\r\n"
        "TEL;TYPE=work:+1 (555) 123\r\nEND:VCARD\r\n"
    )
    mail = got(HEAD + multipart("voice-message", sound(), card))
    assert mail.vcard and mail.card == Card("Ann Card", ("+1555123",))
    assert got(HEAD + VPIM).card is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "5.6.0"),
        ("\r\n\r\n", "5.6.0"),
        (HEAD + "\r\nHello", "5.6.0"),
        (HEAD + "Content-Type: text/html\r\n\r\n<audio src=x>", "5.6.0"),
        (HEAD + "Content-Type: multipart/voice-message\r\n\r\n--b\r\n", "5.6.0"),
        (HEAD + multipart("voice-message", sound(data=b"")), "5.6.0"),
        (HEAD + multipart("voice-message", sound(), sound(data=b"RIFFxxxxWAVE", media="audio/wav")), "5.6.0"),
        (HEAD + multipart("voice-message", sound(), "Content-Type: image/tiff\r\n\r\nII*"), "5.6.1"),
        (HEAD + multipart("voice-message", sound(data=b"junk junk", media="audio/x-secret")), "5.6.1"),
        (HEAD + multipart("mixed", sound().replace("base64", "x-uuencode")), "5.6.1"),
    ],
)
def test_what_is_no_voice_message_is_refused_with_its_code(text: str, code: str) -> None:
    assert refused(text).code == code


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(size=1000), "5.3.4"),
        (Limits(seconds=0.9), "5.2.3"),
        (Limits(parts=2), "5.6.0"),
        (Limits(depth=0), "5.6.0"),
        (Limits(headers=5), "5.6.0"),
        (Limits(header_bytes=100), "5.6.0"),
    ],
)
def test_limits(limits: Limits, code: str) -> None:
    two = HEAD + multipart("mixed", sound(), sound())
    assert refused(two, limits).code == code
    assert got(two).seconds == 1.0


def test_a_part_that_looks_like_a_boundary_is_no_boundary() -> None:
    text = HEAD + multipart("mixed", "\r\n--b0x\r\n--b0 y\r\n x--b0\r\n --b0--", sound())
    assert len(got(text).speech) == 1


def test_parameters_in_all_their_forms() -> None:
    assert parameters('a/b; Name="x\\"y;z"; c=d ;e = f') == {"name": 'x"y;z', "c": "d", "e": "f"}
    assert parameters("a; filename*=utf-8''%C3%A4.wav") == {"filename": "ä.wav"}
    assert parameters("a; filename*1=b.wav; filename*0*=iso-8859-1''%E4") == {"filename": "äb.wav"}
    assert parameters("a; filename*=no-such''x%FF") == {"filename": "x\ufffd"}
    assert parameters("a; x=1; x=2; ;=; y; z=") == {"x": "1", "z": ""}


def test_every_cut_of_a_mail_is_read_or_refused() -> None:
    raw = written(full(), Codec.PCMU, "i1")
    for end in range(0, len(raw), 401):
        try:
            assert read(raw[:end])
        except Unreadable as error:
            assert error.code


def test_a_flipped_byte_in_the_structure_is_read_or_refused() -> None:
    raw = written(plain(speech=full().speech[:2]), Codec.PCMU, "i1")
    lines = [at for at in range(len(raw) - 1) if raw[at : at + 1] in b':;=\r\n-/"']
    for at in lines[:: max(1, len(lines) // 60)]:
        for octet in (0, 0xFF, ord("\n")):
            try:
                assert read(raw[:at] + bytes([octet]) + raw[at + 1 :])
            except Unreadable as error:
                assert error.code


def test_bob_is_bob() -> None:
    mail = got(written(full(), Codec.G726, "i1"))
    assert mail.speech[1].sender == BOB


def test_a_prompt_comes_back_whole() -> None:
    prompt = Path("voicemail/prompts/en/address_name.wav").read_bytes()
    mail = got(written(plain(speech=(Speech(prompt, 1.0),)), Codec.PCMU, "i1"))
    assert parse(mail.speech[0].sound).data == parse(prompt).data
