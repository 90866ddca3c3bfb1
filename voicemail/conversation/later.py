"""Days and times as they are entered by keypad. Pure."""

from datetime import datetime, timedelta


def day_of(digits: str, now: datetime) -> datetime | None:
    """The next day of this month and day ("0304"), its midnight, in the time zone of `now`; "" is today.
    None when there is no such day within a year."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if not digits:
        return midnight
    for year in (now.year, now.year + 1):
        day = _day(year, digits)
        if day and day.replace(tzinfo=now.tzinfo) >= midnight:
            return day.replace(tzinfo=now.tzinfo)
    return None


def moment_of(day: datetime, digits: str, now: datetime) -> datetime | None:
    """This time ("0930", or "930") of a day; tomorrow's when it is past already today. None for no time."""
    if not (digits.isdecimal() and 3 <= len(digits) <= 4):
        return None
    hours, minutes = int(digits[:-2]), int(digits[-2:])
    if hours > 23 or minutes > 59:
        return None
    moment = day.replace(hour=hours, minute=minutes)
    return moment if moment > now else moment + timedelta(days=1)


def _day(year: int, digits: str) -> datetime | None:
    try:
        return datetime.strptime(f"{year}{digits}", "%Y%m%d") if len(digits) == 4 else None
    except ValueError:
        return None
