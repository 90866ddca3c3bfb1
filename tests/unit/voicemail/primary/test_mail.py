"""What a caller may put into a name, and what the mail looks like then and otherwise."""

import email
import io
import wave
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from email.policy import SMTP
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.wav import file_ulaw
from store.model import Folder, Message, OutboxItem, User, Work
from voicemail.config import Mail
from voicemail.primary.mail import NoAddress, caller_of, clean, notification

ZONE = timezone(timedelta(hours=1), "CET")
SETTINGS = Mail(host="mail", sender="Voice Mail <voicemail@example.com>", message_id_domain="vm.example.com")
ANNA = User(UUID(int=1), "1001", name="Anna Ångström", mail="anna@example.com")
ITEM = OutboxItem(
    UUID("01234567-89ab-7def-8123-456789abcdef"),
    Work.MAIL,
    ANNA.id,
    UUID(int=9),
    datetime(2026, 3, 4, tzinfo=UTC),
)
MESSAGE = Message(
    UUID(int=9),
    ANNA.id,
    "+4930555",
    "Ben Beispiel",
    datetime(2026, 3, 4, 13, 5, tzinfo=UTC),
    23.4,
    urgent=False,
    cut_off=False,
    folder=Folder.NEW,
    node=1,
)
SPEECH = file_ulaw(bytes(range(256)) * 100)
SYLLABLE = file_ulaw(bytes(range(256)))


def mailed(message: Message = MESSAGE, audio: bytes | None = SPEECH, user: User = ANNA) -> EmailMessage:
    """The notification after a journey: serialised, and read by Python's parser."""
    sent = notification(user, message, audio, SETTINGS, ITEM, ZONE).as_bytes()
    read = email.message_from_bytes(sent, policy=SMTP)
    assert isinstance(read, EmailMessage)
    assert not read.defects
    return read


def text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_the_headers_say_what_it_is() -> None:
    mail = mailed()
    assert mail["From"] == "Voice Mail <voicemail@example.com>"
    assert mail["To"].addresses[0].addr_spec == "anna@example.com"
    assert mail["To"].addresses[0].display_name == "Anna Ångström"
    assert mail["Subject"] == "New voice message from Ben Beispiel (+4930555) (0:23)"
    assert mail["Message-ID"] == "<01234567-89ab-7def-8123-456789abcdef@vm.example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-Context"] == "voice-message"
    assert mail["Date"].datetime == ITEM.created
    assert "Importance" not in mail


def test_the_recording_is_attached_as_pcm_of_8_khz() -> None:
    (part,) = mailed().iter_attachments()
    assert part.get_content_type() == "audio/x-wav"
    assert part.get_filename() == "voice-message-2026-03-04-140500.wav"
    assert part["Content-Duration"] == "23"
    with wave.open(io.BytesIO(part.get_content())) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 8000)
        assert sound.getnframes() == 25600


def test_the_text_tells_caller_time_length_and_mailbox() -> None:
    told = text(mailed())
    assert "Ben Beispiel (+4930555)" in told
    assert "Wednesday, 04 March 2026, 14:05 (CET)" in told
    assert "0:23" in told and "1001" in told and "attached" in told


def test_an_urgent_message_is_marked_so() -> None:
    mail = mailed(replace(MESSAGE, urgent=True))
    assert mail["Importance"] == "high" and mail["X-Priority"].startswith("1")
    assert mail["Subject"].startswith("New urgent voice message")


def test_the_same_item_gives_the_same_mail_to_the_byte() -> None:
    made = [notification(ANNA, MESSAGE, SPEECH, SETTINGS, ITEM, ZONE).as_bytes() for _ in range(2)]
    assert made[0] == made[1]


def test_without_audio_the_mail_is_plain_text() -> None:
    mail = mailed(audio=None)
    assert mail.get_content_type() == "text/plain"
    assert "attached" not in text(mail)


@pytest.mark.parametrize("audio", [b"", b"RIFF", b"not a sound at all", SPEECH[:44]])
def test_damaged_audio_is_left_out_and_the_text_says_so(audio: bytes) -> None:
    mail = mailed(audio=audio)
    assert mail.get_content_type() == "text/plain"
    assert "damaged" in text(mail)


