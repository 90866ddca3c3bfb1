"""Policies as key=value."""

from datetime import date, time
from typing import Any

import pytest

from voicemail.errors import VoicemailError
from voicemail.policy.base import Policy
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.kinds import KINDS
from voicemail.policy.model import (
    Action,
    CallHandler,
    ClassOfService,
    Go,
    GreetingSwitch,
    Holidays,
    Members,
    RestrictionTable,
    RoutingRule,
    Schedule,
    UserOptions,
)
from voicemail.policy.text import changed, keys, shown

EVERY_BUILT_IN = [(kind, name) for kind in KINDS for name in BUILT_IN.get(kind, {})]


def lines(policy: Policy) -> list[str]:
    return [f"{key}={value}" for key, value in shown(policy).items()]


@pytest.mark.parametrize(("kind", "name"), EVERY_BUILT_IN)
def test_what_is_shown_can_be_set(kind: type[Policy], name: str) -> None:
    policy = BUILT_IN[kind][name]
    assert changed(kind, None, lines(policy)) == policy


def test_values_of_every_form_come_back() -> None:
    schedule = changed(
        Schedule, None, ["blocks=mon-fri 8:00-12:30, sat+mon 22:00-06:00, sat-sun 00:00-24:00", "holidays=x"]
    )
    assert [block.weekdays for block in schedule.blocks] == [(0, 1, 2, 3, 4), (0, 5), (5, 6)]
    assert (schedule.blocks[0].start, schedule.blocks[2].end) == (time(8), time(0))
    days = changed(Holidays, None, ["days=2026-12-24..2026-12-26, 2027-01-01"])
    assert days.days == ((date(2026, 12, 24), date(2026, 12, 26)), (date(2027, 1, 1), date(2027, 1, 1)))
    switch = changed(GreetingSwitch, None, ["until=2026-12-24 17:00+01:00", "after=user:4001+transfer"])
    assert switch.after == Action(go=Go.USER, target="4001", transfer=True)
    options = changed(UserOptions, None, ["keys.5=handler:sales", "transfer.number=4002", "speed=1.5"])
    handler = changed(CallHandler, None, ["wait_for_digits_after.5=3.5", "wait_for_digits_after.0=0"])
    assert shown(handler)["wait_for_digits_after.5"] == "3.5"
    for policy in (schedule, days, switch, options, handler):
        assert changed(type(policy), None, lines(policy)) == policy


def test_one_value_is_changed_and_the_rest_stays() -> None:
    cos = ClassOfService(may_broadcast=True)
    after = changed(ClassOfService, cos, ["quota.warn=20M", "keep_deleted=no"])
    assert (after.quota.warn, after.quota.no_send, after.may_broadcast) == (20_000_000, 13_000_000, True)
    assert not after.keep_deleted and cos.keep_deleted
    handler = changed(
        CallHandler, CallHandler(keys={"1": Action(go=Go.HANG_UP)}), ["keys.#=sign-in", "keys.1=-"]
    )
    assert handler.keys == {"#": Action(go=Go.SIGN_IN)}
    waits = changed(
        CallHandler, CallHandler(wait_for_digits_after={"1": 2, "2": 3}), ["wait_for_digits_after.2=-"]
    )
    assert waits.wait_for_digits_after == {"1": 2.0}
    assert changed(Members, Members(members=("1",)), ["members="]).members == ()
    assert changed(UserOptions, UserOptions(keys={}), ["keys=-"]).keys is None


@pytest.mark.parametrize(
    ("kind", "pair", "told"),
    [
        (ClassOfService, "quota", "'quota': give key=value"),
        (ClassOfService, "qouta.warn=1", "qouta.warn: there is no such key; known: pin_rules,"),
        (ClassOfService, "quota.wran=1", "quota.wran: there is no such key; known: "),
        (ClassOfService, "quota=1", "quota: there is no such key; known: "),
        (ClassOfService, "keep_deleted.x=1", "keep_deleted.x: there is no such key"),
        (ClassOfService, "quota.warn=lots", "quota.warn: input should be a valid integer"),
        (ClassOfService, "keep_deleted=maybe", "keep_deleted: input should be a valid boolean"),
        (ClassOfService, "longest_message=0", "longest_message: input should be greater than 0 (not '0')"),
        (CallHandler, "keys.12=ignore", "keys.12: '12' is no key of a telephone"),
        (CallHandler, "wait_for_digits_after.x=1", "wait_for_digits_after.x: 'x' is no key of a telephone"),
        (CallHandler, "wait_for_digits_after.1=11", "wait_for_digits_after.1: input should be less than or"),
        (CallHandler, "wait_for_digits_after.1=-1", "wait_for_digits_after.1: input should be greater"),
        (CallHandler, "wait_for_digits_after.1=nan", "wait_for_digits_after.1: input should be"),
        (CallHandler, "wait_for_digits_after.1=long", "wait_for_digits_after.1: input should be a valid n"),
        (CallHandler, "wait_for_digits_after=3", "wait_for_digits_after: input should be a valid dict"),
        (CallHandler, "keys.1=go", "keys.1: 'go' is no action; known: ignore, hang-up,"),
        (CallHandler, "keys.1=handler", "keys.1: handler needs a target: handler:…"),
        (CallHandler, "keys.1=hang-up:4", "keys.1: hang-up has no target"),
        (Schedule, "blocks=mo-fr 8-17", "blocks: 'mo-fr 8-17': write it as mon-fri 08:00-17:00"),
        (Schedule, "blocks=mo 8:00-17:00", "blocks: 'mo': days are mon,"),
        (Schedule, "blocks=mon 8:00-25:00", "blocks: '25:00' is no time of day"),
        (Holidays, "days=2026-12-26..2026-12-24", "days: '2026-12-26..2026-12-24' ends before it begins"),
        (Holidays, "days=24.12.2026", "days: '24.12.2026': write it as 2026-12-24"),
        (RestrictionTable, "rows=4*", "rows: '4*': write allow or refuse, and a pattern"),
        (RestrictionTable, "rows=allow a*", "rows: 'allow a*': write allow or refuse"),
        (GreetingSwitch, "until=tomorrow", "until: 'tomorrow': write it as 2026-12-24"),
        (RoutingRule, "order=1", "table: field required"),
    ],
)
def test_a_mistake_is_told_with_its_key(kind: type[Policy], pair: str, told: str) -> None:
    with pytest.raises(VoicemailError) as error:
        changed(kind, None, [pair])
    assert str(error.value).startswith(told)


def test_every_key_that_is_told_is_known() -> None:
    def sample(key: str) -> Any:
        return changed(UserOptions, None, [key.replace("?", "1") + "=-"])

    for key in keys(UserOptions):
        try:
            sample(key)
        except VoicemailError as error:
            assert "no such key" not in str(error)
