"""`voicemail device`: where users are told of messages, besides the lamp."""

import re
from typing import Annotated, Any

import typer

from store.api import Store
from store.ids import uuid7
from store.model import Setting, User
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show, with_store
from voicemail.config import Config
from voicemail.errors import VoicemailError
from voicemail.policy.devices import Device, DeviceKind
from voicemail.policy.house import House, look
from voicemail.policy.model import ClassOfService, RestrictionTable
from voicemail.policy.note import Event, Note
from voicemail.policy.numbers import allowed
from voicemail.policy.references import mistakes
from voicemail.policy.text import changed, keys, shown
from voicemail.primary.devices import MOST, devices_of

app = typer.Typer(no_args_is_help=True)

Extension = Annotated[str, typer.Argument(help="Whose device it is.")]
Name = Annotated[str, typer.Argument(help="Its name; `mail` is the user's own mail address.")]
Pairs = Annotated[
    list[str], typer.Argument(metavar="KEY=VALUE…", help="Keys: " + ", ".join(keys(Device)) + ".")
]
COLUMNS = ("kind", "enabled", "address", "events", "schedule", "repeat_minutes", "on_failure")
HIDDEN = "(set)"


@app.command("list")
def list_devices(extension: Extension, config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show all of a user's devices."""

    async def work(_: Config, store: Store) -> dict[str, Device]:
        return _devices(*_found(await look(store), extension))

    rows = [{"name": name, **_text(device)} for name, device in with_store(config, work).items()]
    if not as_json:
        rows = [{"name": row["name"]} | {key: row[key] for key in COLUMNS} for row in rows]
    show(rows, as_json)


@app.command("show")
def show_device(
    extension: Extension, name: Name, config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """Show one with every key; a secret is not shown."""

    async def work(_: Config, store: Store) -> Device:
        return _one(*_found(await look(store), extension), name)

    text = _text(with_store(config, work))
    show([{"name": name, **text}] if as_json else [{"Key": key, "Value": text[key]} for key in text], as_json)


@app.command("set")
def set_device(extension: Extension, name: Name, pairs: Pairs, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Change a device, or make it (then give its kind)."""
    if not re.fullmatch(r"\w[\w.-]{0,63}", name):
        raise VoicemailError(f"{name!r} is no name: use letters, digits, _, - and .")

    async def work(_: Config, store: Store) -> str:
        house = await look(store)
        user = _user(house, extension)
        known = _devices(house, user)
        device = changed(Device, known.get(name), pairs)
        for why in (
            *mistakes(house, name, device),
            *_more_mistakes(house, user, known | {name: device}, name),
        ):
            raise VoicemailError(f"device {name!r} of {extension}: {why}")
        await store.settings.put(Setting(Device.KIND, name, device.model_dump_json(), user.id))
        return "changed" if name in known else "made"

    say(f"device {name!r} of {extension}: {with_store(config, work)}")


@app.command()
def remove(extension: Extension, name: Name, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take a device away; `mail` is then as it was at first: on, if the user has a mail address."""

    async def work(_: Config, store: Store) -> None:
        house = await look(store)
        user = _user(house, extension)
        if name not in house.devices.get(user.id, {}):
            raise VoicemailError(f"{extension} has set no device {name!r}")
        others = {key: each for key, each in _devices(house, user).items() if each.on_failure == name}
        if others:
            raise VoicemailError(f"device {name!r} of {extension} is needed by device {min(others)!r}")
        await store.settings.remove(Device.KIND, name, user.id)

    with_store(config, work)
    say(f"device {name!r} of {extension}: removed")


@app.command("test")
def try_device(extension: Extension, name: Name, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Have the Primary tell the device now that this is a trial, whether it is on or off."""

    async def work(_: Config, store: Store) -> str:
        house, user = _found(await look(store), extension)
        _one(house, user, name)
        note = Note(Event.TRIAL, uuid7(), name)
        row = note.work(user.id)
        await store.outbox.add([row])
        return str(row.id)

    item = with_store(config, work)
    say(f"device {name!r} of {extension}: left to the Primary as {item}; its log says how it went")


def _found(house: House, extension: str) -> tuple[House, User]:
    return house, _user(house, extension)


def _user(house: House, extension: str) -> User:
    if user := house.owner_of(extension):
        return user
    raise VoicemailError(f"no user has extension {extension}")


def _devices(house: House, user: User) -> dict[str, Device]:
    """Those that are set, and the user's mail address."""
    return {**devices_of(user, {}), **house.devices.get(user.id, {})}


def _one(house: House, user: User, name: str) -> Device:
    known = _devices(house, user)
    if name in known:
        return known[name]
    raise VoicemailError(f"{user.extension} has no device {name!r}; known: {', '.join(known) or 'none'}")


def _text(device: Device) -> dict[str, Any]:
    text = shown(device)
    return text | {"secret": HIDDEN if device.secret else text["secret"]}


def _more_mistakes(house: House, user: User, known: dict[str, Device], name: str) -> list[str]:
    """What is wrong with it for this user."""
    device = known[name]
    found = [f"more than {MOST} devices"] if len(known) > MOST else []
    if device.on_failure and device.on_failure not in known:
        found.append(f"on_failure: there is no device {device.on_failure!r}")
    if _comes_back(known, name):
        found.append("on_failure: the devices come back to this one")
    if device.kind is DeviceKind.PHONE and device.address:
        options = house.options.get(user.id)
        cos = house.all(ClassOfService).get(options.cos if options else "default") or ClassOfService()
        table = house.all(RestrictionTable).get(cos.dial_out_table)
        if table is None or not allowed(table, device.address):
            found.append(f"address: {device.address} is refused by restriction {cos.dial_out_table!r}")
    return found


def _comes_back(known: dict[str, Device], name: str) -> bool:
    seen, at = {name}, known[name].on_failure
    while at in known and at not in seen:
        seen.add(at)
        at = known[at].on_failure
    return bool(at) and at in seen
