"""What is counted when somebody signs in, and what is read of him then."""

from dataclasses import dataclass
from uuid import UUID

from store.model import Counts, Setting, User


@dataclass(frozen=True, slots=True)
class PinPolicy:
    """How many wrong PINs lock sign-in, counted over both nodes."""

    failures: int = 3
    window_minutes: int = 30
    lock_minutes: int = 30
    per_source: int = 20
    """The same for all mailboxes together, from one number or host."""
    per_trunk: int = 200
    """And from one trunk."""


@dataclass(frozen=True, slots=True)
class Glance:
    """All that is wanted of a user who signs in, as it was at one moment."""

    user: User
    options: Setting | None = None
    """What the user has set (kind "user_options")."""
    name: str = ""
    """The version of the recorded name; "" for none."""
    size: int = 0
    """Bytes of audio in the mailbox, as Messages.size says."""
    counts: Counts = Counts()
    reports: int = 0
    """How many of the new messages are reports."""
    broadcasts: bool = False
    """Whether the system's mailbox holds anything."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen while a PIN is typed, before its attempt: None where there is no such user."""

    glance: Glance | None
    open: bool
    """No lock held at that moment."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in attempt, committed before the PIN is compared.

    `allowed` is False when the attempts of both nodes within the window leave none: then the PIN
    must not be compared at all.
    """

    id: UUID
    user_id: UUID
    """Under which it is counted."""
    allowed: bool
    glance: Glance | None = None
    """Read after the commit, where it was asked for and the attempt is allowed."""
