"""`voicemail user`: people with a mailbox."""

from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

import typer

from store.api import Store
from store.errors import NotYet
from store.ids import uuid7
from store.model import Setting, User
from store.signing_in import PinPolicy
from voicemail import pins
from voicemail.cli import bulk, people
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show, user_of, with_store
from voicemail.config import Config
from voicemail.errors import VoicemailError
from voicemail.localtime import local_time
from voicemail.policy import pin_rules
from voicemail.policy.book import OPTIONS
from voicemail.policy.bulk import rules_of
from voicemail.policy.house import look
from voicemail.policy.model import PinRules, UserOptions
from voicemail.policy.people import why_no_lamp
from voicemail.policy.references import needed_by, taken

app = typer.Typer(no_args_is_help=True)
people.register(app)
bulk.register(app)

Extension = Annotated[str, typer.Argument(help="The user's extension.")]
PinOption = Annotated[
    str, typer.Option("--pin", help="- asks for it; left out, a random one is made and shown once.")
]


@app.command()
def add(
    extension: Extension,
    name: Annotated[str, typer.Option(help="As spoken of in mails.")] = "",
    mail: Annotated[str, typer.Option(help="Where new messages are announced.")] = "",
    attach: Annotated[bool, typer.Option(help="Attach the recording to the mail.")] = True,
    lamp: Annotated[list[str] | None, typer.Option(help="Trunk with a lamp, or trunk:number; all.")] = None,
    pin: PinOption = "",
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Give somebody a mailbox."""
    if not extension.isascii() or not extension.isdigit():
        raise VoicemailError(f"not an extension: {extension!r} (digits only)")

    async def work(loaded: Config, store: Store) -> tuple[User, str]:
        house = await look(store)
        if why := taken(house, extension):
            raise VoicemailError(why)
        chosen = _pin(pin, extension, rules_of(house, UserOptions()))
        user = User(
            uuid7(), extension, name, mail, attach, pin_hash=pins.hashed(chosen), lamps=tuple(lamp or ())
        )
        _check_lamps(user, loaded)
        await store.users.add(user)
        return user, chosen

    user, chosen = with_store(config, work)
    show([_row(user) | ({} if pin else {"PIN": chosen})], as_json)


@app.command("list")
def list_users(config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show everybody with a mailbox."""

    async def work(_: Config, store: Store) -> list[dict[str, Any]]:
        return [_row(user) for user in await store.users.all()]

    show(with_store(config, work), as_json)


@app.command("show")
def show_user(extension: Extension, config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show one user: settings, messages, whether sign-in is locked."""

    async def work(loaded: Config, store: Store) -> dict[str, Any]:
        user = await user_of(store, extension)
        counts = await store.messages.counts(user.id)
        policy = PinPolicy(loaded.pin.failures, loaded.pin.window_minutes, loaded.pin.lock_minutes)
        locked, at_home = [
            await store.sign_ins.locked_until(each, policy, local_time())
            for each in (user.id, pins.own(user))
        ]
        return _row(user) | {
            "New": counts.new,
            "Saved": counts.old,
            "Locked until": locked,
            "Own phone locked until": at_home,
        }

    show([with_store(config, work)], as_json)


@app.command("set-pin")
def set_pin(
    extension: Extension, pin: PinOption = "", config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """Give a user a new PIN, and open a locked sign-in. The user changes it at the next sign-in."""

    async def work(_: Config, store: Store) -> str:
        user = await user_of(store, extension)
        house = await look(store)
        options = house.options.get(user.id, UserOptions())
        rules = rules_of(house, options)
        chosen = _pin(pin, user.extension, rules)
        old = pin_rules.history(user.pin_hash, options.old_pins, rules)
        changed = options.model_copy(
            update={"must_change_pin": True, "pin_changed": local_time(), "old_pins": old}
        )
        with suppress(NotYet):  # while the other server has an older release, the PIN alone changes
            await store.settings.put(Setting(UserOptions.KIND, OPTIONS, changed.model_dump_json(), user.id))
        await store.users.change(replace(user, pin_hash=pins.hashed(chosen)))
        await store.sign_ins.unlock(user.id)
        await store.sign_ins.unlock(pins.own(user))
        return chosen

    chosen = with_store(config, work)
    show([{"Extension": extension} | ({} if pin else {"PIN": chosen})], as_json)


@app.command()
def remove(extension: Extension, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take a mailbox away. Its messages stay in the store until they are purged."""

    async def work(_: Config, store: Store) -> list[str]:
        user = await user_of(store, extension)
        named = needed_by(await look(store), None, user.extension)
        await store.users.remove(user.id)
        return named

    for each in with_store(config, work):
        say(f"note: still named by {each}")
    say(f"{extension}: removed")


def _pin(given: str, extension: str, rules: PinRules) -> str:
    """The PIN to set. Raises VoicemailError for one that the rules of the user's class refuse."""
    if not given:
        return pins.made_up(extension, rules.shortest)
    pin: str = typer.prompt("PIN", hide_input=True, confirmation_prompt=True) if given == "-" else given
    if why := pin_rules.why_refused(pin, extension, rules):
        raise VoicemailError(f"this PIN is refused: {why}")
    return pin


def _check_lamps(user: User, config: Config) -> None:
    known = {trunk.name for trunk in config.trunk}
    if wrong := [why for lamp in user.lamps if (why := why_no_lamp(lamp, known))]:
        raise VoicemailError(wrong[0])


def _row(user: User) -> dict[str, Any]:
    return {
        "Extension": user.extension,
        "Name": user.name,
        "Mail": user.mail,
        "Attach": user.attach,
        "Lamps": ",".join(user.lamps) or "all",
    }
