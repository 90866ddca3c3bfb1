"""What mails say: by language, as HTML, by templates of one's own; and hostile words in all of it."""

import email
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID

import av
import numpy as np
import pytest

from sip import wav
from store.model import Envelope, MessageKind, OutboxItem, User
from tests.unit.voicemail.primary.test_mail import (
    ANNA,
    EXPECTED,
    ITEM,
    MESSAGE,
    PAYLOADS,
    SETTINGS,
    SPEECH,
    SYLLABLE,
    ZONE,
)
from voicemail.policy.devices import Attachment
from voicemail.primary.mail import Look, forewarning, missed_call, notification, summary, trial
from voicemail.primary.sound import carried
from voicemail.primary.templates import SHIPPED, Templates

HTML = Look(html=True, link="https://vm.example.com/message/{id}")
FACTS = {"caller": "+4930555", "caller_name": "Eve", "at": "2026-03-04T13:05:00+00:00"}
LINE = {
    "caller": "+4930555", "caller_name": "Eve", "recorded": "2026-03-04T13:05:00+00:00", "seconds": 7.2,
    "urgent": True, "id": str(UUID(int=9)),
}  # fmt: skip
DAY = {"day": "2026-03-04", "new": 3, "old": 1, "messages": [LINE, LINE]}
OLD = {
    "day": "2026-03-04", "deleted": 3, "deleted_from": "2026-03-06T13:05:00+00:00", "gone": 1,
    "gone_from": "2026-03-05T13:05:00+00:00",
}  # fmt: skip
OWN = Templates(Path("/nowhere"))
HANNA = replace(ANNA, language="de")


def read(mail: EmailMessage) -> EmailMessage:
    parsed = email.message_from_bytes(mail.as_bytes(), policy=SMTP)
    assert isinstance(parsed, EmailMessage) and not parsed.defects
    return parsed


def mailed(look: Look = HTML, user: User = ANNA, audio: bytes | None = SPEECH, **more: Any) -> EmailMessage:
    return read(notification(user, replace(MESSAGE, **more), audio, SETTINGS, ITEM, ZONE, look))


def part(mail: EmailMessage, kind: str = "html") -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())


