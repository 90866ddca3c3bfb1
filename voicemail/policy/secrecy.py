"""Messages become secure by age, or by being heard, where the policy `Aging` says so: from then on they do
not leave the store (functions.md section 4). Nothing is written for that: it follows from the message each
time, alike on all nodes."""

from dataclasses import replace
from datetime import datetime, timedelta

from store.model import Folder, Message
from voicemail.policy.keeping import Aging


def as_it_is_now(message: Message, aging: Aging, now: datetime) -> Message:
    """The message, secure if it has become so. `now` has a time zone."""
    if message.envelope.secure or not (_by_age(message, aging, now) or _by_touch(message, aging)):
        return message
    return replace(message, envelope=replace(message.envelope, secure=True))


def _by_age(message: Message, aging: Aging, now: datetime) -> bool:
    return aging.secure_after > 0 and message.recorded + timedelta(days=aging.secure_after) <= now


def _by_touch(message: Message, aging: Aging) -> bool:
    return aging.secure_when_heard and message.folder is not Folder.NEW
