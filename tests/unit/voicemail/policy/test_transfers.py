"""Which of a host's three transfer rules holds, and rules as older releases wrote them."""

from datetime import UTC, datetime, timedelta

import pytest

from voicemail.policy.model import Action, CallHandler, Go, Restriction, RestrictionTable, UserOptions
from voicemail.policy.text import changed, shown
from voicemail.policy.transferred import no_numbers, refused
from voicemail.policy.transfers import FIELDS, OnBusy, OtherTransfer, RuleKind, Transfer, in_force, rules_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
ON, OFF = OtherTransfer(active=True), OtherTransfer()


@pytest.mark.parametrize(
    ("alternate", "closed", "open_", "holds"),
    [
        (OFF, OFF, True, "standard"),
        (OFF, OFF, False, "standard"),
        (OFF, ON, True, "standard"),
        (OFF, ON, False, "closed"),
        (ON, OFF, True, "alternate"),
        (ON, ON, False, "alternate"),
        (OtherTransfer(active=True, until=LATER), ON, False, "alternate"),
        (OtherTransfer(active=True, until=NOW), ON, False, "closed"),
        (OtherTransfer(active=True, until=EARLIER), OFF, False, "standard"),
        (OtherTransfer(until=LATER), OFF, True, "standard"),
        (OFF, OtherTransfer(active=True, until=EARLIER), False, "standard"),
    ],
)
def test_alternate_overrides_closed_which_overrides_standard(
    alternate: OtherTransfer, closed: OtherTransfer, open_: bool, holds: str
) -> None:
    rules = rules_of(UserOptions(alternate_transfer=alternate, closed_transfer=closed))
    assert in_force(rules, now=NOW, open_=open_) == holds


def test_users_and_handlers_keep_all_three() -> None:
    for owner in (UserOptions(), CallHandler()):
        assert rules_of(owner) == {
            RuleKind.STANDARD: Transfer(), RuleKind.CLOSED: OFF, RuleKind.ALTERNATE: OFF
        }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "on_busy"),
    [
        ('{"transfer": {"enabled": true, "supervised": true, "hold": true}}', OnBusy.ASK),
        ('{"transfer": {"enabled": true, "hold": false, "of_next_year": 1}}', OnBusy.GREETING),
        ('{"transfer": {"enabled": true, "hold": true, "on_busy": "hold"}}', OnBusy.HOLD),
        ('{"transfer": {"enabled": true}}', OnBusy.GREETING),
    ],
)
def test_what_older_releases_wrote_goes_on_to_hold(written: str, on_busy: OnBusy) -> None:
    for kind in (UserOptions, CallHandler):
        policy = kind.model_validate_json(written)
        assert (policy.transfer.enabled, policy.transfer.on_busy) == (True, on_busy)
        assert (policy.closed_transfer, policy.alternate_transfer) == (OFF, OFF)
        assert kind.model_validate_json(policy.model_dump_json()) == policy


@pytest.mark.parametrize(
    ("screened", "fields"),
    [
        (True, {"supervised": True, "announce": True}),
        (True, {"supervised": True, "ask_name": True}),
        (True, {"supervised": True, "confirm": True}),
        (False, {"supervised": True}),
        (False, {"announce": True, "ask_name": True, "confirm": True}),
    ],
)
def test_only_who_is_rung_by_us_can_be_spoken_to(screened: bool, fields: dict[str, bool]) -> None:
    assert Transfer.model_validate(fields).screened is screened


def test_every_value_is_set_and_shown_by_its_key() -> None:
    pairs = {
        "alternate_transfer.active": "yes", "alternate_transfer.until": "2026-12-31 00:00:00+00:00",
        "alternate_transfer.number": "4002", "alternate_transfer.enabled": "no",
        "closed_transfer.supervised": "yes", "closed_transfer.ring_seconds": "30",
        "closed_transfer.on_busy": "hold", "closed_transfer.announce": "yes",
        "closed_transfer.ask_name": "yes", "closed_transfer.confirm": "yes",
    }  # fmt: skip
    for kind in (UserOptions, CallHandler):
        policy = changed(kind, None, [f"{key}={text}" for key, text in pairs.items()])
        assert {key: shown(policy)[key] for key in pairs} == pairs


def test_numbers_of_every_rule_and_key_are_looked_at() -> None:
    table = RestrictionTable(rows=(Restriction(pattern="4*", allow=True),))
    keys = {"5": Action(go=Go.TRANSFER, target="900")}
    bad, junk = OtherTransfer(number="900"), Transfer(number="x")
    owner = CallHandler(alternate_transfer=bad, closed_transfer=bad, transfer=junk, keys=keys)
    wrong = [f"{FIELDS[kind]}.number" for kind in (RuleKind.ALTERNATE, RuleKind.CLOSED)] + ["keys.5"]
    assert list(refused({"t": table}, "t", owner)) == [
        f"{key}: 900 is refused by restriction 't'" for key in wrong
    ]
    assert list(no_numbers(owner)) == ["transfer.number: 'x' is no number"]
    allowed = CallHandler(alternate_transfer=OtherTransfer(number="4001"))
    assert list(refused({"t": table}, "t", allowed)) == []
    assert list(refused({}, "t", allowed)) == [
        "alternate_transfer.number: 4001 is refused by restriction 't'"
    ]