def test_a_recording_that_was_cut_off_says_so() -> None:
    assert "cut off" in text(mailed(replace(MESSAGE, cut_off=True)))


@pytest.mark.parametrize(
    ("name", "number", "shown"),
    [
        ("", "", "an unknown caller"),
        ("Ben", "", "Ben"),
        ("", "1002", "1002"),
        ("1002", "1002", "1002"),
        ("Ben", "1002", "Ben (1002)"),
        ("  \t ", "\r\n", "an unknown caller"),
    ],
)
def test_a_caller_is_named_by_what_is_known(name: str, number: str, shown: str) -> None:
    assert caller_of(replace(MESSAGE, caller_name=name, caller=number)) == shown


# ---- header injection

ENDS = [
    "\r\n",
    "\n",
    "\r",
    "\n\r",
    "\v",
    "\f",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\0\r\n",
    "\r\n ",
]
ENDS += ["\r\n\t", "=?utf-8?q?=0D=0A?="]
PAYLOADS = [
    f"{front}{end}{back}"
    for end in ENDS
    for front, back in [
        ("Eve", "Bcc: eve@evil.example"),
        ("", "To: eve@evil.example\r\n\r\nHello"),
        ("=?utf-8?q?x", "?= Bcc: eve@evil.example"),
        ('"Eve" <eve@evil.example>,', "Content-Type: text/html"),
    ]
]
PAYLOADS += [
    f"{front}{word}"
    for front in ("", "Eve ")
    for word in (
        "=?utf-8?q?x=0D=0ABcc:_eve=40evil?=",
        "=?utf-8?b?eA0KQmNjOiBldmVAZXZpbA==?=",
        "==??utf-8?q?=0A?=",
    )
]
EXPECTED = set(mailed().keys())


def test_there_are_64_payloads_and_some_encoded_words() -> None:
    assert len(set(PAYLOADS)) == 70


@pytest.mark.parametrize("payload", PAYLOADS, ids=repr)
@pytest.mark.parametrize("field", ["caller", "caller_name", "name", "extension"])
def test_nothing_a_caller_or_user_chose_makes_a_header_or_a_recipient(payload: str, field: str) -> None:
    if field in ("caller", "caller_name"):
        mail = mailed(replace(MESSAGE, **{field: payload}), SYLLABLE)
    else:
        mail = mailed(MESSAGE, SYLLABLE, replace(ANNA, **{field: payload}))
    assert set(mail.keys()) == EXPECTED
    assert [a.addr_spec for a in mail["To"].addresses] == ["anna@example.com"]
    assert [p.get_content_type() for p in mail.walk()] == ["multipart/mixed", "text/plain", "audio/x-wav"]


@pytest.mark.parametrize("payload", PAYLOADS, ids=repr)
@pytest.mark.parametrize("shape", ["{}", "a{}@example.com", "a@example.com{}"])
def test_an_address_with_a_payload_is_refused(payload: str, shape: str) -> None:
    user = replace(ANNA, mail=shape.format(payload))
    try:
        mail = mailed(user=user)
    except NoAddress:
        return
    assert set(mail.keys()) == EXPECTED and len(mail["To"].addresses) == 1
    assert mail["To"].addresses[0].addr_spec == user.mail, "only what is one address as it stands"


@pytest.mark.parametrize(
    "address", ["", "anna", "a@x, b@y", "a@x;b@y", "<a@x>", "a b@x", "a@x\r\nBcc: b@y", "@x"]
)
def test_what_is_not_one_address_is_refused(address: str) -> None:
    with pytest.raises(NoAddress):
        notification(replace(ANNA, mail=address), MESSAGE, None, SETTINGS, ITEM, ZONE)


@given(st.text(), st.text(), st.booleans())
def test_no_name_and_number_break_the_mail(name: str, number: str, urgent: bool) -> None:
    mail = mailed(replace(MESSAGE, caller_name=name, caller=number, urgent=urgent), audio=None)
    assert set(mail.keys()) - {"Importance", "X-Priority", "Content-Transfer-Encoding"} == EXPECTED
    assert clean(name) == clean(clean(name)) and "\n" not in clean(name)
