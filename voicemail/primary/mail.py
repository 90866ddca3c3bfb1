"""The notification mail of one message, pure: the same outbox item always gives the same mail, to the
byte, so that a repeat after a takeover can be recognised and dropped.

Callers choose their names: what goes into a header is cleaned first (voicemail/vpim/headers.py).
"""

from datetime import tzinfo
from email.message import EmailMessage
from email.policy import SMTP

from sip.errors import BadSound
from sip.wav import to_pcm16
from store.model import Message, OutboxItem, User
from voicemail.config import Mail
from voicemail.vpim.headers import LONGEST_NAME as LONGEST_NAME
from voicemail.vpim.headers import NoAddress as NoAddress
from voicemail.vpim.headers import address as address
from voicemail.vpim.headers import clean as clean


def notification(
    user: User, message: Message, audio: bytes | None, settings: Mail, item: OutboxItem, zone: tzinfo
) -> EmailMessage:
    """The mail that tells `user` of `message`. `audio` is the WAV file as stored, None when it shall not
    be attached; a damaged one is left out, and the text says so. Times are shown in `zone`.

    Headers: RFC 5322, Auto-Submitted (RFC 3834), Message-Context (RFC 3458), Content-Duration
    (RFC 3803). Raises NoAddress."""
    wav, damaged = _attachment(audio)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = address(settings.sender)
    mail["To"] = address(user.mail, user.name)
    mail["Subject"] = f"New {_urgent(message)}voice message from {caller_of(message)} ({_length(message)})"
    mail["Date"] = item.created
    mail["Message-ID"] = f"<{item.id}@{clean(settings.message_id_domain)}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Message-Context"] = "voice-message"
    if message.urgent:
        mail["Importance"] = "high"
        mail["X-Priority"] = "1 (Highest)"
    mail.set_content(_text(user, message, zone, attached=wav is not None, damaged=damaged))
    if wav is not None:
        _attach(mail, wav, message, item, zone)
    return mail


def caller_of(message: Message) -> str:
    """Name and number as far as they are known."""
    name, number = clean(message.caller_name), clean(message.caller)
    if name and number and name != number:
        return f"{name} ({number})"
    return name or number or "an unknown caller"


def _attachment(audio: bytes | None) -> tuple[bytes | None, bool]:
    """The WAV file to attach, and whether there is one that cannot be played."""
    if audio is None:
        return None, False
    try:
        return to_pcm16(audio), False
    except BadSound:
        return None, True


def _attach(mail: EmailMessage, wav: bytes, message: Message, item: OutboxItem, zone: tzinfo) -> None:
    name = f"voice-message-{message.recorded.astimezone(zone):%Y-%m-%d-%H%M%S}.wav"
    mail.add_attachment(wav, maintype="audio", subtype="x-wav", filename=name)
    part = next(mail.iter_attachments())
    part["Content-Duration"] = str(max(1, round(message.seconds)))
    part["Content-Description"] = "Voice message"
    mail.set_boundary(f"=_{item.id.hex}")


def _urgent(message: Message) -> str:
    return "urgent " if message.urgent else ""


def _length(message: Message) -> str:
    minutes, seconds = divmod(max(1, round(message.seconds)), 60)
    return f"{minutes}:{seconds:02}"


def _text(user: User, message: Message, zone: tzinfo, *, attached: bool, damaged: bool) -> str:
    when = message.recorded.astimezone(zone)
    lines = [
        f"You have a new {_urgent(message)}voice message.",
        "",
        f"From:     {caller_of(message)}",
        f"Received: {when:%A, %d %B %Y, %H:%M} ({clean(when.tzname() or '')})",
        f"Length:   {_length(message)}",
        f"Mailbox:  {clean(user.extension)}",
        "",
    ]
    if message.cut_off:
        lines.append("The recording was cut off; its end may be missing.")
    if damaged:
        lines.append("The recording is damaged and could not be attached.")
    if attached:
        lines.append("The recording is attached. It is new in your mailbox until you hear it there.")
    lines.append("To listen by telephone, dial your voice mail and sign in.")
    return "\n".join(lines) + "\n"
