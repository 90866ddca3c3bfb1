"""A voice message as a mail, by RFC 3801: the same message always gives the same bytes, so that a repeat
after a takeover is recognised and dropped.

One level holds one part of each kind (section 4.4.2), so adjoining stretches of the sender's own become
one; whatever comes after something forwarded becomes a message/rfc822 of its own, since the parts play in
their order. Reply-To is never written (section 4.2: should not be sent), nor Return-Path.
"""

import base64
from collections.abc import Iterable, Iterator
from itertools import groupby

from sip.errors import BadSound
from sip.wav import join, parse
from voicemail.vpim.cards import card_of, written_card
from voicemail.vpim.headers import clean, date, domain_of, field, language, mailbox, mark, message_id, text
from voicemail.vpim.model import Codec, Person, Speech, VoiceMail
from voicemail.vpim.sound import encoded

SUBJECT = "Voice message"
"""Of a message that has none."""
VERSION = "1.0 (Voice 2.0)"
LINE = 76
"""Characters of a line of base64 (RFC 2045 section 6.8)."""


def written(mail: VoiceMail, codec: Codec, item_id: str) -> bytes:
    """The mail to send, lines ended by CRLF. `item_id` is the outbox item's: it makes the boundaries, and
    the Message-ID if the mail has none.

    Raises NoAddress (sender or a recipient cannot be written to) and BadSound (sip.errors)."""
    own, rest = _split(mail.speech)
    parts = list(_names(mail, codec))
    if own is not None:
        parts.append(_sound(own, codec, "Voice-Message", "message", language(mail.language)))
    for number, each in enumerate(rest, 1):
        parts.append(_forwarded(each, mail, codec, f"{number}_{mark(item_id)}"))
    if mail.vcard:
        parts.append(_vcard(mail.sender))
    if not parts:
        raise BadSound("a message without sound")
    return _level(_headers(mail, item_id), parts, f"0_{mark(item_id)}").encode("ascii")


def _split(speech: Iterable[Speech]) -> tuple[bytes | None, list[Speech]]:
    """The sender's own introduction, and what else there is, adjoining stretches of one sender joined."""
    joined = [_joined(list(run)) for _, run in groupby(speech, key=lambda each: (each.sender, each.sent))]
    if joined and joined[0].sender is None:
        return joined[0].sound, joined[1:]
    return None, joined


def _joined(run: list[Speech]) -> Speech:
    if len(run) == 1:
        return run[0]
    sound = join(parse(each.sound) for each in run)
    return Speech(sound, sum(each.seconds for each in run), run[0].sender, run[0].sent)


def _headers(mail: VoiceMail, item_id: str) -> str:
    name = clean(mail.sender.name) or mail.sender.address.rpartition("@")[0]
    sender = mailbox(Person(mail.sender.address, name))
    plain = message_id(mail.message_id) or f"{mark(item_id)}@{domain_of(mail.sender.address).strip('[]')}"
    fields = [("Date", date(mail.sent)), ("From", sender)]
    fields += [(name, _list(them)) for name, them in (("To", mail.to), ("Cc", mail.cc)) if mail.to and them]
    fields += [("Message-ID", f"<{plain}>"), ("Subject", text(mail.subject) or SUBJECT)]
    fields += [("Sensitivity", "Private")] * mail.private + [("Importance", "high")] * mail.urgent
    if mail.receipt_to:
        fields.append(("Disposition-Notification-To", mailbox(Person(mail.receipt_to))))
    fields.append(("Message-Context", "voice-message"))
    if tag := language(mail.language):
        fields.append(("Content-Language", tag))
    return "".join(field(name, value) for name, value in fields)


def _list(people: tuple[Person, ...]) -> str:
    return ", ".join(mailbox(person) for person in people)


def _level(headers: str, parts: list[str], name: str) -> str:
    """Headers and body of a Multipart/Voice-Message."""
    boundary = f"=_{name}"
    head = headers + field("MIME-Version", VERSION)
    head += f'Content-Type: Multipart/Voice-Message; Version=2.0;\r\n boundary="{boundary}"\r\n'
    head += field("Content-Transfer-Encoding", "7bit")
    return head + "\r\n" + "".join(f"--{boundary}\r\n{part}" for part in parts) + f"--{boundary}--\r\n"


def _names(mail: VoiceMail, codec: Codec) -> Iterator[str]:
    if mail.spoken_name is not None:
        yield _sound(mail.spoken_name, codec, "Originator-Spoken-Name", "name", "")
    if mail.spoken_subject is not None:
        yield _sound(mail.spoken_subject, codec, "Spoken-Subject", "subject", language(mail.language))


def _sound(wav: bytes, codec: Codec, voice: str, name: str, tag: str) -> str:
    """One part of sound. Content-Duration: RFC 3803."""
    sound = encoded(wav, codec)
    fields = [
        ("Content-Type", sound.media),
        ("Content-Transfer-Encoding", "Base64"),
        ("Content-Disposition", f'inline; voice={voice}; filename="{name}{sound.suffix}"'),
        ("Content-Duration", str(max(1, round(sound.seconds)))),
    ]
    if tag:
        fields.append(("Content-Language", tag))
    return "".join(field(key, value) for key, value in fields) + "\r\n" + _base64(sound.data)


def _forwarded(speech: Speech, mail: VoiceMail, codec: Codec, name: str) -> str:
    """A message/rfc822 with what was forwarded (RFC 3801 section 4.4.3)."""
    headers = field("Date", date(speech.sent or mail.sent))
    headers += field("From", mailbox(speech.sender or mail.sender))
    inner = _level(headers, [_sound(speech.sound, codec, "Voice-Message", "message", "")], name)
    fields = field("Content-Type", "Message/RFC822") + field("Content-Transfer-Encoding", "7bit")
    return fields + "\r\n" + inner + "\r\n"  # or the last line of the inner mail would have no end


def _vcard(sender: Person) -> str:
    fields = field("Content-Type", "text/directory; charset=utf-8; profile=vCard")
    fields += field("Content-Transfer-Encoding", "Base64")
    fields += field("Content-Disposition", 'attachment; filename="sender.vcf"')
    return fields + "\r\n" + _base64(written_card(card_of(sender)).encode())


def _base64(data: bytes) -> str:
    coded = base64.b64encode(data).decode()
    return "".join(f"{coded[at : at + LINE]}\r\n" for at in range(0, len(coded), LINE))
