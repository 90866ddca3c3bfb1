"""The mails that tell users of something, pure: the same outbox item always gives the same mail, to the byte,
so that a repeat after a takeover can be recognised and dropped.

Callers choose their names: what goes into a header is cleaned first (voicemail/vpim/headers.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from sip.errors import BadSound
from store.model import Message, MessageKind, OutboxItem, User
from voicemail.config import Mail
from voicemail.policy.devices import Attachment
from voicemail.primary.sound import Carried, carried
from voicemail.primary.templates import Page, Templates
from voicemail.vpim.headers import LONGEST_NAME as LONGEST_NAME
from voicemail.vpim.headers import NoAddress as NoAddress
from voicemail.vpim.headers import address as address
from voicemail.vpim.headers import clean as clean

LONGEST_SUBJECT = 300
SHIPPED = Templates()
REPORTS = (MessageKind.READ_RECEIPT, MessageKind.NON_DELIVERY, MessageKind.OVERRULED)
UNKNOWN = {"de": "unbekannt"}
DAYS = {"de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag")}
MONTHS = {
    "de": (
        "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
        "November", "Dezember",
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """How a mail is written: all that a device may set about it."""

    html: bool = False
    form: Attachment = Attachment.WAV
    template: str = ""
    link: str = ""
    """Where the message can be played, with "{id}" for which; "" for nowhere."""
    reminder: bool = False
    templates: Templates = SHIPPED


PLAIN = Look()


def notification(
    user: User,
    message: Message,
    audio: bytes | None,
    settings: Mail,
    item: OutboxItem,
    zone: tzinfo,
    look: Look = PLAIN,
) -> EmailMessage:
    """The mail that tells `user` of `message`. `audio` is the WAV file as stored, None when it shall not
    be attached; a damaged one is left out, and the text says so. Times are shown in `zone`.

    Headers: RFC 5322, Auto-Submitted (RFC 3834), Message-Context (RFC 3458), Content-Duration
    (RFC 3803). Raises NoAddress."""
    sound, damaged = _attachment(audio, look.form)
    facts = {
        "caller": caller_of(message, user.language),
        "when": when(message.recorded, zone, user.language),
        "length": length(message.seconds),
        "extension": clean(user.extension),
        "name": clean(user.name),
        "urgent": message.urgent,
        "report": message.envelope.kind in REPORTS,
        "cut_off": message.cut_off,
        "damaged": damaged,
        "attached": sound is not None,
        "reminder": look.reminder,
        "link": link_to(look, str(message.id)),
    }
    mail = _mail(user, settings, item, "voice-message")
    if message.urgent:
        mail["Importance"] = "high"
        mail["X-Priority"] = "1 (Highest)"
    _say(mail, item, _page("message", user, facts, look))
    if sound is not None:
        _attach(mail, sound, message, item, zone)
    return mail


def missed_call(
    user: User, facts: Mapping[str, Any], settings: Mail, item: OutboxItem, zone: tzinfo, look: Look = PLAIN
) -> EmailMessage:
    """The mail that tells of a caller who left no message. Raises NoAddress, and ValueError for facts that
    are none."""
    told = {
        "caller": named(str(facts.get("caller_name", "")), str(facts.get("caller", "")), user.language),
        "when": when(_moment(facts["at"]), zone, user.language),
        "extension": clean(user.extension),
        "name": clean(user.name),
    }
    return _written(user, settings, item, _page("missed", user, told, look))


def summary(
    user: User, facts: Mapping[str, Any], settings: Mail, item: OutboxItem, zone: tzinfo, look: Look = PLAIN
) -> EmailMessage:
    """The daily mail. Raises NoAddress, and ValueError for facts that are none."""
    lines = [
        {
            "caller": named(str(each["caller_name"]), str(each["caller"]), user.language),
            "when": when(_moment(each["recorded"]), zone, user.language),
            "length": length(float(each["seconds"])),
            "urgent": bool(each["urgent"]),
            "link": link_to(look, str(each["id"])),
        }
        for each in facts["messages"]
    ]
    new = int(facts["new"])
    told = {
        "new": new,
        "old": int(facts["old"]),
        "messages": lines,
        "more": max(0, new - len(lines)),
        "extension": clean(user.extension),
        "name": clean(user.name),
    }
    return _written(user, settings, item, _page("summary", user, told, look))


def forewarning(
    user: User, facts: Mapping[str, Any], settings: Mail, item: OutboxItem, zone: tzinfo, look: Look = PLAIN
) -> EmailMessage:
    """The mail that tells how many messages will be deleted, or gone, soon, and when the first; nothing of
    what they say. A device's own template is that of messages. Raises NoAddress, and ValueError for facts
    that are none."""
    told = {
        "deleted": int(facts["deleted"]),
        "deleted_from": _if_any(facts["deleted_from"], zone, user.language),
        "gone": int(facts["gone"]),
        "gone_from": _if_any(facts["gone_from"], zone, user.language),
        "extension": clean(user.extension),
        "name": clean(user.name),
    }
    return _written(user, settings, item, _page("aging", user, told, replace(look, template="")))


def trial(user: User, settings: Mail, item: OutboxItem, look: Look = PLAIN) -> EmailMessage:
    """The mail by which an administrator tries a device. Raises NoAddress."""
    facts = {"extension": clean(user.extension), "name": clean(user.name)}
    return _written(user, settings, item, _page("trial", user, facts, look))


def caller_of(message: Message, language: str = "") -> str:
    """Name and number as far as they are known."""
    return named(message.caller_name, message.caller, language)


def named(name: str, number: str, language: str = "") -> str:
    """Name and number as far as they are known."""
    name, number = clean(name), clean(number)
    if name and number and name != number:
        return f"{name} ({number})"
    return name or number or UNKNOWN.get(language, "an unknown caller")


def when(moment: datetime, zone: tzinfo, language: str) -> str:
    """A time as people read it in this language."""
    local = moment.astimezone(zone)
    named_zone = clean(local.tzname() or "")
    if language in DAYS:
        day, month = DAYS[language][local.weekday()], MONTHS[language][local.month - 1]
        return f"{day}, {local.day}. {month} {local:%Y, %H:%M} ({named_zone})"
    return f"{local:%A, %d %B %Y, %H:%M} ({named_zone})"


def length(seconds: float) -> str:
    """ "0:23"."""
    minutes, left = divmod(max(1, round(seconds)), 60)
    return f"{minutes}:{left:02}"


def link_to(look: Look, message_id: str) -> str:
    """Where the message can be played; "" for nowhere."""
    return look.link.replace("{id}", message_id)


def _page(kind: str, user: User, facts: Mapping[str, Any], look: Look) -> Page:
    return look.templates.page(kind, look.template, user.language, facts, look.html)


def _written(user: User, settings: Mail, item: OutboxItem, page: Page) -> EmailMessage:
    mail = _mail(user, settings, item)
    _say(mail, item, page)
    return mail


def _mail(user: User, settings: Mail, item: OutboxItem, context: str = "") -> EmailMessage:
    """The headers that all have. The subject comes later, but has its place here."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = address(settings.sender)
    mail["To"] = address(user.mail, user.name)
    mail["Subject"] = ""
    mail["Date"] = item.created
    mail["Message-ID"] = f"<{item.id}@{clean(settings.message_id_domain)}>"
    mail["Auto-Submitted"] = "auto-generated"
    if context:
        mail["Message-Context"] = context
    return mail


