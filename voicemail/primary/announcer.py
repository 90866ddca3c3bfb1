"""Tells users of messages, missed calls and what is new, at all of their devices: the handler of the work of
the kinds MAIL, NOTIFY and ALARM.

A MAIL row is what a deposit writes. Where a user has nothing but a mail address, it is one mail, sent at
once. Else it is spread over the devices: one NOTIFY row each (`devices.py` says which and when), and
everything that follows (repeats, further tries, the next device) is a row again. Nothing is kept in this
process but the names of web servers, each of which has a lane of its own.

Order of the steps, so that a process killed between any two repeats at most what was in hand:
the row that repeats is written before the device is told, the row that follows a failure after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import assert_never

import structlog

from store.api import Store
from store.errors import NotFound, NotYet
from store.model import Folder, Message, NewWork, OutboxItem, Work
from voicemail.call_orders import Ended, Order, Report
from voicemail.policy.devices import Attachment, Device, DeviceKind, MailFormat
from voicemail.policy.model import AfterMail
from voicemail.policy.note import Event, Failure, Note, of_message
from voicemail.primary import devices, forewarnings, webhook
from voicemail.primary.agenda import Job, Outcome, Plan, Subject, Verdict
from voicemail.primary.calls import CallBook
from voicemail.primary.clock import Clock
from voicemail.primary.devices import MAILS, Profile
from voicemail.primary.dialler import Dialler
from voicemail.primary.handler import LaneSettings
from voicemail.primary.lease import Permit
from voicemail.primary.mail import Look, NoAddress
from voicemail.primary.postman import Postman
from voicemail.primary.profiles import Profiles
from voicemail.primary.webhook import Place, Poster

log = structlog.get_logger()

DOOR, CALLS = "devices", "calls"
"""Lanes of what needs no destination, and of calls to telephones."""
DOOR_LANE = LaneSettings(8, 5000)
CALLS_LANE = LaneSettings(4, 1000)
HOOK_LANE = LaneSettings(2, 200)
MOST_HOOKS = 500
"""Web servers with a lane of their own; those beyond share one."""
SHARED_HOOK = "webhook others"
ASKED_FOR = (Event.TRIAL, Event.WISH)
"""Told at once, by this device only, whether it is on or not."""
CHOSEN = (Event.WISH, Event.AGING)
"""Told by one device that was chosen for its kind: by no other, should it be one now."""
FAILURES = {
    Ended.BUSY: Failure.BUSY,
    Ended.NO_ANSWER: Failure.NO_ANSWER,
    Ended.NO_PIN: Failure.NO_ANSWER,
    Ended.REFUSED: Failure.FAILED,
    Ended.NOT_ALLOWED: Failure.FAILED,
}


class Announcer:
    """One for the process."""

    def __init__(
        self,
        store: Store,
        postman: Postman,
        poster: Poster,
        dialler: Dialler,
        profiles: Profiles,
        calls: CallBook,
        clock: Clock,
        look: Look,
    ) -> None:
        self._store, self._postman, self._poster, self._dialler = store, postman, poster, dialler
        self._profiles, self._calls, self._clock, self._look = profiles, calls, clock, look
        self._hooks: dict[str, None] = {}
        self._open: frozenset[str] = frozenset()
        """Lanes that the runner knows."""

    # -- what the runner asks --------------------------------------------------------------------

    def lanes(self) -> Mapping[str, LaneSettings]:
        hooks = dict.fromkeys((*self._hooks, SHARED_HOOK), HOOK_LANE)
        lanes = {DOOR: DOOR_LANE, CALLS: CALLS_LANE, **self._postman.lanes(), **hooks}
        self._open = frozenset(lanes)
        return lanes

    async def refresh(self) -> Sequence[tuple[str, Subject]]:
        return ()

    def subjects(self, lane: str) -> Iterable[Subject]:
        return ()

    async def plan(self, item: OutboxItem) -> Plan:
        if item.kind is Work.ALARM:
            return await self._postman.plan(item)
        profile = await self._profiles.of(item.mailbox_id)
        if profile is None:
            return Plan(item.id, otherwise="the user is gone")
        if item.kind is Work.MAIL:
            plain = devices.only_plain_mail(profile)
            return await self._postman.plan(item) if plain else Plan(item.id, frozenset({DOOR}))
        return Plan(item.id, frozenset({self._lane(profile, item)}))

    async def perform(self, job: Job, permit: Permit) -> Outcome:
        (item,) = job.items
        if item.kind is Work.ALARM or (item.kind is Work.MAIL and job.lane != DOOR):
            return await self._postman.perform(job, permit)
        try:
            note = Note.read(item.payload) if item.kind is Work.NOTIFY else of_message(item)
        except ValueError as error:  # perhaps of a newer release, which may be Primary later
            return Outcome(Verdict.FAILED, str(error))
        profile = await self._profiles.of(item.mailbox_id)
        if profile is None:
            return Outcome(Verdict.SENT, "the user is gone")
        try:
            if not note.device:
                return await self._spread(profile, note, permit)
            return await self._tell(profile, note, item, job.lane, permit)
        except NotYet as error:
            return Outcome(Verdict.FAILED, str(error))
        except NotFound as error:
            return Outcome(Verdict.SENT, f"nothing sent: {error}")

    # -- where to --------------------------------------------------------------------------------

    def _lane(self, profile: Profile, item: OutboxItem) -> str:
        """DOOR for what has no destination of its own, and for what is to be given up."""
        try:
            note = Note.read(item.payload)
        except ValueError:
            return DOOR
        device = profile.devices.get(note.device)
        if device is None or _given_up(device, item):
            return DOOR
        match device.kind:
            case DeviceKind.PHONE:
                return CALLS
            case DeviceKind.WEBHOOK:
                lane = self._learn(device)
                return lane if lane in self._open else DOOR
        return self._postman.lane or DOOR

    def _learn(self, device: Device) -> str:
        """The lane of a web server, which is open when the runner looks next."""
        place = webhook.place_of(device.address)
        if place is None:
            return DOOR
        if place.lane not in self._hooks and len(self._hooks) >= MOST_HOOKS:
            return SHARED_HOOK
        self._hooks[place.lane] = None
        return place.lane

    # -- an event --------------------------------------------------------------------------------

    async def _spread(self, profile: Profile, note: Note, permit: Permit) -> Outcome:
        """The first row of each device. Raises NotFound, NotYet, NotPrimary, Unavailable."""
        message = await self._message(note)
        for device in profile.devices.values():
            if device.kind is DeviceKind.WEBHOOK:
                self._learn(device)
        rows = devices.fan_out(profile, note, message, self._clock.now())
        if not rows:
            return Outcome(Verdict.SENT, "no device tells of it")
        permit()
        await self._store.outbox.add(rows)
        return Outcome(Verdict.SENT, f"left to {len(rows)} device{'s' * (len(rows) != 1)}")

    async def _message(self, note: Note) -> Message | None:
        """None for an event that is no message. Raises NotFound for one that was deleted."""
        if note.event not in (Event.MESSAGE, Event.WISH):
            return None
        message = await self._store.messages.get(note.about)
        if message is None or (message.folder is Folder.DELETED and note.event is not Event.WISH):
            raise NotFound("the message was deleted")
        return message

    async def _tell(
        self, profile: Profile, note: Note, item: OutboxItem, lane: str, permit: Permit
    ) -> Outcome:
        """One device, once. Raises NotFound, NotYet, NotPrimary, Unavailable."""
        now = self._clock.now()
        device = profile.devices.get(note.device)
        why = _why_not(note, device, profile.zone, now)
        if device is None or why:
            return Outcome(Verdict.SENT, why)
        message = await self._message(note)
        if message and message.folder is not Folder.NEW and _only_while_new(device, note):
            return Outcome(Verdict.SENT, "heard already")
        if note.event not in ASKED_FOR:
            opening = devices.opens(profile, device, now)
            if opening is None:
                return Outcome(Verdict.SENT, "nothing sent: the schedule of the device never opens")
            if opening > now:
                later = devices.waiting(profile, note, opening)
                return await self._left_to(later, permit, "waits for the schedule of the device")
            if row := devices.repeated(profile, note, now):
                permit()
                await self._store.outbox.add([row])
        if lane == DOOR:
            return await self._not_told(profile, note, device, item, permit)
        if device.kind is DeviceKind.PHONE:
            return await self._call(profile, note, item, permit)
        done = await self._sent(profile, note, device, message, item, permit)
        last = bool(device.on_failure) and item.attempts >= device.failure_retries
        if done.verdict is Verdict.REFUSED or (last and done.verdict in (Verdict.FAILED, Verdict.SILENT)):
            return await self._failed(profile, note, Failure.FAILED, done, permit)
        return done

    async def _not_told(
        self, profile: Profile, note: Note, device: Device, item: OutboxItem, permit: Permit
    ) -> Outcome:
        """What came to the door has nowhere to go, or was tried often enough, or its lane opens now."""
        if _given_up(device, item):
            done = Outcome(Verdict.REFUSED, "tried often enough")
        elif device.kind is DeviceKind.WEBHOOK and webhook.place_of(device.address):
            return Outcome(Verdict.FAILED, "a lane is opened for its server")
        else:
            done = Outcome(Verdict.REFUSED, "there is no mail host" if device.kind in MAILS else "no address")
        return await self._failed(profile, note, Failure.FAILED, done, permit)

    async def _sent(
        self,
        profile: Profile,
        note: Note,
        device: Device,
        message: Message | None,
        item: OutboxItem,
        permit: Permit,
    ) -> Outcome:
        """By mail or to a web server."""
        if device.kind is DeviceKind.WEBHOOK:
            return await self._post(profile, note, device, message, item, permit)
        user = replace(profile.user, mail=device.address or profile.user.mail)
        look = looks(device, user.attach, self._look, reminder=note.ordinal > 0)
        if note.event is Event.WISH and look.form is Attachment.NONE:
            look = replace(look, form=Attachment.WAV)
        try:
            if message:
                after = after_mail(device, note, profile)
                return await self._postman.message(user, message, item, look, profile.zone, permit, after)
            return await self._postman.event(user, note, item, look, profile.zone, permit)
        except NoAddress as error:
            return Outcome(Verdict.REFUSED, str(error))

    async def _post(
        self,
        profile: Profile,
        note: Note,
        device: Device,
        message: Message | None,
        item: OutboxItem,
        permit: Permit,
    ) -> Outcome:
        place = webhook.place_of(device.address)
        if place is None:
            return Outcome(Verdict.REFUSED, "its address is none")
        body = webhook.body_of(hook_facts(profile, note, message, item))
        request = webhook.request_of(place, item.id, self._clock.now(), device.secret, body)
        return _in_lane(place, self._open, await self._poster.post(place, request, permit))

    # -- telephones ------------------------------------------------------------------------------

    async def _call(self, profile: Profile, note: Note, item: OutboxItem, permit: Permit) -> Outcome:
        number = profile.devices[note.device].address
        if not number:
            done = Outcome(Verdict.REFUSED, "it has no number")
            return await self._failed(profile, note, Failure.FAILED, done, permit, final=True)
        permit()
        if not await self._calls.may(profile.user.id, item.id, self._clock.now()):
            return Outcome(Verdict.FAILED, "called often enough within an hour")
        report = await self._dialler.call(Order(profile.user.id, number, item.id), permit)
        log.info("user called", mailbox=profile.user.extension, item=str(item.id), ended=str(report.ended))
        return await self._called(profile, note, report, permit)

    async def _called(self, profile: Profile, note: Note, report: Report, permit: Permit) -> Outcome:
        match report.ended:
            case Ended.REACHED:
                return Outcome(Verdict.SENT, "reached")
            case Ended.NO_PORT:
                return Outcome(Verdict.FAILED, f"nobody can call: {report.text}")
            case Ended.BUSY | Ended.NO_ANSWER | Ended.NO_PIN | Ended.REFUSED | Ended.NOT_ALLOWED:
                how, final = FAILURES[report.ended], report.ended is Ended.NOT_ALLOWED
                done = Outcome(Verdict.REFUSED, f"{report.ended} {report.text}".strip())
                return await self._failed(profile, note, how, done, permit, final=final)
        assert_never(report.ended)

    # -- what follows ----------------------------------------------------------------------------

    async def _failed(
        self,
        profile: Profile,
        note: Note,
        how: Failure,
        done: Outcome,
        permit: Permit,
        final: bool = False,
    ) -> Outcome:
        """Try again, or the next device; `done` when there is neither. `final`: not by this one again."""
        if note.event in ASKED_FOR:
            return done
        row = devices.after_failure(profile, note, how, self._clock.now(), final=final)
        return await self._left_to(row, permit, done.text) if row else done

    async def _left_to(self, row: NewWork, permit: Permit, why: str) -> Outcome:
        permit()
        await self._store.outbox.add([row])
        return Outcome(Verdict.SENT, f"{why}; goes on as {row.id}")


def _why_not(note: Note, device: Device | None, zone: tzinfo, now: datetime) -> str:
    """Why a device shall not tell of an event any more; "" when it shall."""
    wrong = device and note.event in CHOSEN and device.kind not in devices.KINDS[note.event]
    if device is None or wrong or not (device.enabled or note.event in ASKED_FOR):
        return "the device is off"
    return "nothing sent: its day is over" if forewarnings.is_over(note, zone, now) else ""


def _given_up(device: Device, item: OutboxItem) -> bool:
    """Whether a device that has a next one was tried often enough, also by a lane that is closed. A
    telephone's tries are rows of their own."""
    tried = item.attempts > device.failure_retries
    return tried and bool(device.on_failure) and device.kind is not DeviceKind.PHONE


