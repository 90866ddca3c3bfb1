"""The judgement of sign-in attempts, walked through apart from any database."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from store.ids import uuid7
from store.lockout import SignInEvent, allowed, horizon, locked_until
from store.signing_in import PinPolicy

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = PinPolicy(failures=3, window_minutes=30, lock_minutes=20)


def event(hlc: int, minute: float = 0, kind: str = "begin") -> SignInEvent:
    return SignInEvent(uuid7(), hlc, NOON + timedelta(minutes=minute), kind)


def test_an_attempt_that_sees_too_many_others_is_refused_although_it_came_early() -> None:
    events = [event(hlc) for hlc in range(4)]
    assert not any(allowed(events, each.id, POLICY) for each in events)
    assert all(allowed(events[:3], each.id, POLICY) for each in events[:3])


def test_a_success_after_it_does_not_change_what_an_attempt_saw() -> None:
    events = [event(hlc) for hlc in range(3)]
    assert allowed([*events, event(9, kind="success")], events[2].id, POLICY)


def test_the_lock_runs_from_the_failure_that_reached_the_limit() -> None:
    events = [event(1, 0), event(2, 5), event(3, 9), event(4, 20)]
    assert locked_until(events, POLICY, NOON) == NOON + timedelta(minutes=29)


@given(
    st.lists(
        st.tuples(st.floats(0, 300), st.sampled_from(["begin"] * 6 + ["success", "unlock"])), max_size=40
    )
)
def test_no_window_holds_more_allowed_attempts_than_the_policy(history: list[tuple[float, str]]) -> None:
    events: list[SignInEvent] = []
    guesses: list[datetime] = []
    for hlc, (minute, kind) in enumerate(sorted(history)):
        new = event(hlc, minute, kind)
        if kind == "begin" and locked_until(events, POLICY, new.at):
            continue
        events.append(new)
        if kind != "begin":
            guesses = []
        elif allowed(events, new.id, POLICY):
            guesses.append(new.at)
            recent = [guess for guess in guesses if guess > new.at - timedelta(minutes=20)]
            assert len(recent) <= POLICY.failures


@given(st.lists(st.floats(0, 300), max_size=20), st.lists(st.floats(330, 600), max_size=20))
def test_what_lies_before_a_quiet_time_changes_nothing(before: list[float], after: list[float]) -> None:
    events: list[SignInEvent] = []
    for hlc, minute in enumerate(sorted(before) + sorted(after)):
        new = event(hlc, minute)
        if not locked_until(events, POLICY, new.at):
            events.append(new)
    late = [each for each in events if each.at >= NOON + timedelta(minutes=330)]
    for minute in (330, 400, *after):
        now = NOON + timedelta(minutes=minute)
        assert locked_until(late, POLICY, now) == locked_until(events, POLICY, now)


def test_a_day_of_attempts_is_asked_for_and_more_with_a_policy_of_long_times() -> None:
    assert NOON - horizon(POLICY, NOON) == timedelta(days=1)
    weekly = PinPolicy(failures=3, window_minutes=30, lock_minutes=7 * 24 * 60)
    assert NOON - horizon(weekly, NOON) > timedelta(days=14)
