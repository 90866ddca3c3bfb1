"""A mail as a voice message or as a report on one, whatever wrote it (RFC 3801, 3464, 8098).

A voice message is a Multipart/Voice-Message anywhere in the mail, or a mail with a recording attached.
All sound is taken in the order of the parts; what is in a message/rfc822 was forwarded and keeps its own
sender. Nothing of a voice message is dropped in silence: a part in a Multipart/Voice-Message that cannot
be played fails the whole, so that the sender hears of it. Text is left out there and in plain mails.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from sip.wav import parse
from voicemail.vpim.addresses import is_nobody
from voicemail.vpim.cards import MOST_BYTES, read_card
from voicemail.vpim.headers import clean, decoded, language, message_id, people
from voicemail.vpim.mime import Limits as Limits
from voicemail.vpim.mime import Part, automatic, parsed
from voicemail.vpim.model import UNDATED, Card, Person, Report, Speech, Unreadable, VoiceMail
from voicemail.vpim.reading import report_of
from voicemail.vpim.sound import BY_SUFFIX, SUFFIXES
from voicemail.vpim.sound import decoded as sound_of
from voicemail.vpim.transfer import Source

LONGEST_ADDRESS = 320
MESSAGES = ("message/rfc822", "message/global")
CARDS = ("text/directory", "text/vcard", "text/x-vcard")
PASSED_OVER = ("text/", "message/", "multipart/", "application/pgp-signature", "application/pkcs7-signature")
"""Beginnings of media types whose loss costs no sound, even in a voice message."""


def read(raw: Source, limits: Limits = Limits()) -> VoiceMail | Report:  # noqa: B008 (frozen)
    """What a mail says. `sent` is UNDATED when it names no time.

    Raises Unreadable with the code of the report on it (RFC 3463): 5.6.0 no sound, a damaged one, a
    private message that somebody else forwarded, or a mail too crooked; 5.6.1 media that we do not know;
    5.2.3 too long; 5.3.4 too big."""
    mail = parsed(raw, limits)
    report = report_of(mail)
    if report is not None:
        return report
    gathered = _Gathered(limits.seconds, _sender(mail).address)
    gathered.take(mail, None)
    if not gathered.speech:
        raise Unreadable("no sound in the mail")
    return _voice_mail(mail, gathered)


def _voice_mail(mail: Part, gathered: "_Gathered") -> VoiceMail:
    sender = _sender(mail)
    return VoiceMail(
        message_id=message_id(mail.header("message-id").strip("<> ")),
        sent=sent_at(mail),
        sender=sender,
        to=people(mail.header("to")),
        cc=people(mail.header("cc")),
        speech=tuple(gathered.speech),
        spoken_name=gathered.names.get("originator-spoken-name"),
        spoken_subject=gathered.names.get("spoken-subject"),
        subject=decoded(mail.header("subject")),
        urgent=_urgent(mail),
        private=gathered.private,
        receipt_to="" if automatic(mail) else _first(mail, "disposition-notification-to").address,
        reply_to=_first(mail, "reply-to").address,
        language=language(mail.header("content-language").partition(",")[0].strip()) or gathered.language,
        vcard=gathered.card is not None,
        hops=sum(name == "received" for name, _ in mail.headers),
        is_vpim=gathered.is_vpim,
        unanswerable=not sender.address or is_nobody(sender.address),
        card=gathered.card,
        automatic=automatic(mail),
    )


@dataclass(slots=True)
class _Gathered:
    """What has been found on the way through the parts."""

    seconds_left: float
    owner: str
    """Address of the mail's sender."""
    speech: list[Speech] = field(default_factory=list)
    names: dict[str, bytes] = field(default_factory=dict)
    card: Card | None = None
    private: bool = False
    is_vpim: bool = False
    language: str = ""

    def take(self, part: Part, forwarded: Part | None, strict: bool = False) -> None:
        """All of a part. `forwarded`: the mail within the mail that it belongs to; `strict`: it is in a
        Multipart/Voice-Message, so what is neither sound nor passed over is an error."""
        self._mark_private(part, forwarded)
        if part.media == "multipart/alternative":
            self._best(part, forwarded, strict)
        elif part.media in MESSAGES:
            for mail in part.parts:
                self.take(mail, mail)
        elif part.parts:
            strict = part.media == "multipart/voice-message"
            self.is_vpim = self.is_vpim or strict
            for each in part.parts:
                self.take(each, forwarded, strict)
        else:
            self._leaf(part, forwarded, strict)

    def _mark_private(self, part: Part, forwarded: Part | None) -> None:
        if part.header("sensitivity").strip().lower() not in ("private", "personal"):
            return
        if forwarded is not None and _sender(forwarded).address.lower() != self.owner.lower():
            raise Unreadable("a private message was forwarded; its sender does not allow it")
        self.private = True

    def _best(self, part: Part, forwarded: Part | None, strict: bool) -> None:
        """Of several forms of the same thing, the last that has sound (RFC 2046 section 5.1.4)."""
        for each in reversed(part.parts):
            if any(media_of(leaf) for leaf in each.walk()):
                self.take(each, forwarded, strict)
                return

    def _leaf(self, part: Part, forwarded: Part | None, strict: bool) -> None:
        media = media_of(part)
        if media:
            self._sound(part, media, forwarded)
        elif _is_card(part):
            if self.card is None and forwarded is None:
                self.card = read_card(part.content(MOST_BYTES).decode("utf-8", "replace"))
        elif strict and not part.media.startswith(PASSED_OVER):
            raise Unreadable(f"a part of type {part.media} is not supported", "5.6.1")

    def _sound(self, part: Part, media: str, forwarded: Part | None) -> None:
        voice = part.parameter("content-disposition", "voice").lower()
        is_name = voice in ("originator-spoken-name", "spoken-subject", "recipient-spoken-name")
        if is_name and forwarded is not None:
            return
        wav = sound_of(part.content(), media, self.seconds_left)
        seconds = parse(wav).seconds
        self.seconds_left -= seconds
        if is_name:
            self.names.setdefault(voice, wav)
            return
        self.language = self.language or language(part.header("content-language"))
        if forwarded is None:
            self.speech.append(Speech(wav, seconds))
        else:
            self.speech.append(Speech(wav, seconds, _sender(forwarded), _sent_or_none(forwarded)))