def _only_while_new(device: Device, note: Note) -> bool:
    """Whether a device has nothing to say of a message that its owner has heard by now."""
    later = note.ordinal or note.chain or note.tries or note.waits or device.delay_minutes
    return bool(later) or device.kind is DeviceKind.PHONE


def _in_lane(place: Place, opened: frozenset[str], done: Outcome) -> Outcome:
    """In the lane that several servers share, the silence of one must not close it."""
    if done.verdict is Verdict.SILENT and place.lane not in opened:
        return Outcome(Verdict.FAILED, done.text)
    return done


def looks(device: Device, attach: bool, house: Look, *, reminder: bool) -> Look:
    """How a device's mails are written. `house` has what the configuration says. A relay is nothing
    without the recording."""
    attach = attach or device.kind is DeviceKind.RELAY
    form = device.attachment or (Attachment.WAV if attach else Attachment.NONE)
    html = device.format is MailFormat.HTML
    return replace(house, html=html, form=form, template=device.template, reminder=reminder)


def after_mail(device: Device, note: Note, profile: Profile) -> AfterMail:
    """What becomes of a message once the mail host has taken it."""
    if note.event is Event.WISH:
        return AfterMail.KEEP
    if device.kind is DeviceKind.RELAY:
        return AfterMail.KEEP if device.keep else AfterMail.DELETED
    return profile.options.after_mail


def hook_facts(profile: Profile, note: Note, message: Message | None, item: OutboxItem) -> dict[str, object]:
    """What a web server is told: never audio, never anything secret."""
    told: dict[str, object] = {
        "event": str(note.event),
        "id": str(item.id),
        "mailbox": profile.user.extension,
        "repeat": note.ordinal,
        "when": item.created.isoformat(),
    }
    if note.event is Event.MISSED:
        return told | {key: str(note.facts.get(key, "")) for key in ("caller", "caller_name", "at")}
    if message is None:
        return told
    return told | {
        "message": str(message.id),
        "kind": str(message.envelope.kind),
        "caller": message.caller,
        "caller_name": message.caller_name,
        "seconds": round(message.seconds, 1),
        "urgent": message.urgent,
        "recorded": message.recorded.isoformat(),
    }
