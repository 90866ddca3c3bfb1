"""Where a user is told of messages: each device on or off, and the number of a telephone."""

from collections.abc import Mapping
from enum import Enum, auto

import structlog

from sip.call import Call, Sound
from store.model import User
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.menu import Menu, choose
from voicemail.conversation.setup.transfer import number_allowed
from voicemail.policy.devices import MAIL_DEVICE, Device, DeviceKind

log = structlog.get_logger()

PHONE = "phone"
"""Name of the device that every user may set by telephone."""
MOST = 30
"""Digits taken of a number."""


class Do(Enum):
    """What can be done with a device."""

    SWITCH = auto()
    NUMBER = auto()
    BACK = auto()


MAIL_MENU = Menu(help=("device_menu",), keys={"1": Do.SWITCH, "*": Do.BACK})
PHONE_MENU = Menu(help=("phone_device_menu",), keys={"1": Do.SWITCH, "2": Do.NUMBER, "*": Do.BACK})
MENUS = {DeviceKind.MAIL: MAIL_MENU, DeviceKind.PHONE: PHONE_MENU}
"""Other kinds are set by administrators only."""


async def devices(desk: Desk, call: Call, user: User) -> tuple[Sound, ...]:
    """Offered by number, with their state, until the user goes back."""
    while True:
        rows = dict(zip("123456789", sorted(await devices_of(desk, user)), strict=False))
        known = await devices_of(desk, user)
        offer = tuple(
            part for key, name in rows.items() for part in (*state(known[name]), "press", f"n_{key}")
        )
        chosen = await choose(call, Menu(help=offer, keys={**rows, "*": ""}))
        if not chosen:
            return ()
        await one_device(desk, call, user, chosen)


async def devices_of(desk: Desk, user: User) -> Mapping[str, Device]:
    """Those that users may set, by name; a telephone is there to be set, and mail when the user has an
    address."""
    always = {PHONE: Device(kind=DeviceKind.PHONE)}
    if user.mail:
        always[MAIL_DEVICE] = Device(kind=DeviceKind.MAIL, enabled=True, address=user.mail)
    known = {**always, **await desk.policies.of(Device, user.id)}
    return {name: device for name, device in known.items() if device.kind in MENUS}


async def one_device(desk: Desk, call: Call, user: User, name: str) -> None:
    device = (await devices_of(desk, user))[name]
    said: tuple[Sound, ...] = state(device, desk)
    while (do := await choose(call, MENUS[device.kind], *said)) not in (Do.BACK, None):
        if do is Do.NUMBER:
            device, said = await _number(desk, call, user, name, device)
        elif device.kind is DeviceKind.PHONE and not device.address:
            said = ("device_needs_number",)
        else:
            device = await _kept(desk, user, name, device.model_copy(update={"enabled": not device.enabled}))
            said = state(device, desk)


def state(device: Device, desk: Desk | None = None) -> tuple[Sound, ...]:
    """On or off; with a desk, the number too."""
    number = desk.words.digits(device.address) if desk and device.kind is DeviceKind.PHONE else ()
    return (f"device_{device.kind.value}", *number, "is_on" if device.enabled else "is_off")


async def _number(
    desk: Desk, call: Call, user: User, name: str, device: Device
) -> tuple[Device, tuple[Sound, ...]]:
    """Checked now, and once more before it is called."""
    pressed = await call.digits("enter_device_number", most=MOST)
    if pressed in ("", "*"):
        return device, ("nothing_changed",)
    if not await number_allowed(desk, user, pressed, dial_out=True):
        return device, ("number_not_allowed",)
    changed = device.model_copy(update={"address": pressed, "enabled": True})
    device = await _kept(desk, user, name, changed)
    return device, state(device, desk)


async def _kept(desk: Desk, user: User, name: str, device: Device) -> Device:
    await reach(desk.policies.put(name, device, user.id))
    log.info("device changed", mailbox=user.extension, device=name, enabled=device.enabled)
    return device
