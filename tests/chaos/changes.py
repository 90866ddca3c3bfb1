"""What users and operators change on both nodes, in a cut too: the same messages, PINs, greetings, users.

Each side works through its own store, by itself, so in a cut the two disagree about everything.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from store.api import Store
from store.errors import Conflict, NotFound, Unavailable
from store.ids import uuid7
from store.model import Mark, NewMessage, User

QUIET = tuple(str(number) for number in range(3001, 3006))
"""Nobody calls them; their messages are only read and deleted."""
MESSAGES = 6
"""Of each of them."""


async def make(store: Store, recording: bytes) -> list[UUID]:
    """The quiet mailboxes and their messages; without mail. The users' ids."""
    users = []
    for extension in QUIET:
        user = User(uuid7(), extension, f"User {extension}")
        await store.users.add(user)
        users.append(user.id)
        for number in range(MESSAGES):
            message = NewMessage(uuid7(), user.id, f"old{number}", "", datetime.now(UTC), 3.0)
            await store.messages.deposit(message, recording)
    return users


class Changes:
    """What one side does, a change every `pause` seconds until cancelled. `made` counts them by kind."""

    def __init__(self, store: Store, side: int, seed: int, users: Sequence[UUID], recording: bytes) -> None:
        self.store, self.side, self.users, self.recording = store, side, users, recording
        self.random = random.Random(f"{seed} {side}")
        self.made = {"mark": 0, "pin": 0, "greeting": 0, "user": 0, "shared extension": 0, "failed": 0}
        self.added = 0
        self.gave: set[str] = set()
        """Extensions that people got here."""

    async def run(self, pause: float = 0.25) -> None:
        kinds = {"mark": self.mark, "pin": self.pin, "greeting": self.greeting, "user": self.user}
        while True:
            kind = self.random.choices(list(kinds), (12, 3, 2, 1))[0]
            try:
                await kinds[kind]()
                self.made[kind] += 1
            except (Unavailable, NotFound):
                self.made["failed"] += 1
            await asyncio.sleep(pause)

    async def mark(self) -> None:
        listing = await self.store.messages.listing(self.random.choice(self.users))
        await self.store.messages.mark(self.random.choice(listing).id, self.random.choice(list(Mark)))

    async def pin(self) -> None:
        if user := await self.store.users.get(self.random.choice(self.users)):
            changed = replace(user, pin_hash=f"{self.side}-{self.random.random()}")
            with suppress(Conflict):
                await self.store.users.change(changed)

    async def greeting(self) -> None:
        sound = self.random.choice((None, self.recording + bytes((self.side,))))
        await self.store.users.set_greeting(self.random.choice(self.users), sound)

    async def user(self) -> None:
        """New people; in a cut both sides may give the same extension away."""
        self.added += 1
        extension = str(4000 + self.added) if self.added % 2 else f"{self.side}{5000 + self.added}"
        try:
            await self.store.users.add(User(uuid7(), extension, f"Added by {self.side}"))
            self.gave.add(extension)
        except Conflict:
            self.made["shared extension"] += 1
