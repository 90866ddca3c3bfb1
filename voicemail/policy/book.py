"""Policies by name, read from the store and kept; what the store has not is built in (`builtin.py`).

One per worker. While the store is away, what was read last goes on to hold, and else the defaults: a call
never ends for want of a policy.

Of the kinds of which there may be very many (MANY) only the first are read again and again; of a house that
has more, the others are asked for one by one.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import structlog
from pydantic import ValidationError

from store.api import Store
from store.errors import StoreError, Unavailable
from store.model import Setting
from voicemail.names import spelled
from voicemail.policy.base import Policy
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.interview import Interview
from voicemail.policy.keeping import Aging
from voicemail.policy.key_map import KeyMap
from voicemail.policy.locations import Location
from voicemail.policy.model import (
    CallHandler,
    ClassOfService,
    Holidays,
    Members,
    PinRules,
    RestrictionTable,
    RoutingRule,
    Schedule,
    Undeliverable,
    UserOptions,
)

log = structlog.get_logger()
P = TypeVar("P", bound=Policy)

WITHIN = 0.7
"""Seconds a call waits for the store."""
FRESH = timedelta(seconds=2)
"""How long the system's policies are used without looking again."""
JUST_NOW = timedelta(milliseconds=300)
"""How long a user's options are used without looking again: while somebody signs in, they are asked for
half a dozen times."""
OPTIONS = "options"
MANY_USERS = 20
"""Users from which on the options of all are read instead of each's."""
FEW: tuple[type[Policy], ...] = (
    Schedule, Holidays, RoutingRule, RestrictionTable, PinRules, ClassOfService, Aging, Undeliverable,
    Location, KeyMap,
)  # fmt: skip
MANY: tuple[type[Policy], ...] = (CallHandler, Interview, Members)
FIRST = 300
"""Of each of these so many."""
MOST_SPELLED = 20
"""So many whose names begin alike: more than anybody would listen to."""
MOST_ASKED = 1000
"""Answers that are kept of what was asked one by one."""


