"""`voicemail greeting`: what users' mailboxes and call handlers say, and when; recorded names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from sip.wav import is_sound
from store.api import Store
from store.model import Setting, setting_id
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show, with_store
from voicemail.config import Config
from voicemail.conversation.handler import SWITCHES
from voicemail.conversation.lookup import ON
from voicemail.errors import VoicemailError
from voicemail.greetings import NAME
from voicemail.policy.book import parsed
from voicemail.policy.house import House, look
from voicemail.policy.model import CallHandler, GreetingKind, GreetingSwitch, Members, in_language
from voicemail.policy.references import mistakes
from voicemail.policy.text import changed, keys, shown
from voicemail.words import LANGUAGES

app = typer.Typer(no_args_is_help=True)

Owner = Annotated[str, typer.Argument(help="An extension, handler:<name>, or list:<name> (its name only).")]
Kind = Annotated[str, typer.Argument(help=", ".join(GreetingKind) + ".")]
Pairs = Annotated[
    list[str], typer.Argument(metavar="KEY=VALUE…", help="Keys: " + ", ".join(keys(GreetingSwitch)) + ".")
]
KINDS: Mapping[str, tuple[str, type[CallHandler] | type[Members]]] = {
    "handler": ("handler", CallHandler),
    "list": ("list", Members),
}


@dataclass(frozen=True, slots=True)
class Owned:
    """Whose greetings they are; `usual` is the standard greeting's switch where none is set."""

    id: UUID
    usual: GreetingSwitch = ON
    name_only: bool = False
    """A list: it has a recorded name, and greets nobody."""

    def without(self, kind: GreetingKind) -> GreetingSwitch:
        """The switch of a greeting which nobody has set."""
        return self.usual if kind is GreetingKind.STANDARD else GreetingSwitch()


