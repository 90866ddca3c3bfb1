"""Whose lamps are where, pure.

Every edge shows phones the user's extension and his further numbers. On trunks a user has one lamp for each
that he names: "pbx" is his extension there, "pbx:2001" the lamp of 2001; who names none has his extension
on all. A number that two users want at one destination shows whose extension it is, else whose further
number, else who names it and comes first.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from store.model import User
from voicemail.config import Trunk


@dataclass(frozen=True, slots=True)
class Lamp:
    """What is sent is filed under this. The number belongs to it: a user who gets another one leaves
    a lamp behind that must go off."""

    mailbox: UUID
    number: str


def lamp_of(user: User) -> Lamp:
    """That of the user's extension."""
    return Lamp(user.id, user.extension)


class Destinations:
    """By lane: trunks that have lamps, and edges ("host:port")."""

    def __init__(self, trunks: Mapping[str, Trunk], edges: Mapping[str, str]) -> None:
        self.trunks, self.edges = trunks, edges

    def __iter__(self) -> Iterator[str]:
        yield from self.trunks
        yield from self.edges


class Directory:
    """Users, in the store's order, and further numbers with whose they are."""

    def __init__(self, users: Iterable[User] = (), further: Mapping[str, UUID] | None = None) -> None:
        self.users: dict[UUID, User] = {}
        self.further: dict[UUID, tuple[str, ...]] = {}
        self._further = dict(further or {})
        self._extensions: dict[str, UUID] = {}
        self._named: dict[tuple[str, str], list[UUID]] = {}
        for number, owner in sorted(self._further.items()):
            self.further[owner] = (*self.further.get(owner, ()), number)
        for user in users:
            self.add(user)

    def add(self, user: User) -> None:
        """One who was not known."""
        self.users[user.id] = user
        self._extensions.setdefault(user.extension, user.id)
        for entry in user.lamps:
            trunk, _, number = entry.partition(":")
            if number:
                self._named.setdefault((trunk, number), []).append(user.id)

    def numbers(self, user: User, lane: str, where: Destinations) -> tuple[str, ...]:
        """The user's lamps at one destination."""
        if trunk := where.trunks.get(lane):
            if not user.lamps:
                return (user.extension,)
            named = (entry.partition(":") for entry in user.lamps)
            return tuple(number or user.extension for name, _, number in named if name == trunk.name)
        return (user.extension, *self.further.get(user.id, ())) if lane in where.edges else ()

    def owner(self, lane: str, number: str, where: Destinations) -> UUID | None:
        """Whose state this lamp shows; None: nobody's, so it must be off."""
        trunk = where.trunks.get(lane)
        wanting = [self._extensions.get(number), self._further.get(number)]
        wanting += self._named.get((trunk.name, number), ()) if trunk else ()
        for each in wanting:
            if each and (user := self.users.get(each)) and number in self.numbers(user, lane, where):
                return each
        return None

    def places(self, user: User, where: Destinations) -> Iterator[tuple[str, Lamp]]:
        """All lamps that show this user's state."""
        for lane in where:
            for number in self.numbers(user, lane, where):
                if self.owner(lane, number, where) == user.id:
                    yield lane, Lamp(user.id, number)

    def lamps(self, lane: str, where: Destinations) -> Iterator[Lamp]:
        """All lamps of a destination."""
        for user in self.users.values():
            for number in self.numbers(user, lane, where):
                if self.owner(lane, number, where) == user.id:
                    yield Lamp(user.id, number)

    def having(self, number: str) -> User | None:
        """Who has this number, as extension or further one."""
        owner = self._extensions.get(number) or self._further.get(number)
        return self.users.get(owner) if owner else None


def changed(before: Directory, after: Directory, where: Destinations) -> frozenset[tuple[str, Lamp]]:
    """The lamps to be set because users came, went, or were given other numbers or lamps. One that nobody
    has any longer is named with him who had it."""

    def about(directory: Directory, user_id: UUID) -> object:
        user = directory.users.get(user_id)
        return user and (user.extension, user.lamps, directory.further.get(user_id))

    moved = {
        user_id
        for user_id in before.users.keys() | after.users.keys()
        if about(before, user_id) != about(after, user_id)
    }
    wanted = {
        (lane, number): user_id
        for directory in (before, after)
        for user_id in moved & directory.users.keys()
        for lane in where
        for number in directory.numbers(directory.users[user_id], lane, where)
    }
    return frozenset(
        (lane, Lamp(after.owner(lane, number, where) or last, number))
        for (lane, number), last in wanted.items()
    )