class Policies:
    """`now` gives the time with time zone."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._read_at: datetime | None = None
        self._refreshing = asyncio.Lock()
        """One call reads for all that have found them old at the same moment."""
        self._system: Mapping[tuple[str, str], Setting] = {}
        self._read: dict[tuple[str, str], tuple[Setting, Any]] = {}
        self._whole: dict[type[Policy], Mapping[str, Any]] = {}
        self._more: frozenset[str] = frozenset()
        """Kinds of which there are more than the first."""
        self._asked: dict[tuple[str, str, str], tuple[datetime, Sequence[Setting]]] = {}
        """When, and what, the store last answered to (kind, "name", "number" or "keys", which)."""
        self._options: dict[UUID, UserOptions] = {}
        self._looked: dict[UUID, datetime] = {}
        """When they were read or written last."""
        self._guessed: set[UUID] = set()
        """Whose options could not be read lately: what was given out for them must not be written back."""

    async def get(self, kind: type[P], name: str) -> P | None:
        """The system's policy of this name; None when there is none, not even built in."""
        await self._refresh()
        policy: P | None = None
        if found := self._system.get((kind.KIND, name)):
            policy = self._parsed(kind, found)
        elif kind.KIND in self._more:
            policy = next((parsed(kind, each) for each in await self._ask(kind.KIND, "name", name)), None)
        return policy or BUILT_IN.get(kind, {}).get(name)

    async def numbered(self, kind: type[P], number: str) -> Mapping[str, P]:
        """Those of one of MANY that are dialled by this number, by name: one at most, where nothing is
        wrong."""
        known = await self._first(kind)
        found = {name: each for name, each in known.items() if getattr(each, "extension", "") == number}
        if found or not number or kind.KIND not in self._more:
            return found if number else {}
        asked = await self._ask(kind.KIND, "number", number)
        return {each.name: read for each in asked if (read := parsed(kind, each))}

    async def spelled(self, kind: type[P], keys: str) -> Mapping[str, P]:
        """Those of one of MANY whose display name begins so on a telephone's keys, by name; of those that
        are read, without one, the name itself. Of very many it is not said which."""
        known = await self._first(kind)
        found = {name: each for name, each in known.items() if _spelling(name, each).startswith(keys)}
        if keys and kind.KIND in self._more:
            asked = await self._ask(kind.KIND, "keys", keys)
            found |= {each.name: read for each in asked if (read := parsed(kind, each))}
        return found if keys else {}

    async def all(self, kind: type[P]) -> Mapping[str, P]:
        """Of one of FEW: by name, built-in ones included."""
        assert kind in FEW, f"there may be too many of {kind.KIND}"
        return await self._first(kind)

    async def _first(self, kind: type[P]) -> Mapping[str, P]:
        await self._refresh()
        if kind not in self._whole:
            own = {s.name: self._parsed(kind, s) for s in self._system.values() if s.kind == kind.KIND}
            there = {name: each for name, each in own.items() if each}
            self._whole[kind] = {**BUILT_IN.get(kind, {}), **there}
        return self._whole[kind]

    async def _ask(self, kind: str, by: str, which: str) -> Sequence[Setting]:
        """The store's answer, as it was a moment ago; the last one, or nothing, while the store is away."""
        at, kept = self._asked.get((kind, by, which), (None, ()))
        now = self._now()
        if at and timedelta(0) <= now - at < FRESH:
            return kept
        try:
            async with asyncio.timeout(WITHIN):
                found = await self._look(kind, by, which)
        except (StoreError, TimeoutError) as error:
            log.warning("policy cannot be looked up", kind=kind, why=str(error) or "no answer", **{by: which})
            return kept
        self._asked.pop((kind, by, which), None)  # so that the oldest answer is the first
        self._asked[kind, by, which] = now, found
        if len(self._asked) > MOST_ASKED:
            del self._asked[next(iter(self._asked))]
        return found

    async def _look(self, kind: str, by: str, which: str) -> Sequence[Setting]:
        settings = self._store.settings
        match by:
            case "name":
                return await settings.named(kind, [which])
            case "number":
                return await settings.numbered(kind, which)
            case _:
                return await settings.spelled(kind, which, MOST_SPELLED)

    def _parsed(self, kind: type[P], setting: Setting) -> P | None:
        """Each body of those that are kept is parsed once."""
        key = (setting.kind, setting.name)
        if key not in self._read or self._read[key][0] != setting:
            self._read[key] = (setting, parsed(kind, setting))
        found: P | None = self._read[key][1]
        return found

    async def of(self, kind: type[P], owner: UUID, within: float = WITHIN) -> Mapping[str, P]:
        """A user's own, by name, or a handler's (its setting's id). {} while the store is away."""
        try:
            async with asyncio.timeout(within):
                found = await self._store.settings.all(kind.KIND, owner)
        except (StoreError, TimeoutError) as error:
            log.warning("settings cannot be looked up", kind=kind.KIND, why=str(error) or "no answer")
            return {}
        return {each.name: read for each in found if (read := parsed(kind, each))}

    async def options(self, user_id: UUID, within: float = WITHIN) -> UserOptions:
        """A user's options, as they were a moment ago; those read last, or the defaults, while the store is
        away."""
        if self._is_recent(user_id):
            return self._options[user_id]
        try:
            return await self.current_options(user_id, within)
        except StoreError as error:
            log.warning("options cannot be looked up", why=str(error))
            self._guessed.add(user_id)
            return self._options.get(user_id, UserOptions())

    async def current_options(self, user_id: UUID, within: float = WITHIN) -> UserOptions:
        """A user's options as they are now. Raises Unavailable."""
        try:
            async with asyncio.timeout(within):
                options = await options_of(self._store, user_id)
        except TimeoutError:
            raise Unavailable(f"no answer within {within} s") from None
        self._guessed.discard(user_id)
        return self._remember(user_id, options)

    def seen(self, user_id: UUID, setting: Setting | None) -> UserOptions:
        """A user's options that somebody has read just now."""
        self._guessed.discard(user_id)
        return self._remember(user_id, (setting and parsed(UserOptions, setting)) or UserOptions())

    def _is_recent(self, user_id: UUID) -> bool:
        read = self._looked.get(user_id)
        return read is not None and timedelta(0) <= self._now() - read < JUST_NOW

    def _remember(self, user_id: UUID, options: UserOptions) -> UserOptions:
        self._options[user_id], self._looked[user_id] = options, self._now()
        return options

    async def set_options(self, user_id: UUID, options: UserOptions) -> None:
        """Raises Unavailable, also where the options that were changed may be defaults because the store
        was away: the user's class, earlier PINs and greeting would be lost."""
        if user_id in self._guessed:
            raise Unavailable("the options could not be read before they were changed")
        await self.put(OPTIONS, options, user_id)
        self._remember(user_id, options)

    async def put(self, name: str, policy: Policy, owner: UUID | None = None) -> None:
        """Raises Unavailable."""
        await self._store.settings.put(Setting(policy.KIND, name, policy.model_dump_json(), owner))
        self._forget()

    async def remove(self, kind: type[Policy], name: str, owner: UUID | None = None) -> None:
        """Raises NotFound, Unavailable."""
        await self._store.settings.remove(kind.KIND, name, owner)
        self._forget()

    def _forget(self) -> None:
        """What was changed here holds at once."""
        self._read_at = None
        self._asked.clear()

    async def _refresh(self) -> None:
        if self._is_fresh():
            return
        async with self._refreshing:
            if not self._is_fresh():
                await self._read_all()

    def _is_fresh(self) -> bool:
        return self._read_at is not None and timedelta(0) <= self._now() - self._read_at < FRESH

    async def _read_all(self) -> None:
        now = self._now()
        try:
            async with asyncio.timeout(WITHIN):
                few, many = [each.KIND for each in FEW], [each.KIND for each in MANY]
                found = await self._store.settings.first(few, many, FIRST)
        except (StoreError, TimeoutError) as error:
            log.warning("policies cannot be looked up", why=str(error) or "no answer")
        else:
            self._keep({(each.kind, each.name): each for each in found})
            there = Counter(each.kind for each in found)
            self._more = frozenset(kind for kind in many if there[kind] >= FIRST)
        self._read_at = now

    def _keep(self, system: Mapping[tuple[str, str], Setting]) -> None:
        if system != self._system:
            self._system, self._whole = system, {}
            self._read = {key: each for key, each in self._read.items() if key in system}


