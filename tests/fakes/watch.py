"""What must hold in the simulated cluster of world.py, whatever happens to it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.host import Host
from voicemail.cluster.hearing import START
from voicemail.cluster.manager import HAND_OVER, WISH, Change, Health
from voicemail.cluster.roles import IDLE, SERVING, Status, answers_calls

if TYPE_CHECKING:
    from tests.fakes.world import World

S = Status
REACTION = 0.5
"""Seconds from a change here to what the other node makes of it, but for the way: a keep-alive, a
tick, and the beat that tells the Primary's process."""
REDIAL = 1.2
"""Seconds after which a link that is back has been dialled again, at the latest: a SYN is repeated."""
TURNS = 9
"""Changes of status within a second that are too many."""
CALM = 5.0
"""Seconds without a fault of the link or a process, after which each node knows how the other is."""


class Broken(AssertionError):
    """Something that must hold does not."""


@dataclass
class Spell:
    """Since when something holds that must not hold for long."""

    since: float | None = None

    def lasts(self, holds: object, now: float) -> float:
        """Seconds; 0 while it does not hold."""
        self.since = None if not holds else now if self.since is None else self.since
        return 0.0 if self.since is None else now - self.since


class Watch:
    def __init__(self, world: "World") -> None:
        self.world = world
        self.acted: dict[int, int] = {}
        """Which node acted in which epoch."""
        self.upset_at = -10.0
        """When an operator ordered, or the Primary's services failed or came back: a hand-over may be
        under way."""
        self.ordered_at = self.full_at = -10.0
        """When an operator ordered; when a disk was full, so that nobody could be Primary."""
        self.turns: dict[int, list[float]] = {1: [], 2: []}
        self.both = Spell()
        self.degraded = {1: Spell(), 2: Spell()}
        self.left = {1: Spell(), 2: Spell()}

    # ---- at every act, beat, change

    def act(self, host: Host, epoch: int) -> None:
        """The Primary's work is done, by the lease and the store's fence."""
        world, other = self.world, self.world.hosts[2 - host.number]
        assert host.manager
        if self.acted.setdefault(epoch, host.number) != host.number:
            world.broken(f"both nodes acted in epoch {epoch}")
        replaced = other.on_duty and other.manager and other.manager.epoch > epoch
        calm = world.whole and world.calm_link_since < host.frozen_at - 1.0 - world.slowest
        if host.frozen and replaced and calm:
            world.broken(f"node {host.number}, frozen, acts though it was replaced")
        due = host.on_duty and epoch == host.manager.epoch
        if not (due or host.frozen or host.duty_frozen):
            world.broken(f"node {host.number} acts in epoch {epoch} without being on duty")

    def beat(self, host: Host, health: Health, change: Change | None) -> None:
        """After a node's decision."""
        assert host.manager
        number, status = host.number, host.manager.status
        self.full_at = self.world.now if host.disk.full else self.full_at
        host.was_ready = health.ready or host.was_ready
        if health.ready and not host.disk.deactivated and not answers_calls(status):
            self.world.broken(f"node {number} refuses calls that it could answer")
        if not health.calls_work and answers_calls(status):
            self.world.broken(f"node {number} takes calls that it cannot answer")
        if status in SERVING and not host.was_ready:
            self.world.broken(f"node {number} is in service before it is ready")
        if host.disk.deactivated is not (status is S.DEACTIVATED):
            self.world.broken(f"node {number} does not keep that it is Deactivated")
        if change:
            self.changed(host, change)

    def changed(self, host: Host, change: Change) -> None:
        """Nobody takes the Primary's work that the other one has, nor by itself when that is forbidden."""
        world, other = self.world, self.world.hosts[2 - host.number]
        assert host.manager
        seen, now = host.manager.seen, world.now
        turns = self.turns[host.number] = [*self.turns[host.number][-(TURNS - 1) :], now]
        if len(turns) == TURNS and now - turns[0] < 1.0:
            world.broken(f"node {host.number} goes round in circles")
        knows = world.settled_link(CALM + 2 * world.slowest) and now - self.upset_at > CALM
        if knows and change.now is S.SECONDARY and other.on_duty and not world.merged and world.automatic:
            world.broken(f"node {host.number} is Secondary without what it missed")
        if not host.on_duty:
            return
        if change.epoch < seen:
            world.broken(f"node {host.number} is on duty under an old epoch")
        calm = (
            self.calm(CALM + 2 * world.slowest) and now - self.ordered_at > 1.0 and now - self.full_at > CALM
        )
        known = other.awake and now - other.awake_since > CALM and calm
        takes = change.was is not S.SPLIT_BRAIN_RECOVERY and change.now is S.PRIMARY
        late = (
            world.now - other.ready_at < 1.0 or world.now - host.ready_at < 1.0
        )  # not waited for any longer
        if other.on_duty and known and takes and not late:
            world.broken(f"node {host.number} takes what the other one has")
        by_itself = not world.automatic and change.was in IDLE and world.joined
        if by_itself and now - self.upset_at > WISH + HAND_OVER and not other.awake:
            world.broken(f"node {host.number} takes over by itself")

    # ---- at any time

    def calm(self, seconds: float) -> bool:
        """Whether the link is whole for so long."""
        return self.world.whole and self.world.now - self.world.calm_link_since > seconds

    def judge(self) -> None:
        """Never two on duty for longer than it takes to hear of it, never two that are Deactivated; and
        not nobody on duty when there is one who could be."""
        world, (one, two) = self.world, self.world.hosts
        linked, unknown = world.whole_since is not None, self.together()
        together = self.both.lasts(linked and one.on_duty and two.on_duty, world.now)
        if together > unknown:
            world.broken(f"both on duty for {together:.2f} s")
        if one.disk.deactivated and two.disk.deactivated:
            world.broken("both are Deactivated")
        for host, other in ((one, two), (two, one)):
            self.judge_one(host, other, linked, unknown)

    def judge_one(self, host: Host, other: Host, linked: bool, unknown: float) -> None:
        """A Primary that cannot do the work is relieved; what is left is taken."""
        world, on_duty = self.world, host.on_duty
        able = other.status in SERVING and other.duties_work and not other.disk.full
        helpless = linked and world.automatic and on_duty and not host.duties_work and able
        seconds = self.degraded[host.number].lasts(helpless, world.now)
        if seconds > 2 * unknown + world.merge_takes:
            world.broken(f"node {host.number} is not relieved for {seconds:.2f} s")
        if not host.manager:
            self.left[host.number].since = None
            return
        ready = host.awake and host.was_ready and host.calls_work and not host.disk.deactivated
        away = world.joined and not (other.awake and other.calls_work and not other.disk.deactivated)
        alone = ready and not host.disk.full and not on_duty
        must = (away and world.automatic) or not world.joined
        seconds = self.left[host.number].lasts(alone and must, world.now)
        if seconds > host.manager.hearing.patience + REACTION + world.slowest:
            world.broken(f"node {host.number} leaves the work of the other undone for {seconds:.2f} s")
        seen_since = max(host.awake_since, other.awake_since)
        unready = other.awake and not other.was_ready and world.now - seen_since > START + 3.0
        if unready and ready and linked and world.automatic and not on_duty and not host.disk.full:
            world.broken(f"node {host.number} waits for one that does not get ready")

    def together(self) -> float:
        """Seconds for which two on duty may not know of one another: one way of a keep-alive on a link
        that is whole for long; besides, a new connection on one that was not."""
        fresh = not self.world.settled_link(REDIAL + 2 * self.world.slowest + 1.0)
        return REACTION + self.world.slowest + (REDIAL + 1.0 if fresh else 0.0)
