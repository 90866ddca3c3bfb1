"""Which devices are told of an event, and when: pure.

Every piece of work is a row of the outbox of its own: the first telling, each repeat until the message is
heard, each further try of a telephone that was busy, each wait for a schedule, and the next device where
one failed. What happened before is in the row (`policy.note.Note`), and its id is made of that, so that
whoever takes over makes the same rows again, which adds nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from fnmatch import fnmatchcase
from uuid import UUID, uuid5

from store.model import Message, MessageKind, NewWork, User
from voicemail.policy.devices import MAIL_DEVICE, Device, DeviceKind, Events
from voicemail.policy.model import Holidays, Schedule, UserOptions
from voicemail.policy.note import Event, Failure, Note
from voicemail.policy.numbers import matches, normalised
from voicemail.policy.schedule import next_active

MOST = 50
"""Devices of one user that are told; who has more has made a mistake."""
KINDS = {
    Event.MESSAGE: (DeviceKind.MAIL, DeviceKind.PHONE, DeviceKind.WEBHOOK, DeviceKind.RELAY),
    Event.MISSED: (DeviceKind.MISSED, DeviceKind.WEBHOOK),
    Event.SUMMARY: (DeviceKind.SUMMARY,),
    Event.AGING: (DeviceKind.MAIL, DeviceKind.SUMMARY),
    Event.WISH: (DeviceKind.MAIL,),
}
LATEST = 4 * 3600.0
"""Seconds after its time that what is written once a day is written at most."""
MAILS = (DeviceKind.MAIL, DeviceKind.MISSED, DeviceKind.SUMMARY, DeviceKind.RELAY)
PLAIN = Device(kind=DeviceKind.MAIL, enabled=True)
"""What a user's mail address is without any setting."""


@dataclass(frozen=True, slots=True)
class Profile:
    """All that decides how a user is told. `devices` as `devices_of` gives them."""

    user: User
    devices: Mapping[str, Device]
    options: UserOptions = UserOptions()
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    holidays: Mapping[str, Holidays] = field(default_factory=dict)
    zone: tzinfo = UTC
    """The user's."""


def devices_of(user: User, settings: Mapping[str, Device]) -> dict[str, Device]:
    """By name. A user's mail address is a device unless it is set otherwise, and its address is always
    the user's present one."""
    known = dict(sorted(settings.items())[:MOST])
    own = known.get(MAIL_DEVICE, PLAIN)
    if own.kind is DeviceKind.MAIL:
        known[MAIL_DEVICE] = own.model_copy(update={"address": ""})
    if not user.mail:
        gone = [name for name, each in known.items() if each.kind in MAILS and not each.address]
        known = {name: each for name, each in known.items() if name not in gone}
    return known


def only_plain_mail(profile: Profile) -> bool:
    """Whether all there is to do is one mail as it always was."""
    told = [
        name for name, each in profile.devices.items() if each.enabled and each.kind in KINDS[Event.MESSAGE]
    ]
    if told != [MAIL_DEVICE]:
        return False
    return profile.devices[MAIL_DEVICE].model_copy(update={"secret": "", "at": PLAIN.at}) == PLAIN


def fan_out(profile: Profile, note: Note, message: Message | None, now: datetime) -> list[NewWork]:
    """The first rows of an event, one for each device that wants to know of it."""
    rows = []
    for name, device in profile.devices.items():
        if device.enabled and wants(device, note.event, message):
            rows.append(_row(profile, note.at(name), now + timedelta(minutes=device.delay_minutes), now))
    return [row for row in rows if row]


def wants(device: Device, event: Event, message: Message | None) -> bool:
    """Whether a device tells of such an event, and of this message."""
    if device.kind not in KINDS.get(event, ()) or (event is Event.MISSED and not device.tells_missed):
        return False
    if device.kind is DeviceKind.RELAY and (message is None or _stays(message)):
        return False
    return message is None or (_of_kind(device.events, message) and _from_whom(device, message))


def _stays(message: Message) -> bool:
    """Whether a message may not be passed on."""
    return message.envelope.secure or message.envelope.private


def _of_kind(events: Events, message: Message) -> bool:
    voice = message.envelope.kind is MessageKind.VOICE
    match events:
        case Events.ALL:
            return True
        case Events.VOICE:
            return voice
        case Events.URGENT:
            return voice and message.urgent
        case Events.DISPATCH | Events.URGENT_DISPATCH:
            return message.open_dispatch and (message.urgent or events is Events.DISPATCH)
    return False


