"""The Server Role Manager: what this node is, why, since when, and under which epoch.

It decides nothing itself (roles.py does) and touches neither network nor processes: the node shell
feeds it keep-alives, health and the time, and does what a change asks for.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from voicemail.cluster.keepalive import Hearing, KeepAlive
from voicemail.cluster.roles import Status, View, decide, has_duties, next_epoch
from voicemail.errors import RoleRefused

log = structlog.get_logger()

PAUSE = 1.0
"""A tick later than this means that the process was frozen, and what it knows is old."""

WISH = 5.0
"""Seconds for which an operator's wish for this node to be Primary holds."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the node itself is, as far as roles depend on it."""

    ready: bool = False
    calls_work: bool = True
    duties_work: bool = False
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A change of status: logged, kept in the history, shown by `cluster status`."""

    at: float
    """Seconds since 1970."""
    was: Status
    now: Status
    because: str
    epoch: int


class Manager:
    def __init__(
        self,
        publisher: bool,
        number: int,
        epoch: int,
        keep_epoch: Callable[[int], None],
        now: float,
        automatic: bool = True,
        deactivated: bool = False,
        keep_deactivated: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.publisher, self.number, self.epoch, self._keep_epoch = publisher, number, epoch, keep_epoch
        self.seen = epoch
        """The newest epoch known, of either node; on disk, as a fresh Primary's must be above it."""
        self.alone = True
        self.automatic = automatic
        self._keep_deactivated = keep_deactivated
        self.name, self.peer_name = "this server", "the other server"
        """For what an operator is told."""
        self.status = Status.DEACTIVATED if deactivated else Status.STARTING
        self.hearing = Hearing(since=now)
        self.history: list[Change] = [Change(time.time(), self.status, self.status, "it was started", epoch)]
        self._ticked = now
        self._trouble = False
        self._ordered = float("-inf")

    @property
    def last_change(self) -> Change:
        return self.history[-1]

    def heard(self, said: KeepAlive, opened: float, now: float) -> bool:
        """Take a keep-alive from a connection opened at `opened`. False: this process was frozen since,
        so the line may be as old as the pause; drop the connection."""
        if self._was_frozen(now) or opened < self.hearing.since:
            return False
        self.hearing = self.hearing.heard(said, now)
        if said.epoch > self.seen:
            self._keep(said.epoch)
        return True

    def lost(self, now: float) -> None:
        """The peer's connection closed."""
        self.hearing = self.hearing.lost(now)

    def tick(self, health: Health, now: float, wall: float) -> Change | None:
        """Decide anew. Gives the change, if there is one; its duties need `duty`. Duties come with a new
        epoch; so does the news that the peer had a newer one, because the store refuses what is older."""
        self._was_frozen(now)
        self._ticked = now
        rule = decide(self.view(health, now))
        had = has_duties(self.status, self.publisher)
        if has_duties(rule.become, self.publisher) and (not had or self.seen > self.epoch):
            epoch = next_epoch(self.seen, self.number)
            if not self._keep(epoch):
                return None  # no duties under an epoch that a restart would take again
            self.epoch = epoch
        return self._become(rule.become, rule.because, wall) if rule.become is not self.status else None

    def wants_primary(self, now: float) -> bool:
        """For the keep-alive: whether an operator asked for this node to be Primary, not long ago."""
        return now - self._ordered <= WISH

    def order_primary(self, now: float) -> None:
        """An operator asks for this node to be Primary: told to the peer for WISH seconds, which hands
        over. Raises RoleRefused."""
        if self.status is not Status.SECONDARY:
            raise RoleRefused(f"{self.name} is {self.status}: only a Secondary can be made Primary")
        self._ordered = now

    def deactivate(self, wall: float) -> Change:
        """An operator takes this node out of service; it stays so over restarts. Raises RoleRefused."""
        if self.status is not Status.SECONDARY:
            raise RoleRefused(f"{self.name} is {self.status}: only a Secondary can be deactivated")
        self._keep_deactivated(True)
        return self._become(Status.DEACTIVATED, "an operator deactivated it", wall)

    def activate(self, wall: float) -> Change:
        """An operator puts this node in service again. Raises RoleRefused when it is not Deactivated."""
        if self.status is not Status.DEACTIVATED:
            raise RoleRefused(f"{self.name} is {self.status} already")
        self._keep_deactivated(False)
        return self._become(Status.STARTING, "an operator activated it", wall)

    def view(self, health: Health, now: float) -> View:
        peer = self.hearing.peer(now)
        return View(
            me=self.status,
            peer=peer.status if peer else None,
            publisher=self.publisher,
            alone=self.alone,
            ready=health.ready,
            calls_work=health.calls_work,
            duties_work=health.duties_work,
            peer_duties_work=peer.duties_work if peer else False,
            sought=self.hearing.sought(now),
            merged=health.merged,
            automatic=self.automatic,
        )

    def duty(self, now: float) -> bool:
        """Whether the Primary's work may be done here now: by status, and only while this node knows
        how its peer is (it hears it, or has listened for long enough to know that it is silent)."""
        known = self.alone or self.hearing.peer(now) is not None or self.hearing.sought(now)
        return has_duties(self.status, self.publisher) and known

    def _was_frozen(self, now: float) -> bool:
        if now - self._ticked <= PAUSE:
            return False
        log.warning("This process was frozen; listening anew.", seconds=round(now - self._ticked, 1))
        self.hearing, self._ticked = self.hearing.again(now), now
        return True

    def _keep(self, epoch: int) -> bool:
        """Note the newest epoch, on disk before it is used. False: the disk does not take it."""
        self.seen = max(self.seen, epoch)
        try:
            self._keep_epoch(epoch)
        except OSError as error:
            if not self._trouble:
                log.error("The epoch cannot be kept.", why=str(error))
            self._trouble = True
            return False
        self._trouble = False
        return True

    def _become(self, status: Status, because: str, wall: float) -> Change:
        change = Change(wall, self.status, status, because, self.epoch)
        self.status = status
        self.history = [*self.history[-99:], change]
        log.info("Server status changed.", was=change.was, now=status, because=because, epoch=self.epoch)
        return change
