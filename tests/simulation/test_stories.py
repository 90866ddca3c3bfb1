"""What the simulator found, and what is promised, each as a story told by hand."""

from collections.abc import Iterator
from random import Random

import pytest

from tests.fakes.host import Host
from tests.fakes.schedules import BEACONS, calm
from tests.fakes.watch import Broken
from tests.fakes.world import World
from voicemail.cluster.beacon import EVERY
from voicemail.cluster.hearing import CALM, PATIENCE, ROUND, SILENT
from voicemail.cluster.roles import Status

S = Status
MOST_CHANGES = 4
"""On each node, in twenty turns of a link that comes and goes."""


def cluster(automatic: bool = True, seed: int = 1, beacons: float = BEACONS) -> World:
    """Two nodes in calm: the publisher is Primary."""
    world = World(Random(seed), automatic, beacons=beacons)
    for host in world.hosts:
        world.start(host)
    world.run(6.0)
    assert states(world) == (S.PRIMARY, S.SECONDARY)
    for host in world.hosts:
        host.changes = 0
    return world


def states(world: World) -> tuple[Status | None, ...]:
    return tuple(host.status for host in world.hosts)


def cut(world: World, seconds: float) -> None:
    for sender in (1, 2):
        world.set_cut(sender, True)
    world.run(world.now + seconds)
    for sender in (1, 2):
        world.set_cut(sender, False)


def swapped(world: World) -> World:
    world.order(world.hosts[1], "make-primary")
    world.run(world.now + 6.0)
    assert states(world) == (S.SECONDARY, S.PRIMARY)
    for host in world.hosts:
        host.changes = 0
    return world


@pytest.fixture(params=range(8))
def seed(request: pytest.FixtureRequest) -> Iterator[int]:
    return request.param


@pytest.mark.parametrize("primary", [1, 2])
@pytest.mark.parametrize("resets", [False, True], ids=["silent", "reset"])
@pytest.mark.parametrize("off", [3.0, 2.2])
def test_a_link_that_comes_and_goes_changes_little(off: float, resets: bool, primary: int) -> None:
    world = cluster() if primary == 1 else swapped(cluster())
    for _ in range(20):
        if resets:
            world.reset()
        cut(world, off)
        world.run(world.now + 3.0)
    world.run(world.now + 10.0)
    assert states(world) == (S.PRIMARY, S.SECONDARY)
    assert max(host.changes for host in world.hosts) <= MOST_CHANGES, "\n".join(world.log)


def test_after_calm_minutes_a_silent_peer_is_replaced_as_fast_as_ever() -> None:
    world = cluster()
    cut(world, 3.0)
    world.run(world.now + 5.0)
    assert patience(world.hosts[1]) == PATIENCE[1]
    world.run(world.now + CALM + 1.0)
    assert patience(world.hosts[1]) == SILENT
    world.freeze(world.hosts[0], supervisor=True, duty=True)
    world.run(world.now + SILENT + 0.5)
    assert states(world)[1] is S.PRIMARY


@pytest.mark.parametrize("seconds", [6.0, 40.0])
def test_a_host_that_was_frozen_costs_no_trust(seconds: float) -> None:
    world = cluster()
    for _ in range(3):
        primary = next(host for host in world.hosts if host.status is S.PRIMARY)
        world.freeze(primary, supervisor=True, duty=True)
        world.run(world.now + seconds)
        world.wake(primary)
        world.run(world.now + 6.0)
        assert {patience(host) for host in world.hosts} == {SILENT}


def test_nor_does_a_long_cut_where_taking_over_was_right() -> None:
    world = cluster()
    cut(world, PATIENCE[-1] + 3.0)
    world.run(world.now + 5.0)
    assert {patience(host) for host in world.hosts} == {SILENT}


def test_nor_does_a_process_that_dies_again_and_again() -> None:
    world = cluster()
    for _ in range(4):
        primary = next(host for host in world.hosts if host.status is S.PRIMARY)
        other = world.hosts[2 - primary.number]
        world.crash(primary)
        world.run(world.now + 1.0)
        assert other.status is S.PRIMARY
        world.start(primary)
        world.run(world.now + 6.0)


@pytest.mark.parametrize("automatic", [True, False])
def test_an_operator_moves_the_primary_within_two_seconds(automatic: bool, seed: int) -> None:
    world = cluster(automatic, seed)
    for chosen in (world.hosts[1], world.hosts[0]):
        began = world.now
        assert world.order(chosen, "make-primary")
        world.run_until(lambda one=chosen: one.status is S.PRIMARY, 2.0, 0.05)  # type: ignore[misc]
        world.run(world.now + 6.0)
        assert chosen.status is S.PRIMARY and world.settled, began
    assert [host.changes for host in world.hosts] == [2, 2]


def test_a_primary_that_was_asked_to_hand_over_takes_it_back_when_the_other_dies(seed: int) -> None:
    world = cluster(automatic=False, seed=seed)
    one, two = world.hosts
    world.order(two, "make-primary")
    world.run_until(lambda: one.status is S.SECONDARY, 1.0, 0.001)
    world.crash(two, told=False)
    world.run(world.now + SILENT + 1.0)
    assert one.status is S.PRIMARY


