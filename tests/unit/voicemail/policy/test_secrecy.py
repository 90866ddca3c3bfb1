"""When a message has become secure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from store.model import Envelope, Folder, Message
from voicemail.policy.keeping import Aging
from voicemail.policy.secrecy import as_it_is_now

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
MESSAGE = Message(UUID(int=1), UUID(int=2), "", "", NOW, 1.0, False, False, Folder.NEW, 1)


@pytest.mark.parametrize(
    ("aging", "days", "folder", "secure"),
    [
        (Aging(), 999, Folder.SAVED, False),
        (Aging(secure_after=7), 6.9, Folder.SAVED, False),
        (Aging(secure_after=7), 7, Folder.NEW, True),
        (Aging(secure_when_heard=True), 999, Folder.NEW, False),
        (Aging(secure_when_heard=True), 0, Folder.SAVED, True),
        (Aging(secure_when_heard=True), 0, Folder.DELETED, True),
    ],
)
def test_a_message_becomes_secure_by_age_or_by_being_heard(
    aging: Aging, days: float, folder: Folder, secure: bool
) -> None:
    message = replace(MESSAGE, recorded=NOW - timedelta(days=days), folder=folder)
    assert as_it_is_now(message, aging, NOW) == replace(message, envelope=Envelope(secure=secure))


def test_a_secure_message_stays_so() -> None:
    message = replace(MESSAGE, envelope=Envelope(secure=True))
    assert as_it_is_now(message, Aging(), NOW) is message
