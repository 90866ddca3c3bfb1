"""Users are told by mail, before it happens, that old messages of theirs will be deleted, or gone for good
(policy `Aging`, `mail_before`).

A round runs every hour while this node is Primary. The store is asked for some hundred users at a time; of
those who have such messages each is looked at in his morning, and then not before the next one. One mail a
day: the work's id is made of user and day, so two rounds, or two nodes, write it once. What the mail will say
is written down with it, and it is spread over two hours, so that a large house's mails of messages, which go
the same way, need not wait behind all of these.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta, tzinfo
from uuid import UUID, uuid5

import structlog

from store.api import Store
from store.model import FIRST, NewWork, Ripening
from voicemail.policy.book import aging_of
from voicemail.policy.devices import MAIL_DEVICE, DeviceKind
from voicemail.policy.keeping import Aging
from voicemail.policy.note import Event, Note
from voicemail.primary.clock import Clock
from voicemail.primary.devices import Profile, day_of, opens
from voicemail.primary.lease import Permit
from voicemail.primary.profiles import Profiles
from voicemail.primary.rounds import rounds

log = structlog.get_logger()

EVERY = 3600.0
"""Seconds between two rounds."""
PAGE = 200
"""Users of whom the store is asked at once."""
PAUSE = 0.25
"""Seconds between two of these questions."""
MORNING = time(7)
"""When mails are written, in the user's time zone."""
SPREAD = 2 * 3600
"""Seconds over which they are sent."""


class Forewarnings:
    """One for the process; `epoch` gives the epoch under which this node is Primary, None when it is not."""

    def __init__(
        self,
        store: Store,
        profiles: Profiles,
        clock: Clock,
        epoch: Callable[[], int | None],
        permit: Permit,
    ) -> None:
        self._store, self._profiles, self._clock = store, profiles, clock
        self._epoch, self._permit = epoch, permit
        self._rest: dict[UUID, datetime] = {}
        """Users who need not be looked at before then."""

    async def run(self) -> None:
        """Until cancelled."""
        await rounds("forewarnings", self.round, EVERY, self._clock, self._epoch)

    async def round(self) -> None:
        """All that is due now. Raises NotPrimary and store errors."""
        policy, now = await aging_of(self._store), self._clock.now()
        self._rest = {user: until for user, until in self._rest.items() if until > now}
        saved, deleted = soon(policy, now)
        after = FIRST
        while (saved or deleted) and (
            page := await self._store.messages.ripening(saved, deleted, after, PAGE)
        ):
            await self._page(page, policy, now)
            after = page[-1].mailbox_id
            await self._clock.sleep_until(self._clock.monotonic() + PAUSE, asyncio.Event())

    async def _page(self, page: Sequence[Ripening], policy: Aging, now: datetime) -> None:
        rest: dict[UUID, datetime] = {}
        work: list[NewWork] = []
        for ripe in page:
            concerned = (ripe.saved or ripe.deleted) and ripe.mailbox_id not in self._rest
            if concerned and (profile := await self._profiles.of(ripe.mailbox_id)):
                rest[ripe.mailbox_id] = next_morning(profile.zone, now)
                work += forewarning(profile, ripe, policy, now)
        if work:
            self._permit()
            await self._store.outbox.add(work)
            log.info("forewarnings written", users=len(work))
        self._rest |= rest


def soon(policy: Aging, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Since before when the saved and the deleted messages have stood that go on within the days of
    `mail_before`; None for those that nothing is to be told of."""
    until = now + timedelta(days=policy.mail_before)
    ages = (policy.saved_to_deleted, policy.deleted_to_gone)
    saved, deleted = (until - timedelta(days=days) if days and policy.mail_before else None for days in ages)
    return saved, deleted


def teller(profile: Profile) -> str:
    """The device that tells it: the user's own mail address, or, where no message shall be told of there, a
    daily summary. "" for a user who has turned mails off."""
    own, devices = profile.devices.get(MAIL_DEVICE), profile.devices.items()
    if own and own.enabled and own.kind is DeviceKind.MAIL:
        return MAIL_DEVICE
    return next((name for name, each in devices if each.enabled and each.kind is DeviceKind.SUMMARY), "")


def forewarning(profile: Profile, ripe: Ripening, policy: Aging, now: datetime) -> Sequence[NewWork]:
    """The work that tells a user, if it is to be written now. Nothing where the device's schedule does not
    open on this day: tomorrow there is more to be told."""
    user, day, name = profile.user.id, day_of(MORNING, profile.zone, now), teller(profile)
    if not day or not name:
        return ()
    opening = opens(profile, profile.devices[name], now + timedelta(seconds=user.int % SPREAD))
    if opening is None or _day(profile.zone, opening) != day:
        return ()
    facts = {
        "day": day,
        "deleted": ripe.saved,
        "deleted_from": _first(ripe.saved_since, policy.saved_to_deleted, now),
        "gone": ripe.deleted,
        "gone_from": _first(ripe.deleted_since, policy.deleted_to_gone, now),
    }
    identifier = uuid5(user, f"{Event.AGING}/{day}")  # whichever device tells it
    note = Note(Event.AGING, identifier, name, facts=facts)
    return (replace(note.work(user, opening), id=identifier),)


def next_morning(zone: tzinfo, now: datetime) -> datetime:
    """When a user of this time zone is to be looked at next."""
    today = now.astimezone(zone).date()
    mornings = (datetime.combine(today + timedelta(days=days), MORNING, zone) for days in (0, 1))
    return next(each for each in mornings if each > now)


def is_over(note: Note, zone: tzinfo, now: datetime) -> bool:
    """Whether a forewarning waited until the next day, on which there is another one."""
    return note.event is Event.AGING and str(note.facts.get("day", "")) < _day(zone, now)


def _day(zone: tzinfo, moment: datetime) -> str:
    return moment.astimezone(zone).date().isoformat()


def _first(since: datetime | None, days: int, now: datetime) -> str:
    """When the oldest goes on. What is overdue goes on in a moment."""
    return max(since + timedelta(days=days), now).isoformat() if since else ""