def test_with_automatic_change_off_it_stays_with_the_one_it_was_handed_to() -> None:
    world = swapped(cluster(automatic=False))
    world.crash(world.hosts[1])
    world.run(world.now + 20.0)
    assert states(world) == (S.SECONDARY, None)


def test_a_split_brain_heals_while_the_publisher_goes_on() -> None:
    world = cluster()
    cut(world, 40.0)
    assert states(world) == (S.PRIMARY, S.PRIMARY)
    world.merge_takes = 5.0
    world.run(world.now + 3.0)
    assert states(world) == (S.SPLIT_BRAIN_RECOVERY, S.SPLIT_BRAIN_RECOVERY)
    assert [host.on_duty for host in world.hosts] == [True, False]
    world.run(world.now + 5.0)
    assert states(world) == (S.PRIMARY, S.SECONDARY)


def test_services_that_flicker_leave_one_on_duty(seed: int) -> None:
    world = cluster(seed=seed)
    one, two = world.hosts
    for _ in range(5):
        one.duties_work = False
        world.run(world.now + world.random.uniform(0.05, 0.5))
        one.duties_work = True
        world.run(world.now + 4.0)
        assert one.on_duty is not two.on_duty


def test_calls_that_fail_for_a_moment_move_the_primary_and_no_more(seed: int) -> None:
    world = cluster(seed=seed)
    one, two = world.hosts
    one.calls_work = False
    world.run(world.now + 0.1)
    one.calls_work = True
    world.run(world.now + 6.0)
    assert states(world) == (S.SECONDARY, S.PRIMARY) or two.changes == 0


def test_a_deactivated_node_stays_so_over_a_restart_and_the_other_is_primary() -> None:
    world = cluster()
    one, two = world.hosts
    assert not world.order(one, "deactivate")
    assert world.order(two, "deactivate")
    world.crash(one)
    world.crash(two)
    for host in world.hosts:
        world.start(host)
    world.run(world.now + 5.0)
    assert states(world) == (S.PRIMARY, S.DEACTIVATED)
    assert world.order(two, "activate")
    world.run(world.now + 3.0)
    assert states(world) == (S.PRIMARY, S.SECONDARY)


def test_a_publisher_that_never_gets_ready_does_not_keep_the_cluster_waiting() -> None:
    world = World(Random(1))
    world.start(world.hosts[0], ready_after=1000.0)
    world.start(world.hosts[1])
    world.run(20.0)
    assert states(world) == (S.STARTING, S.PRIMARY)


def lossy(seconds: float, beacons: float) -> World:
    """So long on a link that loses one packet in five."""
    world = cluster(beacons=beacons)
    world.loss, world.stalls = 0.2, 0.05
    world.run(world.now + seconds)
    return world


def test_one_packet_in_five_lost_for_ten_minutes_is_no_alarm() -> None:
    world = lossy(600.0, EVERY)
    assert [(host.changes, patience(host)) for host in world.hosts] == [(0, SILENT)] * 2, "\n".join(world.log)


def test_without_beacons_it_is_one() -> None:
    """Or the story before this one would prove nothing."""
    with pytest.raises(Broken, match="takes what the other one has"):
        lossy(60.0, 0.0)


@pytest.mark.parametrize("muted", [1, 2])
def test_a_way_that_is_cut_is_silent_from_both_ends(muted: int, seed: int) -> None:
    """The one that hears still is Secondary, and would wait for ever."""
    world = cluster(seed=seed)
    world.set_cut(muted, True, passes=0.0)
    world.run(world.now + SILENT + ROUND + 0.5)
    assert states(world) == (S.PRIMARY, S.PRIMARY)


def test_a_process_that_dies_is_replaced_within_a_second_with_and_without_beacons(seed: int) -> None:
    for beacons in (0.0, EVERY):
        world = cluster(seed=seed, beacons=beacons)
        world.crash(world.hosts[0])
        assert world.run_until(lambda two=world.hosts[1]: two.status is S.PRIMARY, 1.0, 0.01) < 0.8  # type: ignore[misc]


def test_a_connection_that_is_reset_is_no_death_when_beacons_go_on(seed: int) -> None:
    world = cluster(seed=seed)
    for _ in range(20):
        world.reset()
        for host in world.hosts:
            host.dials_at = world.now + 5.0
        world.run(world.now + 6.0)
    assert [(host.changes, patience(host)) for host in world.hosts] == [(0, SILENT)] * 2, "\n".join(world.log)


def test_calm_ends_whatever_was() -> None:
    world = cluster()
    world.crash(world.hosts[0])
    world.freeze(world.hosts[1], supervisor=True, duty=False)
    world.set_cut(1, True)
    world.run_until(lambda: world.settled, calm(world))


def patience(host: Host) -> float:
    assert host.manager
    return host.manager.hearing.patience
