"""All policies and users at once, for the command line. In a call, `book.Policies` is used."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

from store.api import Store
from store.model import Setting, User
from voicemail.policy.base import Policy
from voicemail.policy.book import OPTIONS, parsed
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.devices import Device
from voicemail.policy.kinds import KINDS
from voicemail.policy.locations import Contact
from voicemail.policy.model import UserOptions

P = TypeVar("P", bound=Policy)
ALTERNATE = "alternate_extension"
"""Kind of the settings by which a user has further numbers (store.api.Users.by_extension)."""
OWN = "own_extension"
"""Kind of the settings, owned by a user and named by the number, of those that he has given himself."""


@dataclass(frozen=True, slots=True)
class House:
    """Everything that is set. `users` by extension, `alternates` whose each further number is."""

    policies: Mapping[str, Mapping[str, Policy]] = field(default_factory=dict)
    users: Mapping[str, User] = field(default_factory=dict)
    alternates: Mapping[str, UUID] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    """Those of `alternates` that users have given themselves."""
    options: Mapping[UUID, UserOptions] = field(default_factory=dict)
    devices: Mapping[UUID, Mapping[str, Device]] = field(default_factory=dict)
    damaged: frozenset[tuple[str, str]] = frozenset()
    """Kind and name of settings that cannot be read."""

    def all(self, kind: type[P]) -> Mapping[str, P]:
        """By name, supplied ones included."""
        own: Any = self.policies.get(kind.KIND, {})
        return {**BUILT_IN.get(kind, {}), **own}

    def plus(self, name: str, policy: Policy) -> "House":
        """As it is once this is set."""
        own = {**self.policies.get(policy.KIND, {}), name: policy}
        return replace(self, policies={**self.policies, policy.KIND: own})

    def owner_of(self, number: str) -> User | None:
        """Who has this number, as his extension or a further one."""
        if user := self.users.get(number):
            return user
        user_id = self.alternates.get(number)
        return next((each for each in self.users.values() if each.id == user_id), None) if user_id else None


async def look(store: Store, contacts: bool = True) -> House:
    """All there is now, or all but contacts, of which there may be very many. Raises Unavailable."""
    wanted = [each.KIND for each in KINDS if contacts or each is not Contact]
    policies, damaged = _read(await store.settings.first(wanted))
    users = {user.extension: user for user in reversed(await store.users.all())}
    return House(
        policies,
        users,
        *await _alternates(store),
        await _options(store),
        await _devices(store),
        frozenset(damaged),
    )


def with_contacts(house: House, found: Sequence[Setting]) -> House:
    """As if these had been looked at, too."""
    policies, damaged = _read(found)
    own = {**house.policies.get(Contact.KIND, {}), **policies.get(Contact.KIND, {})}
    there = {**house.policies, Contact.KIND: own}
    return replace(house, policies=there, damaged=house.damaged | damaged)


def _read(found: Sequence[Setting]) -> tuple[dict[str, dict[str, Policy]], set[tuple[str, str]]]:
    """Policies by kind and name; kind and name of those that are damaged."""
    policies: dict[str, dict[str, Policy]] = {}
    damaged = set()
    known = {kind.KIND: kind for kind in KINDS}
    for setting in found:
        if kind := known.get(setting.kind):
            if policy := parsed(kind, setting):
                policies.setdefault(setting.kind, {})[setting.name] = policy
            else:
                damaged.add((setting.kind, setting.name))
    return policies, damaged


async def _alternates(store: Store) -> tuple[dict[str, UUID], frozenset[str]]:
    found = await store.settings.all(ALTERNATE)
    owners = {each.name: UUID(json.loads(each.body)["user"]) for each in found}
    return owners, frozenset(each.name for each in found if is_own(each, owners[each.name]))


def is_own(alternate: Setting, user_id: UUID) -> bool:
    """Whether a user has given himself this further number. False for what is damaged."""
    try:
        said = json.loads(alternate.body)
        return bool(said.get("own") is True and said.get("user") == str(user_id))
    except (ValueError, AttributeError):
        return False


async def _options(store: Store) -> dict[UUID, UserOptions]:
    found = [each for each in await store.settings.owned(UserOptions.KIND) if each.name == OPTIONS]
    return {each.owner: read for each in found if each.owner and (read := parsed(UserOptions, each))}


async def _devices(store: Store) -> dict[UUID, dict[str, Device]]:
    found: dict[UUID, dict[str, Device]] = {}
    for each in await store.settings.owned(Device.KIND):
        if each.owner and (read := parsed(Device, each)):
            found.setdefault(each.owner, {})[each.name] = read
    return found