def _spelling(name: str, policy: Policy) -> str:
    return spelled(getattr(policy, "display_name", "") or name)


async def options_of(store: Store, user_id: UUID) -> UserOptions:
    """A user's options as they are now, for work that can wait; calls use `Policies`. Raises store errors."""
    found = await store.settings.get(UserOptions.KIND, OPTIONS, user_id)
    return (found and parsed(UserOptions, found)) or UserOptions()


async def aging_of(store: Store) -> Aging:
    """As it is now, for work that can wait. Raises store errors."""
    found = await store.settings.get(Aging.KIND, "default")
    return (found and parsed(Aging, found)) or Aging()


async def classes_of(store: Store, users: Sequence[UUID]) -> Mapping[UUID, ClassOfService]:
    """The class of service of each user as it is now; what is supplied where there is none, or a damaged one.
    For work that can wait. Raises store errors."""
    classes: dict[str, ClassOfService] = dict(BUILT_IN[ClassOfService])
    for setting in await store.settings.all(ClassOfService.KIND):
        classes[setting.name] = parsed(ClassOfService, setting) or ClassOfService()
    names = {user: options.cos for user, options in (await options_of_all(store, users)).items()}
    return {user: classes.get(names[user], ClassOfService()) for user in users}


async def options_of_all(store: Store, users: Sequence[UUID]) -> Mapping[UUID, UserOptions]:
    """As `options_of`, of each of these users."""
    if len(users) <= MANY_USERS:
        return {user: await options_of(store, user) for user in users}
    there = {each.owner: parsed(UserOptions, each) for each in await store.settings.owned(UserOptions.KIND)}
    return {user: there.get(user) or UserOptions() for user in users}


async def class_of(store: Store, user: UUID) -> ClassOfService:
    """As `classes_of`."""
    return (await classes_of(store, (user,)))[user]


def parsed(kind: type[P], setting: Setting) -> P | None:
    """None, and a line in the log, when it is damaged: the default holds then."""
    try:
        return kind.model_validate_json(setting.body)
    except ValidationError as error:
        log.error("setting cannot be read", kind=setting.kind, name=setting.name, why=str(error))
        return None
