"""An operator's orders to the role manager: what is refused, and what he is told to do instead."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from voicemail.cluster.keepalive import KeepAlive
from voicemail.cluster.manager import HAND_OVER, WISH, Health, Manager
from voicemail.cluster.roles import Status
from voicemail.errors import RoleRefused

S = Status
WELL = Health(ready=True, calls_work=True, duties_work=True, merged=True)
OTHER = KeepAlive(number=2, status=S.SECONDARY, epoch=0)


class Desk:
    """Node 1, vm1, as its operator sees it."""

    def __init__(self, other: KeepAlive | None, health: Health = WELL, deactivated: bool = False) -> None:
        self.now, self.other, self.health, self.kept = 1000.0, other, health, list[bool]()
        self.disk_full = False
        self.manager = Manager(True, 1, 0, lambda _: None, self.now, True, deactivated, self.keep)
        self.manager.alone, self.manager.name, self.manager.peer_name = other is None, "vm1", "vm2"
        self.opened = self.now
        self.run(1.5)

    def keep(self, deactivated: bool) -> None:
        if self.disk_full:
            raise OSError(28, "No space left on device")
        self.kept.append(deactivated)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            if self.other:
                self.manager.heard(self.other, self.opened, self.now)
            self.manager.tick(self.health, self.now, self.now)

    def says(self, **changes: object) -> None:
        assert self.other
        self.other = replace(self.other, **changes)
        self.run(0.1)

    @property
    def status(self) -> Status:
        return self.manager.status


def secondary() -> Desk:
    desk = Desk(replace(OTHER, status=S.PRIMARY, epoch=2))
    assert desk.status is S.SECONDARY
    return desk


def primary() -> Desk:
    desk = Desk(OTHER)
    assert desk.status is S.PRIMARY
    return desk


def refusal(order: Callable[[float], object], now: float) -> str:
    with pytest.raises(RoleRefused) as caught:
        order(now)
    return str(caught.value)


def test_a_secondary_is_made_primary_when_the_other_has_handed_over() -> None:
    desk = secondary()
    desk.manager.order_primary(desk.now)
    assert desk.manager.wants_primary(desk.now)
    desk.run(0.5)
    assert desk.status is S.SECONDARY
    desk.says(status=S.SECONDARY)
    assert desk.status is S.PRIMARY and desk.manager.last_change.because == "an operator made it Primary"
    assert not desk.manager.wants_primary(desk.now)


def test_the_wish_is_given_up_when_the_other_does_not_hand_over() -> None:
    desk = secondary()
    desk.manager.order_primary(desk.now)
    desk.run(WISH + 0.2)
    assert not desk.manager.wants_primary(desk.now)
    desk.says(status=S.SECONDARY)
    assert desk.manager.last_change.because != "an operator made it Primary"


def test_a_primary_hands_over_to_the_one_that_is_wanted() -> None:
    desk = primary()
    desk.says(wants_primary=True)
    assert desk.status is S.SECONDARY
    assert desk.manager.last_change.because == "an operator made the other node Primary"
    desk.run(1.0)
    assert desk.status is S.SECONDARY


def test_a_primary_that_handed_over_takes_it_back_when_the_other_never_takes_it() -> None:
    desk = primary()
    desk.says(wants_primary=True)
    desk.says(wants_primary=False)
    desk.run(HAND_OVER - 0.3)
    assert desk.status is S.SECONDARY
    desk.run(0.5)
    assert desk.status is S.PRIMARY


def test_it_does_not_hand_over_to_one_that_cannot_do_the_work() -> None:
    desk = primary()
    desk.says(wants_primary=True, duties_work=False)
    assert desk.status is S.PRIMARY


@pytest.mark.parametrize(
    "desk, told",
    [
        (primary, "vm1 is Primary already"),
        (
            lambda: Desk(OTHER, deactivated=True),
            "vm1 is Deactivated: activate it first (`voicemail cluster activate vm1`)",
        ),
        (lambda: Desk(OTHER, replace(WELL, ready=False)), "vm1 is Starting: wait until it is Secondary"),
        (
            lambda: Desk(OTHER, replace(WELL, calls_work=False)),
            "vm1 is Not Functioning: wait until it is Secondary",
        ),
        (
            lambda: Desk(OTHER, replace(WELL, duties_work=False)),
            "a service that the Primary needs is down on vm1 (see `voicemail cluster status`)",
        ),
    ],
)
def test_make_primary_is_refused_with_the_reason(desk: Callable[[], Desk], told: str) -> None:
    node = desk()
    assert refusal(node.manager.order_primary, node.now) == told


def test_two_servers_are_not_made_primary_at_the_same_moment() -> None:
    desk = primary()
    desk.says(wants_primary=True)
    told = "vm2 is becoming Primary at this moment: try again in a few seconds"
    assert refusal(desk.manager.order_primary, desk.now) == told


def test_deactivated_is_on_disk_before_it_is_so_and_over_a_restart() -> None:
    desk = secondary()
    change = desk.manager.deactivate(desk.now)
    assert desk.kept == [True] and (change.was, change.now) == (S.SECONDARY, S.DEACTIVATED)
    again = Desk(OTHER, deactivated=True)
    again.run(30.0)
    assert again.status is S.DEACTIVATED


def test_what_cannot_be_kept_is_not_done() -> None:
    desk = secondary()
    desk.disk_full = True
    told = "it cannot be noted on the disk of vm1: No space left on device"
    assert refusal(desk.manager.deactivate, desk.now) == told and desk.status is S.SECONDARY


def test_an_activated_server_starts() -> None:
    desk = Desk(replace(OTHER, status=S.PRIMARY), deactivated=True)
    assert desk.manager.activate(desk.now).now is S.STARTING and desk.kept == [False]
    desk.run(0.2)
    assert desk.status is S.SECONDARY
    assert refusal(desk.manager.activate, desk.now) == "vm1 is in service already: it is Secondary"


MAKE_PRIMARY = "make vm2 Primary first (`voicemail cluster make-primary vm2`)"


@pytest.mark.parametrize(
    "desk, told",
    [
        (primary, f"vm1 is Primary: {MAKE_PRIMARY}"),
        (
            lambda: Desk(replace(OTHER, status=S.DEACTIVATED)),
            f"vm1 is Primary: activate vm2 (`voicemail cluster activate vm2`), then {MAKE_PRIMARY}",
        ),
        (lambda: Desk(None), "vm1 is the only server of its cluster: stop it instead"),
        (lambda: Desk(OTHER, deactivated=True), "vm1 is Deactivated already"),
        (
            lambda: Desk(OTHER, replace(WELL, ready=False)),
            "vm1 is Starting: only a Secondary can be deactivated",
        ),
    ],
)
def test_deactivation_is_refused_with_what_to_do_instead(desk: Callable[[], Desk], told: str) -> None:
    node = desk()
    assert refusal(node.manager.deactivate, node.now) == told


def test_a_secondary_that_is_becoming_primary_is_not_deactivated() -> None:
    desk = secondary()
    desk.manager.order_primary(desk.now)
    assert refusal(desk.manager.deactivate, desk.now) == f"vm2 is not Primary at this moment: {MAKE_PRIMARY}"


def test_an_epoch_that_the_disk_does_not_take_is_not_counted_up() -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    manager = Manager(True, 1, 6, full, 0.0)
    for beat in range(20):
        manager.tick(WELL, beat / 10, beat / 10)
    assert manager.status is S.STARTING and manager.seen == manager.epoch == 6