def media_of(part: Part) -> str:
    """The media type of sound, "" of everything else: also of a file that its name says to be sound."""
    if part.media.startswith("audio/"):
        return part.media
    suffix = "." + part.filename.lower().rpartition(".")[2].strip()
    if part.media in ("video/mp4", "video/3gpp", "video/webm", "application/ogg", "video/ogg"):
        return part.media
    if part.media == "application/octet-stream" and suffix in SUFFIXES:
        return BY_SUFFIX.get(suffix, part.media)
    return ""


def sent_at(mail: Part) -> datetime:
    """Its Date, or when the last host received it, or UNDATED."""
    return _sent_or_none(mail) or _when(mail.header("received").rpartition(";")[2]) or UNDATED


def _sent_or_none(mail: Part) -> datetime | None:
    return _when(mail.header("date"))


def _when(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text[:100])
        when = when if when.tzinfo else when.replace(tzinfo=UTC)  # "-0000"
        return when if 1970 < when.year < 9000 else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _sender(mail: Part) -> Person:
    found = _first(mail, "from")
    return found if found.address else _first(mail, "sender")


def _first(mail: Part, header: str) -> Person:
    found = next(iter(people(mail.header(header))), Person(""))
    return replace(found, address=clean(found.address, LONGEST_ADDRESS))


def _urgent(mail: Part) -> bool:
    return (
        mail.header("importance").strip().lower() == "high"
        or mail.header("priority").strip().lower() == "urgent"
        or mail.header("x-priority").strip()[:1] in ("1", "2")
    )


def _is_card(part: Part) -> bool:
    return part.media in CARDS or part.filename.lower().endswith(".vcf")
