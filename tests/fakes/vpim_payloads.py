"""What hostile callers and systems put into names, subjects and addresses, and where."""

from collections.abc import Callable

from tests.fakes.vpim_mails import ANN, BOB, SENT, full, wav
from voicemail.vpim.model import Person, Speech, VoiceMail

ENDS = ("\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029")
LINES = (
    "Bcc: eve@evil.example",
    "To: eve@evil.example",
    " folded\r\nCc: eve@evil.example",
    "\r\nContent-Type: text/html\r\n\r\n<b>Hi</b>",
    "--=_0_0193-11aa\r\nContent-Type: text/plain\r\n\r\nHi",
)
WORDS = (
    "=?utf-8?q?x=0D=0ABcc:_eve=40evil.example?=",
    "=?utf-8?B?eA0KQmNjOiBldmVAZXZpbC5leGFtcGxl?=",
    "==??utf-8?q?=0D=0ABcc:_eve=40evil.example?=",
    "=?utf-8?q?x?=\r\n =?utf-8?q?=0D=0ABcc:_eve?=",
    '" <eve@evil.example>, "',
    "\\",
    '\\" <eve@evil.example>, "',
    "Ann <eve@evil.example>",
    "Ann, eve@evil.example",
    "Ann; Bcc=eve@evil.example",
    "group: eve@evil.example;",
    "(eve@evil.example",
    "a>, <eve@evil.example",
    "\x00",
    "\ud800",
    "\x1b[2J",
    "\u202eelpmaxe",
    "x" * 5000,
    "ä" * 5000,
    "1001@vm.example.com\r\nBcc: eve@evil.example",
    '"\r\nBcc: eve@evil.example"@vm.example.com',
    '"a\\\r\nBcc: eve"@vm.example.com',
    "a@vm.example.com, eve@evil.example",
    "a@vm.example.com> <eve@evil.example",
)
PAYLOADS = [f"Ann{end}{line}" for end in ENDS for line in LINES] + list(WORDS)
OWN = Speech(wav(0.01), 0.01)
FIELDS: dict[str, Callable[[str], VoiceMail]] = {
    "sender name": lambda text: slim(sender=Person(ANN.address, text)),
    "sender address": lambda text: slim(sender=Person(text, "Ann")),
    "recipient name": lambda text: slim(to=(Person("2001@other.example.org", text),)),
    "recipient address": lambda text: slim(to=(Person(text, "Carl"),)),
    "subject": lambda text: slim(subject=text),
    "forwarded name": lambda text: slim(
        speech=(OWN, Speech(wav(0.01), 0.01, Person(BOB.address, text), SENT))
    ),
    "forwarded address": lambda text: slim(speech=(OWN, Speech(wav(0.01), 0.01, Person(text, "Bob"), SENT))),
    "receipt": lambda text: slim(receipt_to=text),
    "language": lambda text: slim(language=text),
    "message id": lambda text: slim(message_id=text),
    "reply to": lambda text: slim(reply_to=text),
}


def forwarded(sender: Person) -> Speech:
    return Speech(wav(0.01), 0.01, sender, SENT)


def slim(**changes: object) -> VoiceMail:
    """A full mail with hardly any sound: what is looked at is its headers."""
    usual = {"speech": (OWN, forwarded(BOB)), "spoken_name": None, "spoken_subject": None, "vcard": False}
    return full(**(usual | changes))
