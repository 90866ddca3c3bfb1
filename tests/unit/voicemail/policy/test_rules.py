"""Schedules, greetings, routing, quotas and PINs: what policies say of a moment, a call, a mailbox."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from argon2 import PasswordHasher

from voicemail.policy import greeting, pin_rules, quota, routing
from voicemail.policy.builtin import BUILT_IN, OPENING
from voicemail.policy.model import (
    Action,
    Block,
    Go,
    GreetingKind,
    GreetingSwitch,
    Holidays,
    PinRules,
    Quota,
    RoutingRule,
    Schedule,
    Table,
)
from voicemail.policy.quota import QuotaState
from voicemail.policy.routing import Facts
from voicemail.policy.schedule import is_active, is_holiday

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)


def on(day: int, hour: int, minute: int = 0) -> datetime:
    """Day 0 is a Monday."""
    return MONDAY.replace(hour=hour, minute=minute) + timedelta(days=day)


OFFICE = BUILT_IN[Schedule]["weekdays"]
NIGHT = Schedule(blocks=(Block(weekdays=(4,), start=time(22), end=time(6)),))
CHRISTMAS = Holidays(days=((date(2026, 11, 23), date(2026, 11, 24)),))


@pytest.mark.parametrize(
    ("schedule", "at", "active"),
    [
        (OFFICE, on(0, 8), True),
        (OFFICE, on(0, 7, 59), False),
        (OFFICE, on(4, 16, 59), True),
        (OFFICE, on(4, 17), False),
        (OFFICE, on(5, 12), False),
        (BUILT_IN[Schedule]["always"], on(6, 23, 59), True),
        (Schedule(), on(0, 12), False),
        (NIGHT, on(4, 21, 59), False),
        (NIGHT, on(4, 23), True),
        (NIGHT, on(5, 5, 59), True),
        (NIGHT, on(5, 6), False),
        (NIGHT, on(4, 5), False),
        (NIGHT, on(5, 23), False),
    ],
)
def test_a_schedule_is_active_within_its_blocks(schedule: Schedule, at: datetime, active: bool) -> None:
    assert is_active(schedule, None, at) is active


def test_no_schedule_is_active_on_a_holiday() -> None:
    assert [is_holiday(CHRISTMAS, on(day, 23)) for day in (-1, 0, 1, 2)] == [False, True, True, False]
    assert not is_active(OFFICE, CHRISTMAS, on(1, 12)) and is_active(OFFICE, CHRISTMAS, on(2, 12))


ORDER = ("alternate", "busy", "internal", "holiday", "closed")
ALL_ON = {kind: GreetingSwitch(enabled=True) for kind in ORDER}


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_greeting_that_is_on_and_fits_is_heard(first: int) -> None:
    left = {kind: ALL_ON[kind] for kind in ORDER[first:]}
    chosen = greeting.choose(left, now=MONDAY, busy=True, internal=True, open_=False, holiday=True)
    assert chosen == ORDER[first]


def test_a_greeting_that_does_not_fit_the_call_is_not_heard() -> None:
    del (left := dict(ALL_ON))["alternate"]
    chosen = greeting.choose(left, now=MONDAY, busy=False, internal=False, open_=True, holiday=False)
    assert chosen is GreetingKind.STANDARD
    closed = greeting.choose(left, now=MONDAY, busy=False, internal=False, open_=False, holiday=False)
    assert closed is GreetingKind.CLOSED


def test_a_greeting_is_off_from_its_end_on() -> None:
    switches = {"alternate": GreetingSwitch(enabled=True, until=MONDAY)}

    def chosen(now: datetime) -> GreetingKind:
        return greeting.choose(switches, now=now, busy=False, internal=False, open_=True, holiday=False)

    assert chosen(MONDAY - timedelta(seconds=1)) is GreetingKind.ALTERNATE
    assert chosen(MONDAY) is GreetingKind.STANDARD


def test_only_an_enabled_greeting_is_heard() -> None:
    off = {kind: GreetingSwitch() for kind in ORDER}
    chosen = greeting.choose(off, now=MONDAY, busy=True, internal=True, open_=False, holiday=True)
    assert chosen is GreetingKind.STANDARD


BUILT_IN_RULES = BUILT_IN[RoutingRule]
BUILT_IN_FIRST = "dialled-mailbox"
CALL = Facts(calling="+497111234", dialled="4001", trunk="pbx")
TO_ONE = Action(go=Go.USER, target="4001")


def rule(
    order: int = 100, action: Action = TO_ONE, table: Table = Table.DIRECT, **more: object
) -> RoutingRule:
    return RoutingRule.model_validate({"table": table, "order": order, "action": action, **more})


def decided(call: Facts = CALL, after: str = "", **rules: RoutingRule) -> str:
    built_in = {**BUILT_IN_RULES, **rules}
    return routing.decide(built_in, Table.DIRECT, call, lambda name: name == "always", after)[0]


@pytest.mark.parametrize(
    ("table", "tried"),
    [
        (Table.DIRECT, [Go.ATTEMPT_FORWARD, Go.ATTEMPT_SIGN_IN, Go.HANDLER]),
        (Table.FORWARDED, [Go.ATTEMPT_FORWARD, Go.HANDLER, Go.HANDLER]),
    ],
)
def test_without_rules_of_the_house_mailboxes_are_tried_then_signing_in(
    table: Table, tried: list[Go]
) -> None:
    name, done = "", []
    for _ in tried:
        name, action = routing.decide(BUILT_IN_RULES, table, CALL, lambda _: True, after=name)
        done.append(action.go)
    assert done == tried


@pytest.mark.parametrize("table", Table)
def test_every_table_ends_at_the_opening_greeting(table: Table) -> None:
    for after in (routing.LAST[table], "was removed"):
        _, action = routing.decide(BUILT_IN_RULES, table, CALL, lambda _: True, after=after)
        assert (action.go, action.target) == (Go.HANDLER, OPENING)
    assert routing.decide({}, table, CALL, lambda _: True)[1].target == OPENING


def test_rules_are_tried_in_order_then_by_name() -> None:
    assert decided(b=rule(), a=rule(), c=rule(order=99)) == "c"
    assert decided(b=rule(), a=rule()) == "a"
    assert decided(a=rule(order=9500)) == BUILT_IN_FIRST
    assert decided(a=rule(order=10**6), after="attempt-sign-in") == "a"  # the end is always last
    assert decided(a=rule(table=Table.FORWARDED)) == BUILT_IN_FIRST


def test_next_rule_goes_on_behind_a_rule() -> None:
    rules = {"a": rule(action=Action(go=Go.NEXT_RULE)), "b": rule(order=200), "c": rule(order=300)}
    assert decided(**rules) == "b"
    assert decided(after="b", **rules) == "c"
    assert decided(after="was removed", **rules) == "opening-greeting-direct"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"calling": ["+49*"]}, True),
        ({"calling": ["+33*", "*1234"]}, True),
        ({"calling": ["+33*"]}, False),
        ({"dialled": ["40??"], "trunk": ["pbx"]}, True),
        ({"dialled": ["40??"], "trunk": ["other"]}, False),
        ({"trunk": ["p*"]}, True),
        ({"trunk": ["*x"]}, True),
        ({"trunk": ["q*", "pb?"]}, True),
        ({"trunk": ["q*"]}, False),
        ({"dialled": ["4000-4099"]}, True),
        ({"dialled": ["4002-4099"]}, False),
        ({"dialled": ["<4002"]}, True),
        ({"dialled": [">=4001"]}, True),
        ({"dialled": ["<=4000"]}, False),
        ({"dialled": [">4001"]}, False),
        ({"forwarding": ["*"]}, True),
        ({"forwarding": ["4*"]}, False),
        ({"schedule": "always"}, True),
        ({"schedule": "weekdays"}, False),
        ({"active": False}, False),
    ],
)
def test_a_rule_decides_when_all_that_it_asks_is_met(condition: dict[str, object], holds: bool) -> None:
    assert decided(mine=rule(**condition)) == ("mine" if holds else BUILT_IN_FIRST)


def test_numbers_abroad_are_compared_in_one_spelling() -> None:
    call = replace(CALL, calling="00497111234")
    assert decided(call, mine=rule(calling=["+49*"])) == "mine"


@pytest.mark.parametrize("condition", ["", "4 0", "<", "=4", "ä"])
def test_what_is_no_condition_is_told(condition: str) -> None:
    assert routing.why_no_condition(condition)
    assert not routing.why_no_condition("40??")


@pytest.mark.parametrize(
    ("size", "state"),
    [(0, "ok"), (9, "ok"), (10, "nearly full"), (20, "no sending"), (29, "no sending"), (30, "full")],
)
def test_a_quota_that_is_reached_counts(size: int, state: QuotaState) -> None:
    assert quota.state(Quota(warn=10, no_send=20, no_receive=30), size) == state


def test_a_quota_of_nothing_is_no_limit() -> None:
    assert quota.state(Quota(warn=0, no_send=0, no_receive=0), 10**12) is QuotaState.OK


RULES = PinRules()
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def test_a_pin_is_refused_that_is_trivial_short_or_was_used() -> None:
    assert pin_rules.why_refused("74", "4001", RULES) == "a PIN has at least 6 digits"
    assert pin_rules.why_refused("123456", "4001", RULES)
    assert pin_rules.why_refused("740017", "4001", RULES)
    assert pin_rules.why_refused("258137", "4001", RULES, previous="258138")
    assert pin_rules.why_refused("258137", "4001", RULES, old=(False, True)) == "it was used before"
    assert pin_rules.why_refused("258137", "4001", RULES, old=(False,)) == ""


async def test_a_pin_is_compared_with_as_many_as_the_rules_look_back() -> None:
    rules = PinRules(history=2)
    one, two, three = (CHEAP.hash(pin) for pin in ("111", "222", "333"))
    hashes = pin_rules.history(three, (two, one), rules)
    assert hashes == (three, two)
    assert await pin_rules.compared("222", hashes, rules) == (False, True)
    assert await pin_rules.compared("111", (*hashes, one), rules) == (False, False)


def test_a_pin_lasts_as_long_as_the_rules_say() -> None:
    day = timedelta(days=1)
    assert pin_rules.too_soon(MONDAY, MONDAY + 0.9 * day, RULES)
    assert not pin_rules.too_soon(MONDAY, MONDAY + day, RULES)
    assert not pin_rules.too_soon(None, MONDAY, RULES)
    ages = (0, 164, 165, 179.5, 180)
    assert [pin_rules.days_left(MONDAY, MONDAY + age * day, RULES) for age in ages] == [
        None,
        None,
        15,
        0,
        None,
    ]
    assert [pin_rules.expired(MONDAY, MONDAY + age * day, RULES) for age in (179.9, 180)] == [False, True]
    assert not pin_rules.expired(None, MONDAY, RULES)
    assert not pin_rules.expired(MONDAY, MONDAY + 9999 * day, PinRules(most_days=0))


@pytest.mark.parametrize(("least", "pins"), [(0, 0), (1, 1), (2, 55)])
def test_a_new_pin_differs_from_the_present_one_in_as_many_digits_as_it_must(least: int, pins: int) -> None:
    refused = pin_rules.too_like("839204", PinRules(least_changed=least))
    assert len(refused) == len(set(refused)) == pins
    assert all(sum(a != b for a, b in zip("839204", each, strict=True)) < least for each in refused)