class Tags(HTMLParser):
    """Names of the elements, and where links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _ in attrs if name.startswith("on")]


def test_a_mail_as_html_has_text_page_and_recording_and_a_link_to_the_player() -> None:
    mail = mailed()
    kinds = [each.get_content_type() for each in mail.walk()]
    assert kinds == ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "audio/x-wav"]
    assert Tags(part(mail)).links == [f"https://vm.example.com/message/{MESSAGE.id}"]
    assert f"https://vm.example.com/message/{MESSAGE.id}" in part(mail, "plain")
    assert "Ben Beispiel (+4930555)" in part(mail)


def test_without_a_link_there_is_none() -> None:
    assert Tags(part(mailed(Look(html=True)))).links == []


def test_the_same_item_gives_the_same_mail_to_the_byte_in_every_form() -> None:
    for form in Attachment:
        looks = [replace(HTML, form=form) for _ in range(2)]
        one, two = (notification(ANNA, MESSAGE, SPEECH, SETTINGS, ITEM, ZONE, each) for each in looks)
        assert one.as_bytes() == two.as_bytes(), form


def test_each_language_has_every_template_of_the_other_and_says_it_in_its_own_words() -> None:
    names = {folder.name: {file.name for file in folder.iterdir()} for folder in SHIPPED.iterdir()}
    assert names["en"] == names["de"] and len(names["en"]) == 15
    mail = mailed(user=HANNA)
    assert mail["Subject"] == "Neue Sprachnachricht von Ben Beispiel (+4930555) (0:23)"
    assert "Mittwoch, 4. März 2026, 14:05 (CET)" in part(mail, "plain")
    assert "Nachricht anhören" in part(mail)
    unknown = mailed(user=HANNA, caller="", caller_name="")
    assert unknown["Subject"].startswith("Neue Sprachnachricht von unbekannt")


def test_a_language_without_templates_is_told_in_english() -> None:
    assert mailed(user=replace(ANNA, language="xx"))["Subject"].startswith("New voice message")


def test_a_report_and_a_reminder_are_called_so() -> None:
    report = mailed(envelope=Envelope(kind=MessageKind.READ_RECEIPT))
    assert report["Subject"].startswith("New report from") and "report on a message" in part(report)
    assert mailed(replace(HTML, reminder=True))["Subject"].startswith("Reminder: New voice message")


def test_missed_calls_summaries_forewarnings_and_trials_are_mails_of_their_own() -> None:
    for user, words in (
        (ANNA, ("Missed call", "3 new voice", "4 old voice", "trial")),
        (HANNA, ("Verpasster", "3 neue", "4 alte", "Probe")),
    ):
        made = (
            missed_call(user, FACTS, SETTINGS, ITEM, ZONE, HTML),
            summary(user, DAY, SETTINGS, ITEM, ZONE, HTML),
            forewarning(user, OLD, SETTINGS, ITEM, ZONE, HTML),
            trial(user, SETTINGS, ITEM, HTML),
        )
        for mail, word in zip(map(read, made), words, strict=True):
            assert word in mail["Subject"] and "1001" in part(mail, "plain") and "1001" in part(mail)
            assert mail["Auto-Submitted"] == "auto-generated" and "Message-Context" not in mail
    page = part(read(summary(ANNA, DAY, SETTINGS, ITEM, ZONE, HTML)))
    assert len(Tags(page).links) == 2 and "1 more" in page


@pytest.mark.parametrize(
    ("user", "counts", "subject", "lines"),
    [
        (ANNA, (3, 1), "4 old voice messages will soon be deleted", [
            "3 saved messages will be deleted, the first on Friday, 06 March 2026, 14:05 (CET).",
            "1 deleted message will be gone for good on Thursday, 05 March 2026, 14:05 (CET).",
        ]),
        (ANNA, (1, 0), "1 old voice message will soon be deleted", [
            "1 saved message will be deleted on Friday, 06 March 2026, 14:05 (CET).",
        ]),
        (HANNA, (1, 2), "3 alte Sprachnachrichten werden bald gelöscht", [
            "1 gespeicherte Nachricht wird gelöscht, am Freitag, 6. März 2026, 14:05 (CET).",
            "2 gelöschte Nachrichten werden endgültig entfernt, "
            "die erste am Donnerstag, 5. März 2026, 14:05 (CET).",
        ]),
        (HANNA, (0, 1), "1 alte Sprachnachricht wird bald gelöscht", [
            "1 gelöschte Nachricht wird endgültig entfernt, am Donnerstag, 5. März 2026, 14:05 (CET).",
        ]),
    ],
)  # fmt: skip
def test_a_forewarning_says_how_many_and_when_the_first(
    user: User, counts: tuple[int, int], subject: str, lines: list[str]
) -> None:
    facts = OLD | {"deleted": counts[0], "gone": counts[1]}
    facts |= {f"{name}_from": "" for name in ("deleted", "gone") if not facts[name]}
    mail = read(forewarning(user, facts, SETTINGS, ITEM, ZONE, HTML))
    assert mail["Subject"] == subject
    told = part(mail, "plain").splitlines()
    assert told[0].endswith("1001:") and told[1:-2] == ["", *lines] and told[-2] == ""
    assert all(f"<p>{line}</p>" in part(mail) for line in lines)


def test_a_forewarning_has_a_template_of_its_own_and_not_that_of_the_device(tmp_path: Path) -> None:
    (tmp_path / "brand.subject").write_text("{{ caller }} spoke")
    look = replace(HTML, template="brand", templates=Templates(tmp_path))
    assert forewarning(ANNA, OLD, SETTINGS, ITEM, ZONE, look)["Subject"].startswith("4 old")
    (tmp_path / "aging.subject").write_text("{{ name }}: {{ gone }} of {{ gone + deleted }}")
    assert forewarning(ANNA, OLD, SETTINGS, ITEM, ZONE, look)["Subject"].endswith(": 1 of 4")


# ---- templates of one's own


def test_a_template_of_ones_own_replaces_what_it_has_and_leaves_the_rest(tmp_path: Path) -> None:
    (tmp_path / "brand.subject").write_text("{{ caller }} spoke")
    (tmp_path / "de").mkdir()
    (tmp_path / "de" / "brand.subject").write_text("{{ caller }} sprach")
    look = replace(HTML, template="brand", templates=Templates(tmp_path))
    assert mailed(look)["Subject"] == "Ben Beispiel (+4930555) spoke"
    assert mailed(look, HANNA)["Subject"] == "Ben Beispiel (+4930555) sprach"
    assert "You have a new voice message" in part(mailed(look), "plain")
    (tmp_path / "message.txt").write_text("Own words for {{ extension }}")
    assert part(mailed(replace(look, template="")), "plain").split() == ["Own", "words", "for", "1001"]


@pytest.mark.parametrize(
    "text",
    [
        "{{ no_such_thing }}", "{% if", "{{ ''.__class__.__mro__ }}", "{{ caller.__init__.__globals__ }}",
        "{% for a in range(9999999) %}x{% endfor %}", "{{ 'x' * 300000 }}", "{% include '/etc/passwd' %}",
        "{% include '../secret' %}", "{{ messages.append(1) }}", "{{ 1 / 0 }}",
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_as_if_it_were_not_there(tmp_path: Path, text: str) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (tmp_path / "secret").write_text("secret")
    (own / "bad.txt").write_text(text)
    mail = mailed(replace(HTML, template="bad", templates=Templates(own)))
    assert "You have a new voice message" in part(mail, "plain") and "secret" not in part(mail, "plain")


def test_a_name_that_is_no_templates_name_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "x.txt").write_text("secret")
    look = replace(HTML, template="../x", templates=Templates(tmp_path / "own"))
    assert "secret" not in part(mailed(look), "plain")


# ---- hostile words

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "{% raw %}",
    "javascript:",
]


@pytest.mark.parametrize("payload", HOSTILE)
@pytest.mark.parametrize("field", ["caller", "caller_name"])
def test_nothing_a_caller_chose_becomes_part_of_the_page(payload: str, field: str) -> None:
    plain, page = Tags(part(mailed())), part(mailed(**{field: payload}))
    assert Tags(page).names == plain.names and Tags(page).links == plain.links
    assert "49" not in part(mailed(caller="", caller_name="{{ 7 * 7 }}"), "plain").replace("4930555", "")


@pytest.mark.parametrize("payload", PAYLOADS, ids=repr)
def test_nothing_anybody_chose_makes_a_header_or_a_recipient(payload: str) -> None:
    """64 payloads and more in six places at once, in a mail with every part."""
    user = replace(ANNA, name=payload, extension=payload)
    look = replace(HTML, templates=OWN, template=payload, link=payload)
    mail = mailed(look, user, SYLLABLE, caller=payload, caller_name=payload)
    assert set(mail.keys()) == EXPECTED
    assert [each.addr_spec for each in mail["To"].addresses] == ["anna@example.com"]
    assert len(list(mail.walk())) == 5


@pytest.mark.parametrize("payload", PAYLOADS[::4], ids=repr)
def test_nor_do_facts_of_missed_calls_and_summaries(payload: str) -> None:
    facts = FACTS | {"caller": payload, "caller_name": payload}
    day = DAY | {"messages": [LINE | {"caller": payload, "caller_name": payload, "id": payload}]}
    for made in (
        missed_call(ANNA, facts, SETTINGS, ITEM, ZONE, HTML),
        summary(ANNA, day, SETTINGS, ITEM, ZONE, HTML),
    ):
        mail = read(made)
        assert set(mail.keys()) == EXPECTED - {"Message-Context"}
        assert len(mail["To"].addresses) == 1 and len(list(mail.walk())) == 3


# ---- sounds


@pytest.mark.parametrize(
    ("form", "kind", "suffix", "codec"),
    [(Attachment.MP3, "audio/mpeg", "mp3", "mp3"), (Attachment.OPUS, "audio/ogg", "opus", "opus")],
)
def test_a_recording_as_mp3_or_opus_can_be_played_and_sounds_alike(
    form: Attachment, kind: str, suffix: str, codec: str
) -> None:
    tone = (np.sin(np.arange(24000) * 2 * np.pi * 440 / 8000) * 8000).astype("<i2")
    audio = wav.join([wav.parse(wav.file_pcm16(tone.tobytes()))])
    (attached,) = mailed(replace(HTML, form=form), audio=audio).iter_attachments()
    assert attached.get_content_type() == kind and str(attached.get_filename()).endswith(f".{suffix}")
    data = attached.get_content()
    assert len(data) < len(audio)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        assert codec in stream.codec_context.name
        rate = stream.codec_context.sample_rate
        heard = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    assert len(heard) / rate == pytest.approx(3.0, abs=0.15)
    spectrum = np.abs(np.fft.rfft(heard[: 2 * rate].astype(float)))
    assert np.argmax(spectrum) / 2 == pytest.approx(440, abs=3)


@pytest.mark.parametrize("audio", [b"", b"RIFF", SPEECH[:44]])
@pytest.mark.parametrize("form", [Attachment.WAV, Attachment.MP3, Attachment.OPUS])
def test_a_damaged_recording_is_left_out_in_every_form(audio: bytes, form: Attachment) -> None:
    mail = mailed(replace(HTML, form=form), audio=audio)
    assert not list(mail.iter_attachments()) and "damaged" in part(mail) and "damaged" in part(mail, "plain")


def test_a_mail_without_its_recording_says_nothing_of_one() -> None:
    mail = mailed(replace(HTML, form=Attachment.NONE))
    assert not list(mail.iter_attachments()) and "attached" not in part(mail, "plain")


def test_what_is_encoded_twice_is_the_same() -> None:
    assert carried(SPEECH, Attachment.OPUS) == carried(SPEECH, Attachment.OPUS)


def test_another_item_is_another_mail() -> None:
    other = OutboxItem(UUID(int=5), ITEM.kind, ANNA.id, MESSAGE.id, datetime(2026, 3, 5, tzinfo=UTC))
    mail = notification(ANNA, MESSAGE, None, SETTINGS, other, timezone(timedelta(0)), HTML)
    assert mail["Message-ID"] != mailed()["Message-ID"]
