"""The Server Role Manager by a clock of its own."""

from dataclasses import replace

import pytest

from voicemail.cluster.hearing import CLOSED, LISTEN, SILENT, Hearing
from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.manager import PAUSE, Change, Health, Manager
from voicemail.cluster.roles import Status

S = Status
WELL = Health(ready=True, calls_work=True, duties_work=True, merged=True)
PEER = KeepAlive(number=1, status=S.PRIMARY, epoch=1)


class Setting:
    """A manager with a clock that ticks every tenth of a second, and a disk that can fail."""

    def __init__(self, number: int = 2, alone: bool = False, epoch: int = 0, automatic: bool = True) -> None:
        self.now, self.kept, self.disk_full = 1000.0, [epoch], False
        self.manager = Manager(number == 1, number, epoch, self.keep, self.now, automatic)
        self.manager.alone = alone
        self.opened = self.now

    def keep(self, epoch: int) -> None:
        if self.disk_full:
            raise OSError("no space left")
        self.kept.append(epoch)

    def tick(self, after: float = 0.1, health: Health = WELL) -> Change | None:
        self.now += after
        return self.manager.tick(health, self.now, self.now)

    def pass_by(self, seconds: float, said: KeepAlive | None = None) -> None:
        for _ in range(round(seconds * 10)):
            if said:
                self.hear(said)
            self.tick()

    def hear(self, said: KeepAlive, opened: float | None = None) -> bool:
        return self.manager.heard(said, self.opened if opened is None else opened, self.now)

    @property
    def duty(self) -> bool:
        return self.manager.duty(self.now)


def secondary(**changes: int) -> Setting:
    setting = Setting(**changes)
    setting.pass_by(1.0, PEER)
    assert setting.manager.status is S.SECONDARY
    return setting


def test_a_node_alone_is_primary_at_once_under_an_epoch_kept_before() -> None:
    setting = Setting(1, alone=True, epoch=4)
    change = setting.tick()
    assert change and (change.was, change.now, change.epoch) == (S.STARTING, S.PRIMARY, 5)
    assert setting.kept == [4, 5] and setting.duty


def test_a_node_with_a_peer_waits_for_it_before_it_is_primary() -> None:
    setting = Setting(1)
    setting.pass_by(SILENT - 0.1)
    assert setting.manager.status is S.STARTING and not setting.duty
    setting.pass_by(0.3)
    assert setting.manager.status is S.PRIMARY and setting.duty


def test_the_epoch_rises_only_with_new_duties() -> None:
    setting = secondary()
    assert setting.manager.epoch == 0
    setting.pass_by(SILENT + 0.3)
    assert (setting.manager.status, setting.manager.epoch, setting.kept[-1]) == (S.PRIMARY, 2, 2)
    setting.pass_by(3.0)
    assert setting.manager.epoch == 2


@pytest.mark.parametrize("number, expected", [(1, 11), (2, 10)])
def test_a_new_epoch_is_above_all_that_the_peer_ever_had(number: int, expected: int) -> None:
    setting = Setting(number)
    setting.pass_by(1.0, replace(PEER, number=3 - number, epoch=9))
    setting.tick(PAUSE + 0.1)  # forgets what it heard, not the epoch
    setting.pass_by(SILENT + 0.3)
    assert (setting.manager.status, setting.manager.epoch) == (S.PRIMARY, expected)


def test_the_peers_epoch_outlives_a_restart() -> None:
    before = secondary()
    before.hear(replace(PEER, epoch=9))
    again = Setting(epoch=before.kept[-1])
    again.pass_by(SILENT + 0.3)
    assert again.manager.epoch == 10


def test_after_a_split_brain_the_publisher_goes_on_under_an_epoch_above_the_others() -> None:
    setting = Setting(1, alone=True)
    setting.tick()
    setting.manager.alone = False
    other = KeepAlive(number=2, status=S.PRIMARY, epoch=2)
    setting.hear(other)
    setting.tick(health=replace(WELL, merged=False))
    assert (setting.manager.status, setting.manager.epoch) == (S.SPLIT_BRAIN_RECOVERY, 3)
    setting.hear(replace(other, status=S.SECONDARY))
    setting.tick()
    assert (setting.manager.status, setting.manager.epoch, setting.duty) == (S.PRIMARY, 3, True)


def test_without_a_place_for_the_epoch_there_are_no_duties_until_there_is_one() -> None:
    setting = Setting(1, alone=True)
    setting.disk_full = True
    setting.pass_by(1.0)
    assert setting.manager.status is S.STARTING and not setting.duty
    setting.disk_full = False
    setting.tick()
    assert setting.manager.status is S.PRIMARY and setting.kept[-1] == setting.manager.epoch


def test_a_full_disk_does_not_make_the_peer_silent() -> None:
    setting = secondary()
    setting.disk_full = True
    assert setting.hear(replace(PEER, epoch=7))
    assert setting.manager.seen == 7


def test_a_process_that_was_frozen_has_no_duty_until_it_hears_its_peer() -> None:
    setting = Setting(1)
    setting.pass_by(SILENT + 0.2)
    other = KeepAlive(number=2, status=S.SECONDARY, epoch=0)
    setting.hear(other)
    assert setting.duty
    setting.tick(30.0)
    assert setting.manager.status is S.PRIMARY and not setting.duty
    assert setting.hear(other, opened=setting.now + 0.01)
    assert setting.duty


