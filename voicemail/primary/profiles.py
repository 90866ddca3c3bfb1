"""How users want to be told, read from the store as it is now. Nothing is guessed: while the store is away
nobody is told, where a call would go on with defaults."""

from collections.abc import Callable
from datetime import timedelta, tzinfo
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from store.api import Store
from voicemail.policy.base import Policy
from voicemail.policy.book import options_of, parsed
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.devices import Device
from voicemail.policy.model import Holidays, Schedule, UserOptions
from voicemail.primary.devices import Profile, devices_of

P = TypeVar("P", bound=Policy)
FRESH = timedelta(seconds=2).total_seconds()
"""Seconds for which schedules are used without looking again."""


class Profiles:
    """`zone` is the node's, for users who have none of their own; `monotonic` gives seconds."""

    def __init__(self, store: Store, zone: tzinfo, monotonic: Callable[[], float]) -> None:
        self._store, self._zone, self._monotonic = store, zone, monotonic
        self._read_at = float("-inf")
        self._schedules: dict[str, Schedule] = {}
        self._holidays: dict[str, Holidays] = {}

    async def of(self, user_id: UUID) -> Profile | None:
        """None for a user who is gone. Raises Unavailable."""
        user = await self._store.users.get(user_id)
        if user is None:
            return None
        settings = await self._store.settings.all(Device.KIND, user_id)
        devices = {each.name: read for each in settings if (read := parsed(Device, each))}
        options = await options_of(self._store, user_id)
        if any(device.schedule for device in devices.values()):
            await self._refresh()
        zone = zone_of(options, self._zone)
        known = devices_of(user, devices)
        return Profile(user, known, options, self._schedules, self._holidays, zone)

    async def _refresh(self) -> None:
        if self._monotonic() - self._read_at < FRESH:
            return
        self._schedules = await self._all(Schedule)
        self._holidays = await self._all(Holidays)
        self._read_at = self._monotonic()

    async def _all(self, kind: type[P]) -> dict[str, P]:
        found = await self._store.settings.all(kind.KIND)
        own = {each.name: read for each in found if (read := parsed(kind, each))}
        return {**BUILT_IN.get(kind, {}), **own}


def zone_of(options: UserOptions, otherwise: tzinfo) -> tzinfo:
    """The time zone in which a user lives."""
    try:
        return ZoneInfo(options.time_zone) if options.time_zone else otherwise
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return otherwise
