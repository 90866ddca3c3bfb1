"""A user's greetings: which are on, until when, and what they say."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from store.model import User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.conversation.record_sound import record_sound
from voicemail.policy.greeting import is_on
from voicemail.policy.model import ClassOfService, GreetingKind, GreetingSwitch, Source

log = structlog.get_logger()

BACK = "*"
WHICH: Menu[GreetingKind | str] = Menu(
    help=("greetings_menu",),
    brief=("greetings_brief",),
    keys={
        "1": GreetingKind.STANDARD,
        "2": GreetingKind.ALTERNATE,
        "3": GreetingKind.CLOSED,
        "4": GreetingKind.BUSY,
        "5": GreetingKind.INTERNAL,
        "6": GreetingKind.HOLIDAY,
        "7": GreetingKind.ERROR,
        BACK: BACK,
    },
)
ALWAYS_ON = (GreetingKind.STANDARD, GreetingKind.ERROR)
"""They are neither switched nor have an end here."""


class Do(Enum):
    """What can be done with one greeting."""

    HEAR = auto()
    RECORD = auto()
    SWITCH = auto()
    END = auto()
    SYSTEM = auto()
    BACK = auto()


STANDARD = Menu(
    help=("standard_greeting_menu",),
    keys={"1": Do.HEAR, "2": Do.RECORD, "5": Do.SYSTEM, "*": Do.BACK},
)
"""Of ALWAYS_ON."""
OTHER = Menu(
    help=("greeting_menu",),
    keys={"1": Do.HEAR, "2": Do.RECORD, "3": Do.SWITCH, "4": Do.END, "5": Do.SYSTEM, "*": Do.BACK},
)


async def greetings(desk: Desk, call: Call, user: User) -> None:
    """Until the user goes back."""
    while (kind := await choose(call, WHICH, style=desk.style)) not in (BACK, None):
        await one_greeting(desk, call, user, GreetingKind(kind))


async def one_greeting(desk: Desk, call: Call, user: User, kind: GreetingKind) -> None:
    """Say how it stands, then what can be done, until the user goes back."""
    switch = current(await desk.policies.of(GreetingSwitch, user.id), kind, desk.now())
    menu = STANDARD if kind in ALWAYS_ON else OTHER
    said: tuple[Sound, ...] = state(desk, kind, switch)
    while (do := await choose(call, menu, *said)) not in (Do.BACK, None):
        match do:
            case Do.HEAR:
                said = await _heard(desk, user, kind, switch)
            case Do.RECORD:
                switch, said = await _recorded(desk, call, user, kind, switch)
            case Do.SWITCH:
                switch = await _kept(desk, user, kind, enabled=not switch.enabled, until=None)
                said = state(desk, kind, switch)
            case Do.END:
                switch, said = await _ended(desk, call, user, kind, switch)
            case Do.SYSTEM:
                switch = await _kept(desk, user, kind, source=Source.SYSTEM)
                said = ("system_greeting_is_played",)


def current(switches: Mapping[str, GreetingSwitch], kind: GreetingKind, now: datetime) -> GreetingSwitch:
    """How a greeting stands now: one whose end has come is off, the standard one is always on. An error
    greeting that is off is the system's. Pure."""
    switch = switches.get(kind.value, GreetingSwitch())
    if kind in ALWAYS_ON:
        systems = kind is GreetingKind.ERROR and not is_on(switch, now)
        source = Source.SYSTEM if systems else switch.source
        return switch.model_copy(update={"enabled": True, "until": None, "source": source})
    if switch.until and switch.until <= now:
        return switch.model_copy(update={"enabled": False, "until": None})
    return switch


def state(desk: Desk, kind: GreetingKind, switch: GreetingSwitch) -> tuple[Sound, ...]:
    """ "Your alternate greeting is on, until Monday …"."""
    name = f"{kind.value}_greeting"
    if kind in ALWAYS_ON:
        return (name,)
    until = ("until", *desk.words.moment(switch.until, desk.now())) if switch.until else ()
    return (name, "is_on", *until) if switch.enabled else (name, "is_off")


async def _heard(desk: Desk, user: User, kind: GreetingKind, switch: GreetingSwitch) -> tuple[Sound, ...]:
    if switch.source is Source.RECORDING:
        audio = await reach(desk.store.users.greeting(user.id, kind.value))
        if audio:
            return (await desk.sounds.file(audio),)
    return ("system_greeting_is_played",)


async def _recorded(
    desk: Desk, call: Call, user: User, kind: GreetingKind, switch: GreetingSwitch
) -> tuple[GreetingSwitch, tuple[Sound, ...]]:
    """A greeting that was recorded is on: nobody records one in order not to have it played."""
    cos = await cos_of(desk, user)
    audio = await record_sound(desk, call, cos.longest_greeting, "record_greeting_at_tone")
    if audio is None:
        return switch, ()
    await reach(desk.store.users.set_greeting(user.id, audio, kind.value))
    switch = await _kept(desk, user, kind, enabled=True, source=Source.RECORDING)
    return switch, ("greeting_kept", *state(desk, kind, switch))


async def _ended(
    desk: Desk, call: Call, user: User, kind: GreetingKind, switch: GreetingSwitch
) -> tuple[GreetingSwitch, tuple[Sound, ...]]:
    """On until the end of a day; without one, on until it is switched off."""
    pressed = await call.digits("enter_last_day", most=4)
    if pressed == "*":
        return switch, ()
    until = end_of_day(pressed, desk.now()) if pressed else None
    if pressed and until is None:
        return switch, ("no_such_day",)
    switch = await _kept(desk, user, kind, enabled=True, until=until)
    return switch, state(desk, kind, switch)


def end_of_day(pressed: str, now: datetime) -> datetime | None:
    """Month and day as four digits; the next such day from today on, at its end. None: no such day."""
    if len(pressed) != 4 or not pressed.isdecimal():
        return None
    month, day = int(pressed[:2]), int(pressed[2:])
    for year in range(now.year, now.year + 5):  # the 29th of February
        try:
            midnight = datetime.combine(datetime(year, month, day), time(), now.tzinfo)
        except ValueError:
            continue
        if midnight.date() >= now.date():
            return midnight + timedelta(days=1)
    return None


async def _kept(desk: Desk, user: User, kind: GreetingKind, **changes: object) -> GreetingSwitch:
    """Read again first: the web pages may have changed something else meanwhile."""
    switch = current(await desk.policies.of(GreetingSwitch, user.id), kind, desk.now())
    switch = switch.model_copy(update=changes)
    await reach(desk.policies.put(kind.value, switch, user.id))
    log.info(
        "greeting changed",
        mailbox=user.extension,
        greeting=kind.value,
        enabled=switch.enabled,
        until=str(switch.until or ""),
        source=switch.source.value,
    )
    return switch


async def cos_of(desk: Desk, user: User) -> ClassOfService:
    """The user's class of service; the default one where it has been taken away."""
    options = await desk.policies.options(user.id)
    found = await desk.policies.get(ClassOfService, options.cos)
    return found or ClassOfService()
