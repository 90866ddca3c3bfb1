"""Once a day each user who wants it is told what is new in the mailbox: this writes the work for it.

A round runs every two minutes while this node is Primary. The work's id is made of user, device and day, so
two rounds, or two nodes, write it once. What the mail will say is written down with it.
"""

from collections.abc import Callable
from uuid import UUID

import structlog

from store.api import Store
from store.model import Folder
from voicemail.policy.devices import Device, DeviceKind
from voicemail.primary.clock import Clock
from voicemail.primary.devices import day_summary, summary_due
from voicemail.primary.lease import Permit
from voicemail.primary.profiles import Profiles
from voicemail.primary.rounds import rounds

log = structlog.get_logger()

EVERY = 120.0
"""Seconds between two rounds."""


class Summaries:
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
        self._done: set[tuple[UUID, str, str]] = set()
        """User, device and day of what was written."""

    async def run(self) -> None:
        """Until cancelled."""
        await rounds("summaries", self.round, EVERY, self._clock, self._epoch)

    async def round(self) -> None:
        """All that is due now. Raises NotPrimary and store errors."""
        marker = f'"{DeviceKind.SUMMARY.value}"'
        found = await self._store.settings.owned(Device.KIND)
        owners = dict.fromkeys(each.owner for each in found if each.owner and marker in each.body)
        days = set()
        for owner in owners:
            days |= await self._of(owner)
        self._done &= days  # what is over is forgotten

    async def _of(self, owner: UUID) -> set[tuple[UUID, str, str]]:
        """What is due for one user, and done when this returns."""
        profile = await self._profiles.of(owner)
        due: set[tuple[UUID, str, str]] = set()
        for name, device in profile.devices.items() if profile else ():
            if profile and (day := summary_due(device, profile.zone, self._clock.now())):
                key = (owner, name, day)
                due.add(key)
                if key not in self._done:
                    await self._write(profile.user.id, name, day)
                    self._done.add(key)
        return due

    async def _write(self, owner: UUID, name: str, day: str) -> None:
        new = await self._store.messages.listing(owner, Folder.NEW)
        counts = await self._store.messages.counts(owner)
        if not new:
            return
        self._permit()
        await self._store.outbox.add([day_summary(owner, name, day, new, counts.old)])
        log.info("summary written", user=str(owner), device=name, day=day, new=len(new))
