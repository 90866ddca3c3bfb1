"""Rules by which calls that come through a handler are put through before the greeting (functions.md 2.3).

Every user and handler has three: alternate, closed, standard, in this order of precedence. The standard one
always holds; the others only while they are active."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from voicemail.policy.base import Policy


class OnBusy(StrEnum):
    """What becomes of a caller whose call finds the line busy, where the transfer is supervised."""

    GREETING = "greeting"
    ASK = "ask"
    """Wait, or leave a message: only who wants to waits."""
    HOLD = "hold"
    """Wait; who wants to leaves a message."""


class Transfer(Policy):
    """Whether and how a call is put through."""

    enabled: bool = False
    """False: the greeting answers at once."""
    number: str = ""
    """"" is the owner's extension."""
    supervised: bool = False
    """We ring the number, and callers come back when nobody takes the call. What follows is for
    supervised ones only."""
    ring_seconds: float = Field(20.0, ge=5, le=120)
    on_busy: OnBusy = OnBusy.GREETING
    announce: bool = False
    """Who answers hears whom the call is for."""
    ask_name: bool = False
    """Callers say their names before it rings, and who answers hears that."""
    confirm: bool = False
    """Who answers is asked whether to take the call."""

    @model_validator(mode="before")
    @classmethod
    def _hold_of_old(cls, data: Any) -> Any:
        """Before there was `on_busy`, `hold` let callers wait who wanted to."""
        if isinstance(data, Mapping) and "on_busy" not in data and data.get("hold"):
            return {**data, "on_busy": OnBusy.ASK}
        return data

    @property
    def screened(self) -> bool:
        """Whether who answers is spoken to before the caller is joined."""
        return self.supervised and (self.announce or self.ask_name or self.confirm)


class OtherTransfer(Transfer):
    """A rule that takes the standard one's place while it is active."""

    active: bool = False
    until: datetime | None = None
    """Not active from then on."""
    enabled: bool = True


class RuleKind(StrEnum):
    """In order of precedence."""

    ALTERNATE = "alternate"
    CLOSED = "closed"
    STANDARD = "standard"


FIELDS: Mapping[RuleKind, str] = {
    RuleKind.ALTERNATE: "alternate_transfer",
    RuleKind.CLOSED: "closed_transfer",
    RuleKind.STANDARD: "transfer",
}
"""Where a user's options and a handler keep them."""
Rules = Mapping[RuleKind, Transfer]
"""All three of one owner."""


def rules_of(owner: Policy) -> Rules:
    """Of a user's options, or a handler."""
    return {kind: getattr(owner, field) for kind, field in FIELDS.items()}


def current(rule: Transfer, now: datetime) -> Transfer:
    """How a rule stands now: one whose end has come is not active."""
    if isinstance(rule, OtherTransfer) and rule.until and rule.until <= now:
        return rule.model_copy(update={"active": False, "until": None})
    return rule


def in_force(rules: Rules, *, now: datetime, open_: bool) -> RuleKind:
    """Alternate, closed, standard: the first that is active and fits the hour. `open_` says whether the
    owner's schedule is active. `now` has a time zone."""
    fits = ((RuleKind.ALTERNATE, True), (RuleKind.CLOSED, not open_))
    found = (kind for kind, fit in fits if fit and _is_active(rules[kind], now))
    return next(found, RuleKind.STANDARD)


def _is_active(rule: Transfer, now: datetime) -> bool:
    rule = current(rule, now)
    return isinstance(rule, OtherTransfer) and rule.active
