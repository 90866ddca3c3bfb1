"""The Server Role Manager: what this node is, why, since when, and under which epoch.

It decides nothing itself (roles.py does) and touches neither network nor processes: the node shell
feeds it keep-alives, health and the time, and does what a change asks for. An operator's orders are
checked here; what they lead to is in the table.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from voicemail.cluster.hearing import Hearing
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.roles import IDLE, Status, View, decide, has_duties, next_epoch
from voicemail.errors import RoleRefused

log = structlog.get_logger()

PAUSE = 1.0
"""A tick later than this means that the process was frozen, and what it knows is old."""
WISH = 5.0
"""Seconds for which an operator's wish for this node to be Primary holds."""
HAND_OVER = 2.0
"""Seconds in which the node that is handed the Primary's work takes it: a few keep-alives."""
LONG_AGO = float("-inf")


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
    """`keep_epoch` and `keep_deactivated` write to disk and may raise OSError."""

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
        self._keep_deactivated = keep_deactivated
        self.name, self.peer_name = "this server", "the other server"
        """For what an operator is told."""
        self.seen = epoch
        """The newest epoch known, of either node; on disk, as a fresh Primary's must be above it."""
        self.alone = True
        self.automatic = automatic
        self.status = Status.DEACTIVATED if deactivated else Status.STARTING
        self.hearing = Hearing(since=now)
        self.history: list[Change] = [Change(time.time(), self.status, self.status, "it was started", epoch)]
        self.health = Health()
        self._awake = self._ticked = now
        self._trouble = False
        self._wished = LONG_AGO
        self._gave: float | None = None

    @property
    def last_change(self) -> Change:
        return self.history[-1]

    # ---- what the node hears, and how it is

    def heard(self, said: KeepAlive, opened: float, now: float) -> bool:
        """Take a keep-alive from a connection that came in at `opened`. False: a newer one has been heard
        on, or this process was frozen since, so the line may be old; drop the connection."""
        if self._was_frozen(now) or self.hearing.outdated(opened):
            return False
        self._hear(said, self.hearing.heard(said, opened, now))
        return True

    def beaconed(self, said: KeepAlive, proof: float, now: float) -> bool:
        """Take a keep-alive that came by datagram and was made after `proof`. False: this process was frozen
        since."""
        if self._was_frozen(now) or proof < self.hearing.since:
            return False
        self._hear(said, self.hearing.beaconed(said, proof, now))
        return True

    def _hear(self, said: KeepAlive, hearing: Hearing) -> None:
        before, self.hearing = self.hearing, hearing
        if before.patience < self.hearing.patience:
            log.warning("The peer was silent and never gone.", patience=self.hearing.patience)
        if said.epoch > self.seen:
            self.seen = said.epoch
            self._keep(said.epoch)
        if has_duties(hearing.last.status if hearing.last else said.status, not self.publisher):
            self._gave = None

    def lost(self, now: float) -> None:
        """The peer's connection closed."""
        self.hearing = self.hearing.lost(now)

    def tick(self, health: Health, now: float, wall: float) -> Change | None:
        """Decide anew. Gives the change, if there is one; its duties need `duty`. Duties come with a new
        epoch; so does the news that the peer had a newer one, because the store refuses what is older."""
        self._was_frozen(now)
        self._ticked, self.health = now, health
        rule = decide(self.view(health, now))
        had = has_duties(self.status, self.publisher)
        if has_duties(rule.become, self.publisher) and (not had or self.seen > self.epoch):
            epoch = next_epoch(self.seen, self.number)
            if not self._keep(epoch):
                return None  # no duties under an epoch that a restart would take again
            self.seen = self.epoch = epoch
        if rule.become is self.status:
            return None
        self._leave(rule.become, now)
        return self._become(rule.become, rule.because, wall)

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
            wanted=self.wants_primary(now),
            peer_wanted=peer.wants_primary if peer else False,
            gave=self._gave is not None,
            just_gave=self._just_gave(now),
            peer_late=self.hearing.late(now),
        )

    def duty(self, now: float) -> bool:
        """Whether the Primary's work may be done here now: by status, and only while this node knows
        how its peer is (it hears it, or has listened for long enough to know that it is silent)."""
        known = self.alone or self.hearing.peer(now) is not None or self.hearing.sought(now)
        return has_duties(self.status, self.publisher) and known

    def wants_primary(self, now: float) -> bool:
        """For the keep-alive: whether an operator asked for this node to be Primary, not long ago."""
        return now - self._wished <= WISH

    def awake(self, now: float) -> float:
        """For the keep-alive: since when this process has run without a pause, also when this is the first
        thing that it does after one."""
        self._was_frozen(now)
        return self._awake

    # ---- an operator's orders

    def order_primary(self, now: float) -> None:
        """An operator asks for this node to be Primary. The other one hears of it for WISH seconds, and
        hands over. Raises RoleRefused."""
        if why := self._no_primary(now):
            raise RoleRefused(why)
        self._wished = now
        log.info("An operator asks for this server to be Primary.")

    def deactivate(self, wall: float) -> Change:
        """An operator takes this node out of service; it stays so over restarts. Raises RoleRefused."""
        if why := self._no_deactivation():
            raise RoleRefused(why)
        self._note_deactivated(True)
        return self._become(Status.DEACTIVATED, "an operator deactivated it", wall)

    def activate(self, wall: float) -> Change:
        """An operator puts this node in service again. Raises RoleRefused when it is not Deactivated."""
        if self.status is not Status.DEACTIVATED:
            raise RoleRefused(f"{self.name} is in service already: it is {self.status}")
        self._note_deactivated(False)
        return self._become(Status.STARTING, "an operator activated it", wall)

    def _no_primary(self, now: float) -> str:
        """Why this node cannot be made Primary; "" when it can."""
        me, peer = self.name, self.hearing.peer(now)
        match self.status:
            case Status.PRIMARY:
                return f"{me} is Primary already"
            case Status.DEACTIVATED:
                return f"{me} is Deactivated: activate it first (`voicemail cluster activate {me}`)"
            case status if status not in IDLE:
                return f"{me} is {status}: wait until it is Secondary"
        if not self.health.duties_work:
            return f"a service that the Primary needs is down on {me} (see `voicemail cluster status`)"
        if self._just_gave(now) or (peer and peer.wants_primary):
            return f"{self.peer_name} is becoming Primary at this moment: try again in a few seconds"
        return ""

    def _no_deactivation(self) -> str:
        """Why this node cannot be deactivated; "" when it can. Somebody else must be Primary."""
        me, other, peer = self.name, self.peer_name, self.hearing.recent(self._ticked)
        make_primary = f"make {other} Primary first (`voicemail cluster make-primary {other}`)"
        match self.status:
            case Status.DEACTIVATED:
                return f"{me} is Deactivated already"
            case Status.PRIMARY if self.alone:
                return f"{me} is the only server of its cluster: stop it instead"
            case Status.PRIMARY if peer and peer.status is Status.DEACTIVATED:
                activate = f"activate {other} (`voicemail cluster activate {other}`)"
                return f"{me} is Primary: {activate}, then {make_primary}"
            case Status.PRIMARY:
                return f"{me} is Primary: {make_primary}"
            case status if status is not Status.SECONDARY:
                return f"{me} is {status}: only a Secondary can be deactivated"
        if not peer or peer.status is not Status.PRIMARY or self.wants_primary(self._ticked):
            return f"{other} is not Primary at this moment: {make_primary}"
        return ""

    def _note_deactivated(self, deactivated: bool) -> None:
        try:
            self._keep_deactivated(deactivated)
        except OSError as error:
            raise RoleRefused(f"it cannot be noted on the disk of {self.name}: {error.strerror}") from None

    # ---- within

    def _leave(self, become: Status, now: float) -> None:
        """Remember that the Primary's work is left to the other node, until one of the two has it."""
        if has_duties(become, self.publisher):
            self._gave = None
        elif self.status is Status.PRIMARY and become is not Status.SPLIT_BRAIN_RECOVERY:
            self._gave = now

    def _just_gave(self, now: float) -> bool:
        return self._gave is not None and now - self._gave <= HAND_OVER

    def _was_frozen(self, now: float) -> bool:
        if now - self._ticked <= PAUSE:
            return False
        log.warning("This process was frozen; listening anew.", seconds=round(now - self._ticked, 1))
        self.hearing, self._ticked, self._awake = self.hearing.again(now), now, now
        return True

    def _keep(self, epoch: int) -> bool:
        """Write the newest epoch to disk, before it is used. False: the disk does not take it."""
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
        if status not in IDLE:
            self._wished = LONG_AGO
        self.history = [*self.history[-99:], change]
        log.info("Server status changed.", was=change.was, now=status, because=because, epoch=self.epoch)
        return change
