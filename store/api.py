"""What the store offers. Two implementations pass the same tests: postgres.py and memory.py.

Every call raises `Unavailable` when the database does not answer within its bound (500 ms to
connect, 5 s a statement; a deposit waits at most `wait` for the peer).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from store.blob import Blob
from store.dispatch import Dispatch
from store.model import (
    FIRST,
    Answer,
    Counts,
    Deposit,
    Folder,
    Greeting,
    Mark,
    Message,
    NewMessage,
    NewWork,
    Notice,
    OutboxItem,
    Outcome,
    Ripening,
    Setting,
    Told,
    User,
    Waiting,
    Work,
)
from store.signing_in import Attempt, Look, PinPolicy


class Users(Protocol):
    async def by_extension(self, extension: str) -> User | None:
        """The user with this extension, or this alternate extension (a setting of kind
        "alternate_extension", named by the number, {"user": id}); None when there is none. When both nodes
        gave it away during a cut, the user with the lower id has it on both, until an operator changes
        one."""

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
    async def deposit(self, message: NewMessage, audio: Blob, *, wait: float = 1.0) -> Deposit:
        """Keep a message and its outbox rows (lamp; mail if the user wants it) in one transaction,
        on both nodes while the peer is up, waiting for the peer's disk `wait` seconds at most.
        Repeating it with the same id adds nothing."""

    async def send(
        self, message: NewMessage, mailboxes: Sequence[UUID], audio: Blob, *, wait: float = 1.0
    ) -> Deposit:
        """Deposit one recording in many mailboxes, in one transaction; `message.mailbox_id` is not used.
        The message in each has an id of its own, made of `message.id` and the mailbox's (`copy_id`); the
        audio is kept once. Work for lamps and mails is due at `envelope.deliver_at` where that is set.
        Repeating it adds nothing."""

    async def size(self, mailbox_id: UUID) -> int:
        """Bytes of audio in the mailbox, deleted messages included, purged ones not."""

    async def mailboxes(self, after: UUID = FIRST, most: int = 500) -> Sequence[UUID]:
        """Those that have or had messages, by id: the first ones behind `after`."""

    async def aged(
        self, mark: Mark, before: datetime, mailboxes: Sequence[UUID], limit: int = 1000
    ) -> Sequence[Message]:
        """Messages in these mailboxes that have stood since before a moment as this mark leaves out: for READ
        the new ones, for DELETE the saved ones, for PURGE the deleted ones; oldest first (aging)."""

    async def ripening(
        self, saved: datetime | None, deleted: datetime | None, after: UUID = FIRST, most: int = 1000
    ) -> Sequence[Ripening]:
        """Of each user who has a mail address, by id, the first ones behind `after`: how many saved and how
        many deleted messages have stood as such since before a moment (None: none is counted), as `aged`
        finds them. Also of those who have none; nothing behind the last."""

    async def sent(self, sender_id: UUID, after: datetime) -> Sequence[Message]:
        """What a user has sent that is to be delivered later than `after`, to be listed and cancelled."""

    async def listing(self, mailbox_id: UUID, *folders: Folder) -> Sequence[Message]:
        """Urgent first, then oldest first (new) within each folder; all folders when none is given.
        Neither purged messages nor such as are to be delivered later, nor dispatch messages that the
        mailbox does not hold (store/dispatch.py): these are not counted, sized or found either."""

    async def get(self, message_id: UUID) -> Message | None: ...

    async def audio(self, message_id: UUID) -> bytes:
        """The WAV file. Raises NotFound."""

    async def mark(self, message_id: UUID, mark: Mark) -> None:
        """Record what happened to it, with an outbox row for the lamp, in one local transaction."""

    async def counts(self, mailbox_id: UUID) -> Counts: ...

    async def all_ids(self) -> Sequence[UUID]:
        """Ids of all messages held here, deleted or not: to compare nodes."""


class Dispatches(Protocol):
    """Answers to dispatch messages: who accepted or declined his copy (store/dispatch.py)."""

    async def answer(self, message_id: UUID, answer: Answer) -> Outcome:
        """For the owner of this copy, with outbox rows for the lamps of all who have one, in one local
        transaction. Raises NotFound for what is no dispatch, or none any more; NotYet while the other node
        has an older release."""

    async def all(self) -> Sequence[Dispatch]:
        """Those that somebody has answered, until they are forgotten."""

    async def stamp(self) -> object:
        """Another one when there are other answers. Cheap."""

    async def left_over(self, before: datetime, limit: int = 1000) -> Sequence[UUID]:
        """Copies that their owners do not hold, of dispatches answered before a moment (aging)."""

    async def forget(self, dispatch: Dispatch) -> None:
        """Take its answers away: no copy of it is left. Raises Unavailable."""


class Settings(Protocol):
    """Policies and options, by kind and name. Most kinds are small: read whole and kept by their users, who
    are woken by `changes` ("setting"). Of the others a few are asked for."""

    async def get(self, kind: str, name: str, owner: UUID | None = None) -> Setting | None: ...

    async def all(self, kind: str = "", owner: UUID | None = None) -> Sequence[Setting]:
        """By kind and name: the system's, or a user's. Every kind when none is given."""

    async def first(self, kinds: Sequence[str], many: Sequence[str] = (), most: int = 0) -> Sequence[Setting]:
        """By kind and name: all the system's of these `kinds`, and of each of `many` the first `most`."""

    async def named(self, kind: str, names: Sequence[str]) -> Sequence[Setting]:
        """By name: the system's of one kind that have these names."""

    async def owned(self, kind: str) -> Sequence[Setting]:
        """Those of one kind of all users, by owner and name."""

    async def page(self, kind: str, after: str = "", most: int = 1000) -> Sequence[Setting]:
        """The system's of one kind, by name: the first ones behind that name."""

    async def count(self, kind: str) -> int:
        """How many of one kind the system has."""

    async def numbered(self, kind: str, extension: str) -> Sequence[Setting]:
        """The system's of one kind whose body has this `extension`, by name."""

    async def spelled(self, kind: str, keys: str, most: int) -> Sequence[Setting]:
        """The system's of one kind whose body has, as first or second of its `keys`, one that begins with
        these digits, by name; of more than `most` it is not said which."""

    async def put(self, setting: Setting) -> None:
        """Add or replace. The newest over both nodes wins."""

    async def remove(self, kind: str, name: str, owner: UUID | None = None) -> None:
        """Raises NotFound."""


