"""How long messages are kept."""

from typing import ClassVar

from pydantic import Field

from voicemail.policy.base import Policy


class Aging(Policy):
    """Days until a message goes on to the next folder; 0 never. One setting, "default"."""

    KIND: ClassVar[str] = "aging"
    new_to_saved: int = Field(0, ge=0)
    saved_to_deleted: int = Field(0, ge=0)
    deleted_to_gone: int = Field(14, ge=0)
    mail_before: int = Field(0, ge=0, le=365)
    """So many days before a message is deleted, or gone, its owner is told by mail; 0 never
    (primary/forewarnings.py)."""
    secure_after: int = Field(0, ge=0)
    """Days after which a message is secure; 0 never (secrecy.py)."""
    secure_when_heard: bool = False
    """And from when it was heard on, as long as it is not marked as new."""
