"""Numbers, times and counts as sequences of prompts, in English.

Each function is pure and returns prompt names, ready for `call.play(*names)`. Another language is a
catalogue of its own and a module with these same functions: word order and plurals are code, everything
that is said is data. Numerals of 0 to 99 and hundreds are one prompt each, so most languages need no
other way of building numbers.
"""

from datetime import datetime, timedelta

Names = tuple[str, ...]

DIALLED = {str(digit): f"n_{digit}" for digit in range(10)} | {"+": "plus", "*": "star", "#": "pound"}
SEPARATORS = " -.()/"
LARGEST = 999_999

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


def digits(text: str) -> Names:
    """An extension, digit by digit. What cannot be said ("-", letters) is left out."""
    return tuple(DIALLED[sign] for sign in text if sign in DIALLED)


def phone_number(text: str) -> Names:
    """A caller's number, digit by digit. () when it is none, such as "" or "anonymous": half a
    number would mislead more than "an outside caller" does."""
    dialled = text.translate(str.maketrans("", "", SEPARATORS))
    spoken = digits(dialled)
    return spoken if len(spoken) == len(dialled) else ()


def number(value: int) -> Names:
    """A cardinal number, 0 to 999,999. ValueError beyond."""
    if not 0 <= value <= LARGEST:
        raise ValueError(f"{value} cannot be spoken: 0 to {LARGEST} can")
    if value >= 1000:
        thousands, rest = divmod(value, 1000)
        return (*number(thousands), "thousand", *(number(rest) if rest else ()))
    if value >= 100:
        rest = value % 100
        return (f"n_{value - rest}", *(number(rest) if rest else ()))
    return (f"n_{value}",)


def count(noun: str, value: int) -> Names:
    """So many of something: "no new messages", "one new message", "two new messages".

    `noun` is the prompt of the singular; the plural's has an "s" appended.
    """
    if value == 0:
        return ("no", f"{noun}s")
    return (*number(value), noun if value == 1 else f"{noun}s")


def duration(seconds: float) -> Names:
    """A length of time, rounded to seconds (at least one): "one minute and twelve seconds"."""
    minutes, rest = divmod(max(1, round(seconds)), 60)
    if not minutes:
        return count("second", rest)
    if not rest:
        return count("minute", minutes)
    return (*count("minute", minutes), "and", *count("second", rest))


def moment(when: datetime, now: datetime) -> Names:
    """A time in the past as seen from `now`: "today at three oh five p.m.".

    Both carry a time zone; it is told in that of `now`, the listener's.
    """
    local = when.astimezone(now.tzinfo)
    return (*_day(local, now), "at", *_time(local))


def _day(when: datetime, now: datetime) -> Names:
    """Today, yesterday, or the date; with the year instead of the weekday when it is another year."""
    if when.date() == now.date():
        return ("today",)
    if when.date() == now.date() - timedelta(days=1):
        return ("yesterday",)
    date = (MONTHS[when.month - 1], f"ord_{when.day}")
    if when.year == now.year:
        return (WEEKDAYS[when.weekday()], *date)
    return (*date, *_year(when.year))


def _year(year: int) -> Names:
    """2026 as "twenty twenty-six", 2005 as "two thousand five"."""
    century, rest = divmod(year, 100)
    return (*number(century), *number(rest)) if rest >= 10 else number(year)


def _time(when: datetime) -> Names:
    hour = f"n_{when.hour % 12 or 12}"
    half = "am" if when.hour < 12 else "pm"
    if when.minute == 0:
        return (hour, half)
    return (hour, *(("oh",) if when.minute < 10 else ()), f"n_{when.minute}", half)
