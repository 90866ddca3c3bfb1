"""What a new PIN has to be like, and how long it lasts (functions.md section 8).

What a PIN must never be is in `voicemail.pins`; here is what an administrator sets.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from voicemail import pins
from voicemail.policy.model import PinRules


def why_refused(
    pin: str, extension: str, rules: PinRules, *, previous: str = "", old: Iterable[bool] = ()
) -> str:
    """Why a PIN may not be used, in words; "" when it may. `previous` is the one it replaces, where it is
    known; `old` says of each earlier PIN, latest first, whether this is the same (`compared`)."""
    why = pins.why_refused(pin, extension, shortest=rules.shortest, previous=previous)
    return why or ("it was used before" if any(old) else "")


def neighbours(pin: str) -> tuple[str, ...]:
    """The PINs of the same length one above and one below: whoever had one of them may not have this one."""
    around = (int(pin) - 1, int(pin) + 1)
    return tuple(f"{each:0{len(pin)}}" for each in around if 0 <= each < 10 ** len(pin))


def too_like(pin: str, rules: PinRules) -> tuple[str, ...]:
    """The PINs of the same length that differ from this one in fewer digits than they must: the present one
    may be none of them."""
    if rules.least_changed < 2:
        return (pin,) * rules.least_changed
    places = ((pin[:at], pin[at + 1 :]) for at in range(len(pin)))
    others = dict.fromkeys(before + digit + after for before, after in places for digit in "0123456789")
    return tuple(others)


async def compared(pin: str, hashes: Iterable[str], rules: PinRules) -> tuple[bool, ...]:
    """Whether a PIN is one of the earlier ones, latest first, as far back as the rules look. Some 4 ms
    each, in a thread."""
    return tuple([await pins.compare(each, pin) for each in tuple(hashes)[: rules.history]])


def history(replaced: str, hashes: tuple[str, ...], rules: PinRules) -> tuple[str, ...]:
    """The hashes to keep when `replaced` is no longer the present one."""
    return tuple(each for each in (replaced, *hashes) if each)[: rules.history]


def too_soon(changed: datetime | None, now: datetime, rules: PinRules) -> bool:
    """Whether a PIN has not lasted long enough for its user to change it. Not asked of one that an
    administrator gave (must_change_pin)."""
    return changed is not None and now < changed + timedelta(minutes=rules.least_minutes)


def expired(changed: datetime | None, now: datetime, rules: PinRules) -> bool:
    """Whether a PIN has to be changed. One of which nobody knows how old it is lasts."""
    return rules.most_days > 0 and changed is not None and now >= _end(changed, rules)


def days_left(changed: datetime | None, now: datetime, rules: PinRules) -> int | None:
    """Whole days until it expires, once the user is to be warned; else None."""
    if not rules.most_days or changed is None:
        return None
    left = _end(changed, rules) - now
    return left.days if timedelta(0) < left <= timedelta(days=rules.warn_days) else None


def _end(changed: datetime, rules: PinRules) -> datetime:
    return changed + timedelta(days=rules.most_days)
