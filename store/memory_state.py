"""The rows of the store in memory, which its parts share (memory.py)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from store.errors import Unavailable
from store.features import SCHEMA
from store.ids import HybridClock, uuid7
from store.lockout import SignInEvent
from store.model import Mark, Message, OutboxItem, Setting, User, Work


@dataclass
class Postponed:
    """What is known of an item's tries."""

    attempts: int = 0
    until: datetime | None = None
    why: str = ""


@dataclass
class State:
    """All rows, and whether calls fail: `away` makes every one raise Unavailable."""

    node: int = 1
    away: bool = False
    copies: int = 1
    clock: HybridClock = field(default_factory=HybridClock)
    users: dict[UUID, User] = field(default_factory=dict)
    settings: dict[UUID, Setting] = field(default_factory=dict)
    greetings: dict[tuple[UUID, str], bytes] = field(default_factory=dict)
    messages: dict[UUID, tuple[Message, bytes]] = field(default_factory=dict)
    marks: dict[UUID, set[Mark]] = field(default_factory=dict)
    since: dict[UUID, datetime] = field(default_factory=dict)
    """When a message was last marked."""
    sign_ins: dict[UUID, list[SignInEvent]] = field(default_factory=dict)
    outbox: dict[UUID, OutboxItem] = field(default_factory=dict)
    done: dict[UUID, str] = field(default_factory=dict)
    postponed: dict[UUID, Postponed] = field(default_factory=dict)
    epoch: int = 0
    schema: int = SCHEMA
    """What was agreed."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """When messages are marked and shown; tests set it."""
    peer: asyncio.Event | None = None
    """Set when the peer has what was done, for those who wait for that; None: at once."""
    listeners: list["asyncio.Queue[str]"] = field(default_factory=list)

    stamps: dict[UUID, int] = field(default_factory=dict)
    """When each setting was put, by the hybrid clock."""

    def put(self, setting: Setting) -> None:
        self.settings[setting.id] = setting
        self.stamps[setting.id] = self.clock.now()

    def check(self) -> None:
        if self.away:
            raise Unavailable("the store is away")

    def tell(self, *tables: str) -> None:
        for listener in self.listeners:
            for table in tables:
                listener.put_nowait(table)

    def add_work(self, kind: Work, mailbox_id: UUID, message_id: UUID, until: datetime | None = None) -> None:
        """`until`: not before then."""
        item = OutboxItem(uuid7(), kind, mailbox_id, message_id, datetime.now(UTC))
        self.outbox[item.id] = item
        if until:
            self.postponed[item.id] = Postponed(0, until)
