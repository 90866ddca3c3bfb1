"""When somebody is there."""

from datetime import datetime, time, timedelta

from voicemail.policy.model import Block, Holidays, Schedule

MIDNIGHT = time(0)


def is_active(schedule: Schedule, holidays: Holidays | None, at: datetime) -> bool:
    """Whether a schedule is active at a moment, given in the time zone in which it is to be read.
    `holidays` are those that it names; None for none."""
    return not is_holiday(holidays, at) and any(_within(block, at) for block in schedule.blocks)


def is_holiday(holidays: Holidays | None, at: datetime) -> bool:
    """Whether the day of a moment, in its own time zone, is a day off."""
    return holidays is not None and any(first <= at.date() <= last for first, last in holidays.days)


def _within(block: Block, at: datetime) -> bool:
    """A block that ends before it starts ends on the next day."""
    now, day = at.time(), at.weekday()
    if block.end == MIDNIGHT:
        return day in block.weekdays and now >= block.start
    if block.start < block.end:
        return day in block.weekdays and block.start <= now < block.end
    yesterday = (at.date() - timedelta(days=1)).weekday()
    return (day in block.weekdays and now >= block.start) or (yesterday in block.weekdays and now < block.end)


FAR = 62
"""Days that are looked ahead."""


def next_active(schedule: Schedule, holidays: Holidays | None, at: datetime) -> datetime | None:
    """The first moment from `at` on, given in the time zone in which the schedule is to be read, when it is
    active; None when that is not within two months."""
    if is_active(schedule, holidays, at):
        return at
    starts = sorted({MIDNIGHT, *(block.start for block in schedule.blocks)})
    for day in range(FAR + 1):
        for start in starts:
            moment = datetime.combine(at.date() + timedelta(days=day), start, at.tzinfo)
            if moment > at and is_active(schedule, holidays, moment):
                return moment
    return None
