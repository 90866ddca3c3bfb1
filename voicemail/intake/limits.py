"""What classes of service let mails do, as they let calls: how full a mailbox may be, how long a recording.

An outside sender's recording is bound by the class of each mailbox that it is for (`longest_from_outside`), a
user's by his own (`longest_message`). What was forwarded counts for itself, as it does on the telephone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from store.api import Store
from store.model import copy_id
from voicemail.policy.book import class_of, classes_of, options_of_all
from voicemail.policy.listening import Sort
from voicemail.policy.model import ClassOfService
from voicemail.policy.quota import QuotaState, state_of
from voicemail.vpim.model import Person, Unreadable, VoiceMail

TAKES_NONE, FULL, TOO_LONG = "5.2.1", "5.2.2", "5.2.3"
"""Enhanced status codes (RFC 3463)."""
OWN_FULL = "your own mailbox is full: delete messages before you send any"
Speaker = tuple[Person, datetime | None] | None
"""Of a mail that was forwarded, or None: the sender of the mail itself."""
SLACK = 1.0
"""Seconds that a recording may be longer: codecs and players round up."""


async def is_full(store: Store, mailbox: UUID) -> bool:
    """Whether a mailbox takes no more. Raises store errors."""
    quota = (await class_of(store, mailbox)).quota
    return await state_of(store, mailbox, quota) is QuotaState.NO_RECEIVE


async def may_send(store: Store, user: UUID) -> bool:
    """Whether a user's mailbox lets him send. Raises store errors."""
    quota = (await class_of(store, user)).quota
    return await state_of(store, user, quota) not in (QuotaState.NO_SEND, QuotaState.NO_RECEIVE)


async def barred(store: Store, user: UUID, mail: VoiceMail) -> Unreadable | None:
    """Why a user may not send this to anybody; None when he may. Raises store errors."""
    if not await may_send(store, user):
        return Unreadable(OWN_FULL, FULL)
    longest, spoken = (await class_of(store, user)).longest_message, _lengths(mail).get(None, 0.0)
    if spoken > longest + SLACK:
        return Unreadable(f"it is longer than the {longest:.0f} seconds that you may send", TOO_LONG)
    return None


async def refusing(
    store: Store, message_id: UUID, mailboxes: Sequence[UUID], mail: VoiceMail, outside: bool
) -> Mapping[UUID, str]:
    """Mailboxes that do not take it, with the code of the report; none that has it from an earlier try.
    Raises store errors."""
    stretch = max(_lengths(mail).values(), default=0.0) if outside else 0.0
    refused, options = {}, await options_of_all(store, mailboxes)
    for box, cos in (await classes_of(store, mailboxes)).items():
        takes_none = Sort.VOICE in options[box].rejects
        status = TAKES_NONE if takes_none else await _refusal(store, box, cos, stretch)
        if status and not await store.messages.get(copy_id(message_id, box)):
            refused[box] = status
    return refused


async def _refusal(store: Store, box: UUID, cos: ClassOfService, stretch: float) -> str:
    if stretch > cos.longest_from_outside + SLACK:
        return TOO_LONG
    return FULL if await state_of(store, box, cos.quota) is QuotaState.NO_RECEIVE else ""


def _lengths(mail: VoiceMail) -> Mapping[Speaker, float]:
    """Seconds that each spoke."""
    spoken: dict[Speaker, float] = {}
    for each in mail.speech:
        speaker = (each.sender, each.sent) if each.sender else None
        spoken[speaker] = spoken.get(speaker, 0.0) + each.seconds
    return spoken
