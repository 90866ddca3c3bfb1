"""What a mail means, decided without asking anybody: ids, who sent it, whether a report may be sent. Pure."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from hashlib import sha256
from uuid import UUID, uuid5

from store.blob import Blob
from store.model import SYSTEM, NewWork, User, Work
from voicemail.intake.letter import MAIL, Letter, Recipient, Trust
from voicemail.policy.elsewhere import domain_of, mailbox_of
from voicemail.vpim.addresses import read_local
from voicemail.vpim.model import Report, VoiceMail

FAILED, DELIVERED = "dsn", "dsn-delivered"
"""Kinds of reports in the outbox."""
HEADERS = 8192
"""Bytes of the original's header that a report carries at most."""
BLANK = b"\r\n\r\n"
PORTION = 2**20
"""Bytes of a mail that are in memory at once."""
OLDEST = timedelta(days=400)
"""A mail that says it was sent before then has a wrong clock behind it."""
OURS = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.[^@]*)?@(.+)", re.IGNORECASE)


def mail_id(letter: Letter, raw: Blob, message_id: str, sender: str) -> UUID:
    """The same for the same mail however often it comes: of its Message-ID and its sender. One without a
    Message-ID is known by what it says, without the line that we put in front of it."""
    about = message_id or _digest(raw)
    return uuid5(MAIL, f"{about}\n{(sender or letter.sender).lower()}")


def _digest(raw: Blob) -> str:
    """Of all but the first line."""
    whole = sha256(raw[:PORTION].partition(b"\r\n")[2])
    for at in range(PORTION, len(raw), PORTION):
        whole.update(raw[at : at + PORTION])
    return whole.hexdigest()


def number_of(address: str) -> str:
    """The number that the sender's mailbox has; "" for a mailbox that is none."""
    said = read_local(mailbox_of(address))
    return said.number if not said.to_list else ""


def moment(said: datetime, received: datetime) -> datetime:
    """When the mail was sent, unless its clock cannot be believed."""
    if said.tzinfo is None or not received - OLDEST < said <= received:
        return received
    return said


@dataclass(frozen=True, slots=True)
class Claim:
    """Which of our users a mail may be from: whoever has this extension, or else this mail address."""

    extension: str = ""
    mail: str = ""


def claim(letter: Letter, mail: VoiceMail, domains: Sequence[str]) -> Claim:
    """Who wrote a mail, as far as its sender is believed."""
    return claimed(letter.trust, letter.user, mail.sender.address, domains)


def claimed(trust: Trust, user: str, address: str, domains: Sequence[str]) -> Claim:
    """Who signed in as a person (`user`, by extension or mail address) is believed to be himself and nobody
    else. A network of [smtp], and a host that signed in, are believed to have looked at their senders;
    another voice-mail system is not, whatever it says."""
    if trust is Trust.LOCATION:
        return Claim()
    if "@" in user:
        return Claim(mail=user)
    if user.isdecimal():
        return Claim(extension=user)
    if domain_of(address) in domains:
        return Claim(extension=number_of(address), mail=address)
    return Claim(mail=address)


def fits(found: User, wanted: Claim) -> bool:
    """Whether a user that an index gave is still the one."""
    by_number = bool(wanted.extension) and found.extension == wanted.extension
    return by_number or (bool(wanted.mail) and found.mail.lower() == wanted.mail.lower())


def sender_address(letter: Letter, mail: VoiceMail) -> str:
    """Where an answer goes, and whom the mail is from. Another system speaks for its own domain only: a
    From of somebody else's counts for nothing there, and neither does a Reply-To."""
    if mail.unanswerable:
        return mail.sender.address
    if letter.trust is Trust.LOCATION and letter.sender:
        own = domain_of(letter.sender)
        wanted = (mail.reply_to, mail.sender.address)
        return next((each for each in wanted if each and domain_of(each) == own), letter.sender)
    return mail.reply_to or mail.sender.address


def header_block(raw: Blob) -> str:
    """Header of the original as text, cut at a line: for a report."""
    block = raw[: HEADERS + 1 + len(BLANK)].split(BLANK, 1)[0][: HEADERS + 1]
    if len(block) > HEADERS:
        block = block[: block.rfind(b"\r\n", 0, HEADERS)]
    return block.decode("utf-8", "replace").replace("\0", "")


