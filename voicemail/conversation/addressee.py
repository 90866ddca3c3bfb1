"""Somebody to whom a message goes, as delivery understands it and as it is spoken of."""

from dataclasses import dataclass

from sip.call import Sound
from store.model import User
from voicemail.conversation.desk import Desk
from voicemail.policy.model import ClassOfService

NAME = "name"
"""Kind of the greeting that is a recorded name."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """Somebody, or a list, as delivery understands it (recipients.py) and as it is spoken of."""

    keys: tuple[str, ...]
    sounds: tuple[Sound, ...]


async def class_of(desk: Desk, user: User) -> ClassOfService:
    """What a user may do."""
    options = await desk.policies.options(user.id)
    return await desk.policies.get(ClassOfService, options.cos) or ClassOfService()
