"""A message of OUTGOING as the mail that one other system gets. Pure."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sip import wav
from store.model import Message, Part, User
from voicemail.policy.elsewhere import NOBODY, is_address
from voicemail.policy.locations import Location
from voicemail.recipients import is_remote, list_of
from voicemail.vpim.model import Person, Speech, VoiceMail

SHORTEST = 0.01
"""Seconds of the last stretch, below which rounding left it over."""


def person_of(user: User | None, domain: str, number: str = "", name: str = "") -> Person:
    """A user by mailbox and name, somebody elsewhere by address; anybody else is the caller whom nobody can
    answer."""
    if user:
        return Person(f"{user.extension}@{domain}", user.name)
    if is_address(number):
        return Person(number, name)
    return Person(f"{NOBODY}@{domain}", name or number)


def voice_mail(
    message: Message,
    audio: bytes,
    to: str,
    message_id: str,
    location: Location,
    domain: str,
    users: Mapping[UUID, User],
    spoken_name: bytes | None,
) -> VoiceMail:
    """`users` are those who have spoken in it, as far as they still are there; `domain` is that of our
    mailboxes. Raises BadSound."""
    e = message.envelope
    author = users.get(e.sender) if e.sender else None
    sender = person_of(author, domain, message.caller, message.caller_name)
    receipt = e.receipt and location.receipts and author is not None
    return VoiceMail(
        message_id=message_id,
        sent=message.recorded,
        sender=sender,
        to=addressed(e.recipients, to, domain),
        speech=stretches(message, audio, domain, users),
        spoken_name=spoken_name if location.spoken_name else None,
        urgent=message.urgent,
        private=e.private,
        receipt_to=sender.address if receipt else "",
        language=author.language if author else "",
        vcard=location.vcard,
    )


def addressed(recipients: Sequence[str], to: str, domain: str) -> tuple[Person, ...]:
    """All of them, for a reply to all; only this one where not all are known by name (RFC 3801 section 4.2.2:
    either all are in the header or none is certain)."""
    if not recipients or any(list_of(each) is not None for each in recipients):
        return (Person(to),)
    return tuple(Person(each if is_remote(each) else f"{each}@{domain}") for each in recipients)


def stretches(message: Message, audio: bytes, domain: str, users: Mapping[UUID, User]) -> tuple[Speech, ...]:
    """The author's own words, and what others have said behind them, cut at the seconds that are noted.
    Raises BadSound."""
    samples = wav.samples_ulaw(wav.parse(audio))
    parts = message.envelope.parts
    if not parts:
        return (Speech(audio, len(samples) / wav.RATE),)
    cut, at = [], 0.0
    for number, part in enumerate(parts):
        end = len(samples) / wav.RATE if number == len(parts) - 1 else at + part.seconds
        own = samples[round(at * wav.RATE) : round(end * wav.RATE)]
        if len(own) / wav.RATE >= SHORTEST:
            cut.append(_stretch(part, own, number, message, domain, users))
        at = end
    return tuple(cut)


def _stretch(
    part: Part, samples: bytes, number: int, message: Message, domain: str, users: Mapping[UUID, User]
) -> Speech:
    sound = wav.file_ulaw(samples)
    seconds = len(samples) / wav.RATE
    introduces = number == 0 and part.sender == message.envelope.sender and part.sender is not None
    if introduces and part.recorded == message.recorded:
        return Speech(sound, seconds)
    spoken_by = users.get(part.sender) if part.sender else None
    return Speech(sound, seconds, person_of(spoken_by, domain, part.caller), part.recorded)
