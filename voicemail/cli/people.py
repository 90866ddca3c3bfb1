"""`voicemail user options|extension|sip-password`: what is kept for a user besides his row."""

import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

import voicemail.prompts
from sip.digest import REALM, ha1
from store.api import Store
from store.errors import NotFound
from store.model import Setting
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show, with_store
from voicemail.config import Config
from voicemail.errors import VoicemailError
from voicemail.policy import people
from voicemail.policy.book import OPTIONS
from voicemail.policy.house import ALTERNATE, OWN, House, look
from voicemail.policy.model import UserOptions
from voicemail.policy.people import Known, Person

Extension = Annotated[str, typer.Argument(help="The user's extension.")]
Pairs = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="Shows all when left out; `-` empties.")
]
Number = Annotated[str, typer.Argument(help="The further number.")]
SIP_ACCOUNT = "sip_account"
"""Kind of the settings that hold phones' passwords (decision 0010)."""

extension_app = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `voicemail user`."""
    app.command()(options)
    app.command("sip-password")(sip_password)
    app.add_typer(extension_app, name="extension", help="Further numbers that lead to a user.")


def known(config: Config) -> Known:
    """What users can name besides policies: trunks and languages."""
    folder = Path(voicemail.prompts.__path__[0])
    spoken = frozenset(each.parent.name for each in folder.glob("*/*.toml"))
    return Known(frozenset(trunk.name for trunk in config.trunk), spoken, config.sip.pilot)


def options(
    extension: Extension, pairs: Pairs = None, config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """Show or change everything that is kept for a user but PIN and recordings."""

    async def work(loaded: Config, store: Store) -> Person:
        house = await look(store)
        before = _person(house, extension)
        after = people.edited(before, _cells(pairs or ()))
        if wrong := people.why_not(house, known(loaded), before, after):
            raise VoicemailError(f"user {extension}: {wrong[0]}")
        if after != before:
            await save(store, before, after)
        return after

    text = people.columns(with_store(config, work))
    show([text] if as_json else [{"Key": key, "Value": text[key]} for key in text], as_json)


@extension_app.command("add")
def add_extension(
    extension: Extension,
    number: Number,
    own: Annotated[
        bool, typer.Option("--own", help="As if the user had added it: checked by his class of service.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Give a user a further number."""
    _change_numbers(extension, number, True, config, own)
    say(f"{extension}: also {number}")


@extension_app.command("remove")
def remove_extension(extension: Extension, number: Number, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take a further number from a user."""
    _change_numbers(extension, number, False, config)
    say(f"{extension}: no longer {number}")


def sip_password(
    extension: Extension,
    given: Annotated[
        str, typer.Option("--password", help="- asks for it; left out, one is made and shown once.")
    ] = "",
    remove: Annotated[
        bool, typer.Option("--remove", help="The user's phones can no longer register.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Give a user's phone the password with which it registers."""
    asked: str = (
        typer.prompt("Password", hide_input=True, confirmation_prompt=True) if given == "-" else given
    )
    password = asked or secrets.token_urlsafe(16)
    if len(password) < 12 and not remove:
        raise VoicemailError("this password is refused: it has fewer than 12 characters")

    async def work(_: Config, store: Store) -> None:
        owner = _person(await look(store), extension).user.id
        if remove:
            return await store.settings.remove(SIP_ACCOUNT, extension, owner)
        body = {"ha1": ha1(extension, password), "realm": REALM}
        await store.settings.put(Setting(SIP_ACCOUNT, extension, json.dumps(body), owner))

    with_store(config, work)
    if remove:
        return say(f"{extension}: no password for phones")
    show([{"Extension": extension, "Realm": REALM} | ({} if given else {"Password": password})], as_json)


async def save(store: Store, before: Person | None, after: Person) -> None:
    """Write what differs. Further numbers come last and go first, so that one which stays behind when this
    breaks off leads nobody astray. Raises Conflict, NotFound, Unavailable."""
    user_id, had, will = after.user.id, _numbers(before), _numbers(after)
    for number in sorted(had.keys() - will.keys()):
        await store.settings.remove(ALTERNATE, number)
    if before is None or before.options != after.options:
        await store.settings.put(Setting(UserOptions.KIND, OPTIONS, after.options.model_dump_json(), user_id))
    if before is None:
        await store.users.add(after.user)
    elif before.user != after.user:
        await store.users.change(after.user)
    for number, own in sorted(will.items() - had.items()):
        if own:
            await store.settings.put(Setting(OWN, number, "{}", user_id))
        said = {"user": str(user_id)} | ({"own": True} if own else {})
        await store.settings.put(Setting(ALTERNATE, number, json.dumps(said)))
    for number in sorted(each for each, own in (had.items() - will.items()) if own):
        with suppress(NotFound):
            await store.settings.remove(OWN, number, user_id)


def _numbers(person: Person | None) -> dict[str, bool]:
    """Further numbers, and whether each is the user's own."""
    return dict.fromkeys(person.alternates, False) | dict.fromkeys(person.own, True) if person else {}


def _change_numbers(extension: str, number: str, more: bool, config: ConfigPath, own: bool = False) -> None:
    async def work(loaded: Config, store: Store) -> None:
        house = await look(store)
        before = _person(house, extension)
        column = people.OWN_NUMBERS if own or number in before.own else people.NUMBERS
        present = before.own if column == people.OWN_NUMBERS else before.alternates
        if not more and number not in present:
            raise VoicemailError(f"user {extension}: {number} is none of the further numbers")
        if more and number in (*before.own, *before.alternates):
            raise VoicemailError(f"user {extension}: {number} is one of the further numbers already")
        rest = [each for each in present if each != number]
        after = people.edited(before, {column: ",".join([*rest, number] if more else rest) or "-"})
        if wrong := people.why_not(house, known(loaded), before, after):
            raise VoicemailError(f"user {extension}: {wrong[0]}")
        await save(store, before, after)

    with_store(config, work)


def _person(house: House, extension: str) -> Person:
    if extension in house.users:
        return people.people(house)[extension]
    raise VoicemailError(f"no user has extension {extension}")


def _cells(pairs: Sequence[str]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise VoicemailError(f"{pair!r}: give key=value")
        cells[key.strip()] = text.strip() or "-"
    return cells