def test_a_process_that_was_frozen_has_duty_again_when_its_peer_stays_silent() -> None:
    setting = Setting(1)
    setting.pass_by(SILENT + 0.2)
    setting.tick(30.0)
    setting.pass_by(SILENT - 0.1)
    assert not setting.duty
    setting.pass_by(0.3)
    assert setting.duty


@pytest.mark.parametrize("tick_first", [True, False])
def test_keep_alives_that_lay_there_during_the_freeze_are_refused(tick_first: bool) -> None:
    setting = secondary()
    setting.now += 30.0
    if tick_first:
        setting.tick(0.0)
    assert [setting.hear(PEER) for _ in range(3)] == [False] * 3
    assert setting.manager.hearing.peer(setting.now) is None
    assert setting.hear(PEER, opened=setting.now + 0.2)


def test_a_frozen_secondary_takes_nothing_over_before_it_has_listened_again() -> None:
    setting = secondary()
    setting.tick(30.0)
    setting.pass_by(SILENT - 0.1)
    assert setting.manager.status is S.SECONDARY
    setting.pass_by(0.3)
    assert setting.manager.status is S.PRIMARY


def test_a_node_still_receiving_what_it_missed_takes_nothing_over_when_it_was_frozen() -> None:
    setting = Setting()
    setting.hear(PEER)
    setting.tick(health=replace(WELL, merged=False))
    assert setting.manager.status is S.REPLICATING_DATA
    setting.tick(30.0, replace(WELL, merged=False))
    assert setting.manager.status is S.REPLICATING_DATA


def test_a_lost_connection_is_silence_at_once_but_for_a_redial() -> None:
    setting = secondary()
    setting.manager.lost(setting.now)
    setting.tick(CLOSED - 0.05)
    assert setting.manager.status is S.SECONDARY
    setting.tick(0.1)
    assert setting.manager.status is S.PRIMARY


def test_a_redial_in_time_changes_nothing() -> None:
    setting = secondary()
    setting.manager.lost(setting.now)
    setting.tick(CLOSED - 0.05)
    setting.hear(PEER)
    setting.tick()
    assert setting.manager.status is S.SECONDARY and len(setting.manager.history) == 2


def test_with_automatic_change_off_a_silent_primary_is_not_replaced() -> None:
    setting = Setting(automatic=False)
    setting.pass_by(1.0, PEER)
    setting.pass_by(10.0)
    assert setting.manager.status is S.SECONDARY


def test_the_history_keeps_the_last_hundred_changes() -> None:
    setting = Setting(1, alone=True)
    for _ in range(100):
        setting.tick(health=WELL)
        setting.tick(health=replace(WELL, calls_work=False))
    assert len(setting.manager.history) == 100
    assert setting.manager.last_change.now is S.NOT_FUNCTIONING


def test_a_peer_counts_as_heard_up_to_the_limits() -> None:
    heard = Hearing(since=0.0).heard(PEER, 5.0, 10.0)
    assert heard.peer(10.0 + SILENT) is PEER and heard.peer(10.01 + SILENT) is None
    lost = heard.lost(10.0)
    assert lost.peer(10.0 + CLOSED - 0.01) is PEER and lost.peer(10.01 + CLOSED) is None
    assert lost.heard(PEER, 5.0, 11.0).peer(12.0) is PEER


def test_silence_proves_nothing_before_it_has_been_listened_for() -> None:
    start = Hearing(since=10.0)
    assert not start.sought(10.0 + SILENT) and start.sought(10.01 + SILENT)
    assert not start.heard(PEER, 10.2, 10.5).sought(10.0 + LISTEN)
    assert start.heard(PEER, 10.2, 10.5).sought(10.01 + LISTEN)
    assert not start.heard(PEER, 10.2, 10.5).again(20.0).sought(21.0)


def test_beacons_alone_keep_a_secondary_secondary() -> None:
    setting = secondary()
    for beat in range(1, 100):
        said = replace(PEER, run="one", beat=beat)
        assert setting.manager.beaconed(said, setting.now - 0.01, setting.now)
        setting.tick()
    assert setting.manager.status is S.SECONDARY
    setting.pass_by(SILENT + 0.2)
    assert setting.manager.status is S.PRIMARY


@pytest.mark.parametrize("tick_first", [True, False])
def test_beacons_that_lay_there_during_the_freeze_prove_nothing(tick_first: bool) -> None:
    setting = secondary()
    said, before = replace(PEER, run="one", beat=1), setting.now
    setting.now += PAUSE + 0.1
    if tick_first:
        setting.tick(0.0)
    assert not setting.manager.beaconed(said, before, setting.now)
    assert not setting.manager.beaconed(said, setting.now - 0.01, setting.now)
    assert setting.manager.hearing.peer(setting.now) is None
    assert setting.manager.beaconed(said, setting.now, setting.now + 0.01)


def test_the_first_that_is_said_after_a_freeze_tells_of_it() -> None:
    setting = secondary()
    began = setting.manager.awake(setting.now)
    setting.pass_by(1.0, PEER)
    assert setting.manager.awake(setting.now + PAUSE) == began
    assert setting.manager.awake(setting.now + 30.0) == setting.now + 30.0
