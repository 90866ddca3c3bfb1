"""Which greeting a caller hears (functions.md section 2.3)."""

from collections.abc import Mapping
from datetime import datetime

from voicemail.policy.model import GreetingKind, GreetingSwitch


def is_on(switch: GreetingSwitch | None, now: datetime) -> bool:
    """Whether a greeting is switched on: not from its `until` on."""
    return switch is not None and switch.enabled and (switch.until is None or now < switch.until)


def choose(
    switches: Mapping[str, GreetingSwitch],
    *,
    now: datetime,
    busy: bool,
    internal: bool,
    open_: bool,
    holiday: bool,
) -> GreetingKind:
    """Alternate, busy, internal, holiday, closed: the first that is on and fits the call; else standard.
    `switches` are by GreetingKind; `open_` says whether the schedule is active, `holiday` whether today is
    one of its holidays. `now` has a time zone."""
    fits = (
        (GreetingKind.ALTERNATE, True),
        (GreetingKind.BUSY, busy),
        (GreetingKind.INTERNAL, internal),
        (GreetingKind.HOLIDAY, holiday),
        (GreetingKind.CLOSED, not open_),
    )
    found = (kind for kind, fit in fits if fit and is_on(switches.get(kind), now))
    return next(found, GreetingKind.STANDARD)
