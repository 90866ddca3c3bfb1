"""Numbers, times and counts as sequences of prompts, in German. See `en` for what each function says.

What differs: the ones come before the tens (one prompt each, so no code here); a count's "one" and its
"none" agree with the noun, and all nouns counted here are feminine; hours go to 24, with "Uhr" behind
the hour, where one is "ein"; the day of the month comes before the month.
"""

from datetime import datetime, timedelta

from voicemail.words import en

Names = tuple[str, ...]

digits = en.digits
phone_number = en.phone_number
number = en.number


def count(noun: str, value: int) -> Names:
    """ "Keine neuen Nachrichten", "eine neue Nachricht", "zwei neue Nachrichten"."""
    if value == 0:
        return (f"none_{noun}s",)
    if value == 1:
        return ("one_feminine", noun)
    return (*number(value), f"{noun}s")


def duration(seconds: float) -> Names:
    """ "Eine Minute und zwölf Sekunden"."""
    minutes, rest = divmod(max(1, round(seconds)), 60)
    if not minutes:
        return count("second", rest)
    if not rest:
        return count("minute", minutes)
    return (*count("minute", minutes), "and", *count("second", rest))


def moment(when: datetime, now: datetime) -> Names:
    """ "Heute um fünfzehn Uhr fünf"."""
    local = when.astimezone(now.tzinfo)
    return (*_day(local, now), "at", *_time(local))


def _day(when: datetime, now: datetime) -> Names:
    if when.date() == now.date():
        return ("today",)
    if when.date() == now.date() - timedelta(days=1):
        return ("yesterday",)
    date = (f"ord_{when.day}", en.MONTHS[when.month - 1])
    if when.year == now.year:
        return (en.WEEKDAYS[when.weekday()], *date)
    return (*date, *number(when.year))


def _time(when: datetime) -> Names:
    hour = ("one_before_uhr",) if when.hour == 1 else number(when.hour)
    return (*hour, "uhr", *(number(when.minute) if when.minute else ()))