class SignIns(Protocol):
    async def look(self, user_id: UUID, of: UUID, policy: PinPolicy, now: datetime) -> Look:
        """The glance at the user `of`, whose attempts are counted under `user_id`. Counts nothing: to be
        asked for while the caller types."""

    async def begin(
        self,
        user_id: UUID,
        policy: PinPolicy,
        now: datetime,
        *,
        of: UUID | None = None,
        look: Look | None = None,
    ) -> Attempt:
        """Count an attempt, commit it (on both nodes while the peer is up), then say whether the PIN
        may be compared, with the glance at the user `of` as he is then. While sign-in is locked nothing is
        counted; with a `look` that saw it open, what began to be locked since then is counted, too. Either
        way the lock is not prolonged."""

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

    async def done(self, item: OutboxItem, result: str, epoch: int, *, wait: float = 0.0) -> None:
        """Recorded here when it returns; with `wait` also on the peer's disk while the peer is up, but it
        returns after so many seconds at the latest. Doing it twice changes nothing."""

    async def postpone(self, item: OutboxItem, until: datetime, why: str) -> None:
        """Try again at `until`; raises the item's `attempts` by one."""

    async def pending(self) -> int:
        """How much is left to do."""

    async def waiting(self) -> Mapping[Work, tuple[int, int]]:
        """By kind: how much is left to do, and how much of it was tried in vain here."""

    async def add(self, work: Sequence[NewWork]) -> None:
        """Write work, all in one transaction; what is there already (by id), done or not, stays as it is.
        Raises NotYet while the other node has an older release, Unavailable."""

    async def listed(self, limit: int = 1000) -> Sequence[Waiting]:
        """Work that is not done, oldest first, postponed or not."""

    async def message_of(self, item_id: UUID) -> UUID | None:
        """The message that a piece of work, done or not, is about; None for no such work."""

    async def get(self, item_id: UUID) -> OutboxItem | None:
        """A piece of work, done or not; None for no such work, and for a kind that only a newer release
        knows."""

    async def owing(self, kind: Work, message_id: UUID | None = None) -> Mapping[UUID, UUID]:
        """Work of a kind that is not done and is about a message (this one, or any): which, by its id."""

    async def result(self, item_id: UUID) -> str | None:
        """How it ended; None while it is not done."""

    async def drop(self, item_id: UUID, result: str) -> bool:
        """An administrator gives it up; needs no epoch. False when it was done already, or never there."""

    async def hurry(self, items: Sequence[UUID]) -> int:
        """Try these now, if they were tried before; how many that were. What is known of tries is each
        node's own: to be called on the Primary's store."""

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
    def dispatches(self) -> Dispatches: ...
    @property
    def settings(self) -> Settings: ...
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