@app.command("list")
def list_greetings(owner: Owner, config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Show the greetings of a user or a handler, in order of precedence."""

    async def work(_: Config, store: Store) -> list[dict[str, Any]]:
        owned = owned_by(await look(store), owner)
        switches = await _switches(store, owned)
        kinds = [NAME] if owned.name_only else [*GreetingKind, NAME]
        recorded = {kind: await store.users.greeting(owned.id, kind) is not None for kind in kinds}
        rows = [
            _row(kind, switches.get(kind) or owned.without(kind), recorded[kind])
            for kind in GreetingKind
            if kind in recorded
        ]
        return [*rows, {"Greeting": NAME, "Recording": recorded[NAME]}]

    show(with_store(config, work), as_json)


@app.command("set")
def set_greeting(owner: Owner, kind: Kind, pairs: Pairs, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Switch a greeting on or off, until when, what it plays, what comes after it."""
    which = _kind(kind)

    async def work(_: Config, store: Store) -> None:
        house = await look(store)
        owned = greets(house, owner)
        present = (await _switches(store, owned)).get(which) or owned.without(which)
        switch = changed(GreetingSwitch, present, pairs)
        if wrong := mistakes(house, which, switch):
            raise VoicemailError(f"greeting {which} of {owner}: {wrong[0]}")
        await store.settings.put(Setting(GreetingSwitch.KIND, which, switch.model_dump_json(), owned.id))

    with_store(config, work)
    say(f"{owner}: {which} greeting set")


@app.command("show")
def show_greeting(
    owner: Owner, kind: Kind, config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """Show one greeting with every key."""
    which = _kind(kind)

    async def work(_: Config, store: Store) -> dict[str, str]:
        owned = greets(await look(store), owner)
        return shown((await _switches(store, owned)).get(which) or owned.without(which))

    text = with_store(config, work)
    show([text] if as_json else [{"Key": key, "Value": text[key]} for key in text], as_json)


@app.command()
def reset(owner: Owner, kind: Kind, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Have a greeting's switch as it was supplied. Its recording stays."""
    which = _kind(kind)

    async def work(_: Config, store: Store) -> None:
        owned = greets(await look(store), owner)
        if which in await _switches(store, owned):
            await store.settings.remove(GreetingSwitch.KIND, which, owned.id)

    with_store(config, work)
    say(f"{owner}: {which} greeting as it was supplied")


@app.command()
def record(
    owner: Owner,
    kind: Annotated[str, typer.Argument(help=", ".join([*GreetingKind, NAME]) + ".")],
    file: Annotated[str, typer.Argument(help="8 kHz mono WAV; - takes the recording away.")],
    language: Annotated[str, typer.Option(help="Of calls that hear it; others hear the plain one.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Give a greeting its recording, or its owner a recorded name."""
    which = kind if kind == NAME else _kind(kind)
    _check_language(language, which)
    audio = None if file == "-" else Path(file).read_bytes()
    if audio is not None and not is_sound(audio):
        raise VoicemailError(f"{file}: not a WAV file of 8 kHz mono PCM, mu-law or A-law")

    async def work(_: Config, store: Store) -> None:
        house = await look(store)
        owned = owned_by(house, owner) if which == NAME else greets(house, owner)
        if language:
            await store.users.set_greeting(owned.id, audio, in_language(which, language))
            await _set_spoken(store, owned, GreetingKind(which), language, audio is not None)
        else:
            await store.users.set_greeting(owned.id, audio, which)

    with_store(config, work)
    what = "recorded name" if which == NAME else f"{which} greeting{f' in {language}' * bool(language)}"
    say(f"{owner}: {what} {'set' if audio else 'taken away'}")


def _check_language(language: str, which: str) -> None:
    if language and language not in LANGUAGES:
        raise VoicemailError(f"language {language!r} is not spoken here; known: {', '.join(LANGUAGES)}")
    if language and which == NAME:
        raise VoicemailError("a recorded name has no language")


async def _set_spoken(store: Store, owned: Owned, kind: GreetingKind, language: str, is_: bool) -> None:
    """Note that there is a recording in this language, or no longer."""
    switch = (await _switches(store, owned)).get(kind) or owned.without(kind)
    others = tuple(each for each in switch.languages if each != language)
    languages = tuple(sorted((*others, language))) if is_ else others
    spoken = switch.model_copy(update={"languages": languages})
    await store.settings.put(Setting(GreetingSwitch.KIND, kind, spoken.model_dump_json(), owned.id))


def greets(house: House, owner: str) -> Owned:
    """As `owned_by`; VoicemailError also for a list."""
    owned = owned_by(house, owner)
    if owned.name_only:
        raise VoicemailError(f"{owner} has a recorded name, and no greetings")
    return owned


def owned_by(house: House, owner: str) -> Owned:
    """Raises VoicemailError when there is no such user, handler or list."""
    sort, colon, name = owner.partition(":")
    if colon and sort in KINDS:
        noun, kind = KINDS[sort]
        if name not in house.all(kind):
            raise VoicemailError(f"there is no {noun} named {name!r}")
        usual = SWITCHES.get(name, ON) if sort == "handler" else ON
        return Owned(setting_id(kind.KIND, name), usual, kind is Members)
    if user := house.owner_of(owner):
        return Owned(user.id)
    raise VoicemailError(f"no user has extension {owner}")


async def _switches(store: Store, owned: Owned) -> dict[str, GreetingSwitch]:
    found = await store.settings.all(GreetingSwitch.KIND, owned.id)
    return {each.name: read for each in found if (read := parsed(GreetingSwitch, each))}


def _row(kind: GreetingKind, switch: GreetingSwitch, recorded: bool) -> dict[str, Any]:
    always = kind is GreetingKind.STANDARD
    return {
        "Greeting": kind.value,
        "Recording": recorded,
        "On": always or switch.enabled,
        "Until": switch.until,
        "Plays": switch.source.value,
        "After": shown(switch)["after"],
    }


def _kind(text: str) -> GreetingKind:
    try:
        return GreetingKind(text)
    except ValueError:
        raise VoicemailError(f"{text!r} is no greeting: {', '.join(GreetingKind)}") from None
