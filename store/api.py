"""What the store offers. Two implementations pass the same tests: postgres.py and memory.py.

Every call raises `Unavailable` when the database does not answer within its bound (500 ms to
connect, 5 s a statement; a deposit waits at most `wait` for the peer).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from store.model import (
    Attempt,
    Counts,
    Deposit,
    Folder,
    Greeting,
    Mark,
    Message,
    NewMessage,
    Notice,
    OutboxItem,
    PinPolicy,
    Told,
    User,
    Work,
)


class Users(Protocol):
    async def by_extension(self, extension: str) -> User | None:
        """The user with this extension, None when there is none. When both nodes gave it away during
        a cut, the user with the lower id has it, on both nodes, until an operator changes one."""

    async def get(self, user_id: UUID) -> User | None: ...

    async def all(self) -> Sequence[User]:
        """All users, by extension."""

    async def add(self, user: User) -> None:
        """Raises Conflict when the extension is in use."""

    async def change(self, user: User) -> None:
        """Replace the settings of `user.id`; the newest change over both nodes wins.
        Raises NotFound, Conflict (the extension is in use)."""

    async def remove(self, user_id: UUID) -> None:
        """Marks as deleted. Raises NotFound. Messages stay until purged."""

    async def greeting(self, user_id: UUID, kind: str = "standard") -> bytes | None:
        """The recorded greeting, a WAV file; None when the user has none."""

    async def greeting_unless(self, user_id: UUID, version: str, kind: str = "standard") -> Greeting | None:
        """As `greeting`, but without the audio when it is still of this version."""

    async def set_greeting(self, user_id: UUID, audio: bytes | None, kind: str = "standard") -> None:
        """Replace the recorded greeting; None takes it away."""


class Messages(Protocol):
    async def deposit(self, message: NewMessage, audio: bytes, *, wait: float = 1.0) -> Deposit:
        """Keep a message and its outbox rows (lamp; mail if the user wants it) in one transaction,
        on both nodes while the peer is up, waiting for the peer's disk `wait` seconds at most.
        Repeating it with the same id adds nothing."""

    async def listing(self, mailbox_id: UUID, *folders: Folder) -> Sequence[Message]:
        """Urgent first, then oldest first (new) within each folder; all folders when none is given."""

    async def get(self, message_id: UUID) -> Message | None: ...

    async def audio(self, message_id: UUID) -> bytes:
        """The WAV file. Raises NotFound."""

    async def mark(self, message_id: UUID, mark: Mark) -> None:
        """Record what happened to it, with an outbox row for the lamp, in one local transaction."""

    async def counts(self, mailbox_id: UUID) -> Counts: ...

    async def all_ids(self) -> Sequence[UUID]:
        """Ids of all messages held here, deleted or not: to compare nodes."""


class SignIns(Protocol):
    async def begin(self, user_id: UUID, policy: PinPolicy, now: datetime) -> Attempt:
        """Count an attempt, commit it (on both nodes while the peer is up), then say whether the PIN
        may be compared. While sign-in is locked nothing is counted, so the lock is not prolonged."""

    async def succeeded(self, attempt: Attempt) -> None:
        """The PIN was right: earlier failures no longer count."""

    async def locked_until(self, user_id: UUID, policy: PinPolicy, now: datetime) -> datetime | None:
        """When sign-in opens again; None when it is open."""

    async def unlock(self, user_id: UUID) -> None:
        """An administrator forgives the failures."""


class Outbox(Protocol):
    """Work for the Primary. Its `epoch` goes with every claim and every result; the store refuses one
    that is older than the newest it was shown (raises Fenced), so that a node that slept through a
    takeover does none of its old duties."""

    async def fence(self, epoch: int) -> None:
        """Show the store an epoch (local to this node's database)."""

    async def due(self, now: datetime, epoch: int, limit: int = 100) -> Sequence[OutboxItem]:
        """Work not done and not postponed, oldest first."""

    async def done(self, item: OutboxItem, result: str, epoch: int) -> None: ...

    async def postpone(self, item: OutboxItem, until: datetime, why: str) -> None:
        """Try again at `until`; raises the item's `attempts` by one."""

    async def pending(self) -> int:
        """How much is left to do."""

    async def waiting(self) -> Mapping[Work, tuple[int, int]]:
        """By kind: how much is left to do, and how much of it was tried in vain here."""

    async def alarm(self, notice: Notice, now: datetime) -> Told:
        """Have the administrator told by mail. That an alarm stands (or happened) is told at most once an
        hour by each node, that it is over once after each."""

    async def standing(self) -> Sequence[str]:
        """Alarms of which this node has told last that they stand."""

    async def next_due(self) -> datetime | None:
        """When the first postponed item comes up; None when nothing is postponed."""


class Store(Protocol):
    @property
    def users(self) -> Users: ...
    @property
    def messages(self) -> Messages: ...
    @property
    def sign_ins(self) -> SignIns: ...
    @property
    def outbox(self) -> Outbox: ...

    async def agree(self, schema: int) -> int:
        """All nodes have this version of the schema (features.agreed), so what came with it may be written
        from now on. Gives the newest that was agreed; it never goes back."""

    def changes(self) -> AsyncIterator[str]:
        """Yields the name of a table ("message", "outbox", "user_account" …) whenever rows of it
        arrive, from here or from the peer; several changes may be told as one. Reconnects by itself
        and then yields "" (anything may have changed)."""