def _say(mail: EmailMessage, item: OutboxItem, page: Page) -> None:
    mail.replace_header("Subject", clean(page.subject, LONGEST_SUBJECT))
    mail.set_content(_lines(page.text))
    if page.html:
        mail.add_alternative(_lines(page.html), subtype="html")
        mail.set_boundary(f"=_{item.id.hex}a")


def _lines(text: str) -> str:
    """With one kind of line end, and one at the end."""
    return "\n".join(text.splitlines()) + "\n"


def _if_any(text: Any, zone: tzinfo, language: str) -> str:
    return when(_moment(text), zone, language) if text else ""


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError(f"a time without its zone: {text!r}")
    return moment


def _attachment(audio: bytes | None, form: Attachment) -> tuple[Carried | None, bool]:
    """The file to attach, and whether there is a recording that cannot be played."""
    if audio is None or form is Attachment.NONE:
        return None, False
    try:
        return carried(audio, form), False
    except BadSound:
        return None, True


def _attach(mail: EmailMessage, sound: Carried, message: Message, item: OutboxItem, zone: tzinfo) -> None:
    name = f"voice-message-{message.recorded.astimezone(zone):%Y-%m-%d-%H%M%S}.{sound.suffix}"
    mail.add_attachment(sound.data, maintype="audio", subtype=sound.subtype, filename=name)
    part = next(mail.iter_attachments())
    part["Content-Duration"] = str(max(1, round(message.seconds)))
    part["Content-Description"] = "Voice message"
    mail.set_boundary(f"=_{item.id.hex}")