def _from_whom(device: Device, message: Message) -> bool:
    remote = message.envelope.remote
    senders = [message.caller.lower(), *([remote.address.lower()] if remote else [])]
    number = normalised(message.caller)
    return not device.from_senders or any(
        (number and matches(pattern, number)) or any(fnmatchcase(s, pattern.lower()) for s in senders)
        for pattern in device.from_senders
    )


def opens(profile: Profile, device: Device, moment: datetime) -> datetime | None:
    """When the device may be told, from a moment on; None: never. A schedule that is gone is never
    active."""
    if not device.schedule:
        return moment
    schedule = profile.schedules.get(device.schedule)
    if schedule is None:
        return None
    holidays = profile.holidays.get(schedule.holidays)
    return next_active(schedule, holidays, moment.astimezone(profile.zone))


def waiting(profile: Profile, note: Note, opening: datetime) -> NewWork:
    """The row that goes on when the schedule of the device opens."""
    return replace(note, waits=note.waits + 1).work(profile.user.id, opening)


def repeated(profile: Profile, note: Note, now: datetime) -> NewWork | None:
    """The row that tells once more, unless the message is heard by then; None when it was told often
    enough. Written before the device is told, so that a crash cannot end the repeating."""
    device = profile.devices[note.device]
    if note.event is not Event.MESSAGE or not device.repeat_minutes or note.ordinal >= device.most_repeats:
        return None
    again = replace(note, ordinal=note.ordinal + 1, tries=(), waits=0)
    return _row(profile, again, now + timedelta(minutes=device.repeat_minutes), now)


def after_failure(
    profile: Profile, note: Note, how: Failure, now: datetime, *, final: bool = False
) -> NewWork | None:
    """The row that follows: another call to a telephone (not if `final`), or the next device; None: that
    was all."""
    device = profile.devices[note.device]
    if device.kind is DeviceKind.PHONE and not final and note.tries.count(how) < retries(device, how):
        later = now + timedelta(minutes=device.retry_minutes)
        return _row(profile, replace(note, tries=(*note.tries, how), waits=0), later, now)
    following, done = device.on_failure, (*note.chain, note.device)
    other = profile.devices.get(following)
    if following in done or not other or not other.enabled or other.kind not in KINDS.get(note.event, ()):
        return None
    return _row(profile, note.at(following, tries=(), waits=0, chain=done), now, now)


def retries(device: Device, how: Failure) -> int:
    """How often a device is tried again after it failed so."""
    match how:
        case Failure.BUSY:
            return device.busy_retries
        case Failure.NO_ANSWER:
            return device.no_answer_retries
    return device.failure_retries


def _row(profile: Profile, note: Note, moment: datetime, now: datetime) -> NewWork | None:
    opening = opens(profile, profile.devices[note.device], moment)
    if opening is None:
        return None
    return note.work(profile.user.id, opening if opening > now else None)


def summary_due(device: Device, zone: tzinfo, now: datetime) -> str:
    """The day for which a summary is to be written now; "" when none is."""
    wanted = device.enabled and device.kind is DeviceKind.SUMMARY
    return day_of(device.at, zone, now) if wanted else ""


def day_of(at: time, zone: tzinfo, now: datetime) -> str:
    """The day (local, ISO 8601) for which what is due at this time is to be written now; "" at other hours.
    What could not be written in time, as no node was there, is written up to four hours later."""
    local = now.astimezone(zone)
    late = (local - datetime.combine(local.date(), at, zone)).total_seconds()
    return local.date().isoformat() if 0 <= late < LATEST else ""


def day_summary(
    user: UUID, name: str, day: str, new: Sequence[Message], old: int, shown: int = 50
) -> NewWork:
    """The piece of work that tells what is new in a mailbox. What it will say is written down now, so
    that a repeat says the same."""
    lines = [
        {
            "caller": message.caller,
            "caller_name": message.caller_name,
            "recorded": message.recorded.isoformat(),
            "seconds": message.seconds,
            "urgent": message.urgent,
            "id": str(message.id),
        }
        for message in new[:shown]
    ]
    facts = {"day": day, "new": len(new), "old": old, "messages": lines}
    return Note(Event.SUMMARY, uuid5(user, f"summary/{day}"), name, facts=facts).work(user)
