"""What a host's greeting depends on, asked of the store while the caller waits.

Nothing here raises: what the store cannot tell in time is as it was last, or as it is by default."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from sip.call import Sound
from store.errors import StoreError
from voicemail.conversation.desk import Desk
from voicemail.greetings import NAME, Greetings
from voicemail.policy.greeting import choose, is_on
from voicemail.policy.model import (
    GreetingKind,
    GreetingSwitch,
    Holidays,
    Schedule,
    Source,
    in_language,
)
from voicemail.policy.schedule import is_active, is_holiday
from voicemail.policy.transfers import Rules, Transfer, in_force

log = structlog.get_logger()

WITHIN, AWAY = 0.7, 0.05
"""Seconds a caller waits for the store; and when it has not answered a moment ago."""
ON = GreetingSwitch(enabled=True)


@dataclass(frozen=True, slots=True)
class Greeted:
    """The greeting that holds now."""

    kind: GreetingKind
    switch: GreetingSwitch
    recording: Path | None
    """None: the system's words, or nothing at all."""
    name: Path | None
    """The owner's recorded name, for the system's words."""
    error: tuple[Sound, ...]
    """What is said of a wrong key."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """For one visit."""

    desk: Desk
    greetings: Greetings
    within: float = WITHIN
    language: str = ""
    """That of the call: a greeting may have a recording in it."""

    async def switches(self, owner: UUID) -> Mapping[str, GreetingSwitch]:
        return await self.desk.policies.of(GreetingSwitch, owner, self.within)

    async def size(self, mailbox_id: UUID) -> int:
        """Bytes in a mailbox; 0 when the store cannot tell: no message is refused for that."""
        try:
            async with asyncio.timeout(self.within):
                return await self.desk.store.messages.size(mailbox_id)
        except (StoreError, TimeoutError) as error:
            log.warning("mailbox size cannot be looked up", why=str(error) or "no answer")
            return 0

    async def greeted(
        self,
        owner: UUID,
        switches: Mapping[str, GreetingSwitch],
        schedule: str,
        *,
        time_zone: str = "",
        busy: bool = False,
        internal: bool = False,
    ) -> Greeted:
        """Of the owner's greetings the one that precedes the others now."""
        now, open_, holiday = await self._hour(schedule, time_zone)
        kind = choose(switches, now=now, busy=busy, internal=internal, open_=open_, holiday=holiday)
        switch = switches.get(kind, ON)
        recording = await self._spoken(owner, kind, switch) if switch.source is Source.RECORDING else None
        system = recording is None and switch.source is not Source.NONE
        return Greeted(
            kind,
            switch,
            recording,
            await self.recording(owner, NAME) if system else None,
            await self._error(owner, switches.get(GreetingKind.ERROR), now),
        )

    async def _error(self, owner: UUID, switch: GreetingSwitch | None, now: datetime) -> tuple[Sound, ...]:
        """What is said of a wrong key: the system's words where no error greeting is on."""
        if switch and is_on(switch, now):
            if switch.source is Source.NONE:
                return ()
            own = switch.source is Source.RECORDING
            if own and (found := await self._spoken(owner, GreetingKind.ERROR, switch)):
                return (found,)
        return ("invalid_key",)

    async def transfer(self, rules: Rules, schedule: str, time_zone: str = "") -> Transfer:
        """The rule by which a call is put through now."""
        now, open_, _ = await self._hour(schedule, time_zone)
        return rules[in_force(rules, now=now, open_=open_)]

    async def _hour(self, schedule: str, time_zone: str) -> tuple[datetime, bool, bool]:
        """The owner's time, whether his schedule is active, and whether it is one of its holidays. A
        schedule that does not exist is always active here: nobody has said that he is not there."""
        now = local(self.desk.now(), time_zone)
        hours = await self.desk.policies.get(Schedule, schedule)
        free = await self.desk.policies.get(Holidays, hours.holidays) if hours and hours.holidays else None
        return now, hours is None or is_active(hours, free, now), is_holiday(free, now)

    async def _spoken(self, owner: UUID, kind: str, switch: GreetingSwitch) -> Path | None:
        """In the language of the call, where there is a recording in it."""
        if self.language in switch.languages:
            found = await self.recording(owner, in_language(kind, self.language))
            return found or await self.recording(owner, kind)
        return await self.recording(owner, kind)

    async def recording(self, owner: UUID, kind: str) -> Path | None:
        """What was recorded; None where nothing was, or nobody can tell now."""
        return await self.greetings.of(owner, str(kind), self.within)


def local(now: datetime, time_zone: str) -> datetime:
    """The time at the owner's place; the node's for a zone that is none or unknown here."""
    try:
        return now.astimezone(ZoneInfo(time_zone)) if time_zone else now
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        log.warning("time zone unknown", time_zone=time_zone, why=str(error))
    except KeyError:
        log.warning("time zone unknown", time_zone=time_zone)
    return now