def header_values(raw: Blob, name: str) -> list[str]:
    """Values of a header's lines, unfolded; as they stand."""
    block = raw[: 4 * HEADERS + len(BLANK)].split(BLANK, 1)[0].decode("latin-1")
    lines = re.sub(r"\r\n[ \t]+", " ", block).split("\r\n")
    wanted = name.lower() + ":"
    return [line[len(wanted) :].strip() for line in lines if line.lower().startswith(wanted)]


def by_machine(raw: Blob) -> bool:
    """Whether the mail says that no person sent it (RFC 3834 section 5)."""
    return any(value.lower().split(";")[0].strip() != "no" for value in header_values(raw, "Auto-Submitted"))


def may_be_told(letter: Letter, raw: Blob) -> bool:
    """Whether the sender may get a report at all: never the null sender, a machine, a mailing list, or
    whoever sends reports (RFC 3834 section 2, RFC 3461 section 6.2)."""
    if not letter.sender or "@" not in letter.sender or by_machine(raw):
        return False
    bulk = {value.lower() for value in header_values(raw, "Precedence")} & {
        "bulk",
        "junk",
        "list",
        "auto_reply",
    }
    kinds = " ".join(header_values(raw, "Content-Type")).lower()
    return not bulk and not header_values(raw, "List-Id") and "multipart/report" not in kinds


def to_be_told(recipients: Sequence[Recipient], event: str = "FAILURE") -> tuple[Recipient, ...]:
    """Those for whom a report of this event was not declined (RFC 3461 section 4.1): a failure is told unless
    something else was asked for, a success only when it was."""
    default = ("FAILURE",) if event == "FAILURE" else ()
    return tuple(each for each in recipients if event in (each.notify or default))


def plain(xtext: str) -> str:
    """What xtext (RFC 3461 section 4) stands for; what is no printable ASCII becomes `?`."""
    decoded = re.sub(r"\+([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), xtext)
    return re.sub(r"[^ -~]", "?", decoded)


def report(
    letter: Letter,
    key: UUID,
    raw: Blob,
    message_id: str,
    recipients: Sequence[Recipient],
    status: str,
    why: str,
    original: UUID | None = None,
) -> NewWork:
    """Work of telling the sender what became of his mail, for the Primary. `original`: where all of the mail
    is kept, if it goes back as a whole."""
    delivered = status.startswith("2")
    payload = {
        "kind": DELIVERED if delivered else FAILED,
        "to": letter.sender,
        "original_id": message_id,
        "recipients": [each.address for each in recipients],
        "original_recipients": [plain(each.original.partition(";")[2]) for each in recipients],
        "original_types": [each.original.partition(";")[0] for each in recipients],
        "status": status,
        "why": why,
        "headers": header_block(raw),
        "envid": plain(letter.envelope_id),
        "ret": letter.ret,
    }
    about = f"report {status} {' '.join(sorted(each.address for each in recipients))}"
    return NewWork(uuid5(key, about), Work.REPORT, SYSTEM, original, json.dumps(payload))


def receipt_address(letter: Letter, raw: Blob) -> str:
    """Who wants to know what becomes of a mail (RFC 8098 section 2.1): only on the sender's own system, since
    anybody's address could have been given. "" for nobody."""
    asked = header_values(raw, "Disposition-Notification-To")
    address = parseaddr(asked[0])[1] if len(asked) == 1 else ""
    return address if address and domain_of(address) == domain_of(letter.sender) else ""


def undecodable(letter: Letter, key: UUID, raw: Blob, message_id: str, to: str, why: str) -> NewWork:
    """Work of telling a sender who wants a receipt, but no report of failures, that his mail could not be
    read."""
    payload = {
        "kind": "mdn",
        "to": to,
        "original_id": message_id,
        "recipients": list(letter.addresses[:1]),
        "why": why,
        "disposition": "processed/error",
    }
    return NewWork(uuid5(key, "disposition"), Work.REPORT, SYSTEM, payload=json.dumps(payload))


def our_mail(report: Report, domains: Sequence[str]) -> UUID | None:
    """What of ours a report is about, by the Message-ID that we gave it: a message of OUTGOING, or the work
    of sending it. None for a mail that is not of these domains, ours."""
    found = OURS.fullmatch(report.about.strip("<> "))
    return UUID(found[1]) if found and found[2].lower() in domains else None
