"""The message that a mail becomes: who it is from, whom an answer to all reaches, who spoke what. Pure."""

from collections.abc import Sequence
from uuid import UUID

from sip import wav
from sip.errors import BadSound
from store.model import Envelope, NewMessage, Part, Remote, User
from voicemail.intake.addresses import Book
from voicemail.intake.decide import moment, number_of, sender_address
from voicemail.intake.letter import Letter
from voicemail.policy.elsewhere import domain_of, mailbox_of
from voicemail.vpim.model import VoiceMail

MOST_RECIPIENTS = 50
"""That are noted for an answer to all."""
MOST_PARTS = 50
MOST_NAME = 80


def joined(mail: VoiceMail) -> tuple[bytes, float]:
    """All that was said as one WAV file in mu-law, and its seconds. Raises BadSound."""
    if not mail.speech:
        raise BadSound("there is none")
    whole = wav.join(wav.parse(each.sound) for each in mail.speech)
    return whole, wav.parse(whole).seconds


def message_of(
    letter: Letter,
    key: UUID,
    mail: VoiceMail,
    seconds: float,
    sender: User | None,
    book: Book,
    domains: Sequence[str],
) -> NewMessage:
    """`key` becomes its id, `sender` is the user of ours who wrote it, `domains` are ours."""
    address = sender_address(letter, mail)
    return NewMessage(
        id=key,
        mailbox_id=key,  # not used: it goes to many
        caller=sender.extension if sender else number_of(address),
        caller_name=sender.name if sender else mail.sender.name[:MOST_NAME],
        recorded=moment(mail.sent, letter.received),
        seconds=seconds,
        urgent=mail.urgent,
        envelope=Envelope(
            sender=sender.id if sender else None,
            recipients=_recipients(mail, book, domains),
            private=mail.private,
            receipt=bool(sender and mail.receipt_to),
            parts=_parts(mail, sender),
            remote=None if sender else _remote(mail, address),
        ),
    )


def _remote(mail: VoiceMail, address: str) -> Remote:
    """Who sent it, elsewhere; nobody can answer a caller without a mailbox."""
    if mail.unanswerable:
        return Remote(address, mail.sender.name[:MOST_NAME], mail.message_id)
    return Remote(address, mail.sender.name[:MOST_NAME], mail.message_id, mail.receipt_to)


def _recipients(mail: VoiceMail, book: Book, domains: Sequence[str]) -> tuple[str, ...]:
    """As the header names them, for an answer to all: ours by number, those of locations by address. The
    header of a hostile mail could name the whole world, which nobody here must be made to answer."""
    known = {place.domain.lower() for place in book.locations}
    named: dict[str, None] = {}
    for each in (person.address for person in (*mail.to, *mail.cc)):
        if domain_of(each) in domains:
            named[_as_addressed(mailbox_of(each), book)] = None
        elif domain_of(each) in known:
            named[each] = None
    return tuple(each for each in named if each)[:MOST_RECIPIENTS]


def _as_addressed(local: str, book: Book) -> str:
    if listed := book.lists.get(local.lower()):
        return f"list:{listed}"
    return number_of(f"{local}@")


def _parts(mail: VoiceMail, sender: User | None) -> tuple[Part, ...]:
    """Who spoke which stretch, where somebody else did."""
    if not any(each.sender for each in mail.speech):
        return ()
    return tuple(
        Part(
            each.seconds,
            sender.id if sender and not each.sender else None,
            number_of((each.sender or mail.sender).address),
            each.sent or mail.sent,
        )
        for each in mail.speech[:MOST_PARTS]
    )
