"""`voicemail cos|handler|list|schedule|holidays|restriction|rule|pin-rules|aging|undeliverable|location`, and
`voicemail contact`: one set of commands for all, made from the policy's model.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sip.wav import is_sound
from store.api import Store
from store.model import Setting, setting_id
from voicemail.cli.common import DEFAULT_CONFIG, ConfigPath, Json, say, show, with_store
from voicemail.cli.paged import rows_of, show_pages
from voicemail.config import Config
from voicemail.errors import VoicemailError
from voicemail.greetings import NAME
from voicemail.policy.base import Policy
from voicemail.policy.book import parsed
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.elsewhere import is_address
from voicemail.policy.house import House, look, with_contacts
from voicemail.policy.interview import Interview, question_kind
from voicemail.policy.keeping import Aging
from voicemail.policy.key_map import KeyMap
from voicemail.policy.locations import Contact, Location
from voicemail.policy.model import (
    CallHandler,
    ClassOfService,
    Holidays,
    Members,
    PinRules,
    RestrictionTable,
    RoutingRule,
    Schedule,
    Undeliverable,
)
from voicemail.policy.references import NOUNS, doubts, mistakes, needed_by
from voicemail.policy.text import changed, keys, shown

Name = Annotated[str, typer.Argument(help="Its name, as `list` shows it.")]
Pairs = Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="`show` shows all keys.")]
ONLY = "default"
"""The name of a policy of which there is one."""
HELP: Mapping[type[Policy], str] = {
    ClassOfService: "Classes of service: what users may do, how long, how much.",
    CallHandler: "Call handlers: what answers calls that are for nobody in particular.",
    Interview: "Interviews: questions that callers answer; all answers are one message.",
    Members: "Distribution lists.",
    Schedule: "Schedules: when somebody is there.",
    Holidays: "Lists of days off, for schedules.",
    RestrictionTable: "Restriction tables: which numbers may be dialled.",
    RoutingRule: "Routing rules: where calls go.",
    KeyMap: "Key maps: which keys do what in the menus of users.",
    PinRules: "What PINs have to be like, and how long they last.",
    Aging: "After how many days messages go on to the next folder.",
    Undeliverable: "Who gets messages that nobody else can.",
    Location: "Other voice-mail systems, and what may go there.",
    Contact: "Mailboxes on other systems that users address by name or number; named by their addresses.",
}
COLUMNS: Mapping[type[Policy], Sequence[str]] = {
    ClassOfService: ("pin_rules", "longest_message", "quota.no_receive", "transfer_table", "dial_out_table"),
    CallHandler: ("extension", "schedule", "messages_to", "after_message"),
    Interview: ("extension", "questions", "messages_to", "after_message"),
    Members: ("display_name", "extension", "members"),
    RoutingRule: (
        "table",
        "order",
        "active",
        "calling",
        "dialled",
        "forwarding",
        "trunk",
        "schedule",
        "action",
    ),
    KeyMap: ("main.new", "during.save", "during.delete", "after.save", "after.delete", "after.skip"),
    Location: ("domain", "dial_id", "prefixes", "host", "tls", "codec", "secure"),
}
"""Shown by `list`; all where nothing is said."""


def register(app: typer.Typer) -> None:
    """Add the commands to `voicemail`."""
    for kind, text in HELP.items():
        single = kind in (Aging, Undeliverable)
        app.add_typer(_single(kind) if single else _named(kind), name=_noun(kind), help=text)


def _named(kind: type[Policy]) -> typer.Typer:
    """The commands of a policy of which there are several."""
    app = typer.Typer(no_args_is_help=True)

    if kind is Contact:
        _add_long_list(app, kind)
    else:

        @app.command("list", help="Show all.")
        def list_all(config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
            _list(kind, config, as_json)

    @app.command("show", help="Show one, with every key.")
    def show_one(name: Name, config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
        _show(kind, _written(kind, name), config, as_json)

    @app.command("set", help="Change one, or make it. Keys: " + ", ".join(keys(kind)) + ".")
    def set_one(name: Name, pairs: Pairs, config: ConfigPath = DEFAULT_CONFIG) -> None:
        _set(kind, _written(kind, name), pairs, config)

    @app.command("remove", help="Take one away; one that is supplied is as it was supplied again.")
    def remove(name: Name, config: ConfigPath = DEFAULT_CONFIG) -> None:
        _remove(kind, _written(kind, name), config)

    if kind is Members:
        _add_members(app)
    if kind in (Location, Contact):
        _add_record(app, kind)
    if kind is Interview:
        _add_questions(app)
    return app


def _single(kind: type[Policy]) -> typer.Typer:
    """The commands of a policy of which there is one."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("show", help="Show it.")
    def show_it(config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
        _show(kind, ONLY, config, as_json)

    @app.command("set", help="Change it. Keys: " + ", ".join(keys(kind)) + ".")
    def set_it(pairs: Pairs, config: ConfigPath = DEFAULT_CONFIG) -> None:
        _set(kind, ONLY, pairs, config)

    @app.command("reset", help="Have it as it was supplied.")
    def reset(config: ConfigPath = DEFAULT_CONFIG) -> None:
        _remove(kind, ONLY, config)

    return app


def _add_members(app: typer.Typer) -> None:
    member = Annotated[list[str], typer.Argument(help="Extensions, and list:<name> for a list.")]

    @app.command("add-members", help="Add to a list.")
    def add_members(name: Name, members: member, config: ConfigPath = DEFAULT_CONFIG) -> None:
        _change_members(name, members, (), config)

    @app.command("remove-members", help="Take from a list.")
    def remove_members(name: Name, members: member, config: ConfigPath = DEFAULT_CONFIG) -> None:
        _change_members(name, (), members, config)


def _add_record(app: typer.Typer, kind: type[Policy]) -> None:
    recording = Annotated[str, typer.Argument(help="8 kHz mono WAV; - takes the recording away.")]

    @app.command("record", help="Give it a recorded name, by which it is spoken of.")
    def record(name: Name, file: recording, config: ConfigPath = DEFAULT_CONFIG) -> None:
        name, audio = _written(kind, name), _recording(file)

        async def work(_: Config, store: Store) -> None:
            _one(await _around(store, kind, name), kind, name)
            await store.users.set_greeting(setting_id(kind.KIND, name), audio, NAME)

        with_store(config, work)
        say(f"{_noun(kind)} {name!r}: recorded name {'set' if audio else 'taken away'}")


def _add_long_list(app: typer.Typer, kind: type[Policy]) -> None:
    after_ = Annotated[str, typer.Option(help="Begin behind this name.")]
    most_ = Annotated[int, typer.Option(min=0, help="Show so many; 0: all.")]

    @app.command("list", help="Show all, by name, as they are read.")
    def list_all(
        after: after_ = "", most: most_ = 0, config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False
    ) -> None:
        async def work(_: Config, store: Store) -> None:
            await show_pages(rows_of(store, kind, keys(kind), _written(kind, after), most), as_json)

        with_store(config, work)


def _add_questions(app: typer.Typer) -> None:
    number = Annotated[int, typer.Argument(min=1, max=20, help="Which question, from 1.")]
    recording = Annotated[str, typer.Argument(help="8 kHz mono WAV; - takes the recording away.")]

    @app.command("record", help="Give a question its recording. One that has none is not asked.")
    def record(name: Name, question: number, file: recording, config: ConfigPath = DEFAULT_CONFIG) -> None:
        audio = _recording(file)

        async def work(_: Config, store: Store) -> None:
            asked = len(_one(await look(store), Interview, name).questions)
            if question > asked:
                raise VoicemailError(f"interview {name!r}: it has {asked} questions; set questions first")
            await store.users.set_greeting(setting_id(Interview.KIND, name), audio, question_kind(question))

        with_store(config, work)
        say(f"interview {name!r}: question {question} {'set' if audio else 'taken away'}")

    @app.command("questions", help="Show its questions: how long each answer may be, and what is recorded.")
    def questions(name: Name, config: ConfigPath = DEFAULT_CONFIG, as_json: Json = False) -> None:
        async def work(_: Config, store: Store) -> list[dict[str, Any]]:
            longest = _one(await look(store), Interview, name).questions
            owner = setting_id(Interview.KIND, name)
            return [
                {
                    "Question": n,
                    "Seconds": seconds,
                    "Recording": bool(await store.users.greeting(owner, question_kind(n))),
                }
                for n, seconds in enumerate(longest, 1)
            ]

        show(with_store(config, work), as_json)


def _recording(file: str) -> bytes | None:
    """None for -. Raises OSError, VoicemailError."""
    audio = None if file == "-" else Path(file).read_bytes()
    if audio is not None and not is_sound(audio):
        raise VoicemailError(f"{file}: not a WAV file of 8 kHz mono PCM, mu-law or A-law")
    return audio


def _list(kind: type[Policy], config: ConfigPath, as_json: bool) -> None:
    async def work(_: Config, store: Store) -> House:
        return await look(store, contacts=False)

    house = with_store(config, work)
    rows = [{"name": name, **shown(policy)} for name, policy in _in_order(house.all(kind))]
    if not as_json:
        columns = COLUMNS.get(kind) or keys(kind)
        rows = [{"name": row["name"]} | {key: row.get(key, "-") for key in columns} for row in rows]
    show(rows, as_json)


def _show(kind: type[Policy], name: str, config: ConfigPath, as_json: bool) -> None:
    async def work(_: Config, store: Store) -> dict[str, str]:
        found = await store.settings.get(kind.KIND, name)
        policy = (found and parsed(kind, found)) or BUILT_IN.get(kind, {}).get(name)
        return shown(policy or _none(kind, name))

    text = with_store(config, work)
    show([{"name": name, **text}] if as_json else [{"Key": key, "Value": text[key]} for key in text], as_json)


def _set(kind: type[Policy], name: str, pairs: Sequence[str], config: ConfigPath) -> None:
    def made(house: House) -> Policy:
        return changed(kind, house.all(kind).get(name), pairs)

    _put(kind, name, made, config)


def _change_members(name: str, more: Sequence[str], fewer: Sequence[str], config: ConfigPath) -> None:
    def made(house: House) -> Policy:
        present: Members = _one(house, Members, name)
        if absent := [each for each in fewer if each not in present.members]:
            raise VoicemailError(f"list {name!r}: {absent[0]} is no member")
        left = [each for each in present.members if each not in fewer]
        return present.model_copy(update={"members": tuple(dict.fromkeys([*left, *more]))})

    _put(Members, name, made, config)


def _put(kind: type[Policy], name: str, made: Any, config: ConfigPath) -> None:
    """Set what `made` makes of all that is there, if nothing is wrong with it; then say so."""
    _check_name(kind, name)

    async def work(_: Config, store: Store) -> tuple[str, list[str]]:
        house = await _around(store, kind, name)
        if (kind.KIND, name) in house.damaged:  # what it says must not be lost unseen
            raise VoicemailError(f"{_noun(kind)} {name!r} is damaged in the store: remove it first")
        present, policy = house.all(kind).get(name), made(house)
        if number := getattr(policy, "extension", ""):
            house = with_contacts(house, await store.settings.numbered(Contact.KIND, number))
        if wrong := mistakes(house, name, policy):
            raise VoicemailError(f"{_noun(kind)} {name!r}: {wrong[0]}")
        if policy == present:
            return "as it was", doubts(house, policy)
        await store.settings.put(Setting(kind.KIND, name, policy.model_dump_json()))
        return "changed" if present else "made", doubts(house, policy)

    done, notes = with_store(config, work)
    for note in notes:
        say(f"note: {note}")
    say(f"{_noun(kind)} {name!r}: {done}")


async def _around(store: Store, kind: type[Policy], name: str) -> House:
    """What this policy may have to do with. All contacts matter to locations only: to others that one, and
    those with their number."""
    house = await look(store, contacts=kind is Location)
    own = await store.settings.get(Contact.KIND, name) if kind is Contact else None
    return with_contacts(house, [own]) if own else house


def _written(kind: type[Policy], name: str) -> str:
    """A name as it is kept: addresses in small letters, so that a mailbox is one contact only."""
    return name.lower() if kind is Contact else name


def _check_name(kind: type[Policy], name: str) -> None:
    if kind is Contact:
        if not is_address(name):
            raise VoicemailError(f"{name!r} is no mail address, such as 2722@vm.example.com")
    elif not re.fullmatch(r"\w[\w.-]{0,63}", name):
        raise VoicemailError(f"{name!r} is no name: use letters, digits, _, - and .")


def _remove(kind: type[Policy], name: str, config: ConfigPath) -> None:
    async def work(_: Config, store: Store) -> str:
        house = await _around(store, kind, name)
        supplied, damaged = name in BUILT_IN.get(kind, {}), (kind.KIND, name) in house.damaged
        if not damaged:
            _one(house, kind, name)
        if not damaged and name not in house.policies.get(kind.KIND, {}):
            raise VoicemailError(f"{_noun(kind)} {name!r} is as it was supplied, and always there")
        users = needed_by(house, kind, name)
        if users and not supplied:
            raise VoicemailError(f"{_noun(kind)} {name!r} is needed by {_some(users)}")
        await store.settings.remove(kind.KIND, name)
        if kind in (Location, Contact):
            await store.users.set_greeting(setting_id(kind.KIND, name), None, NAME)
        if kind is Interview and not damaged:
            for number in range(1, len(_one(house, kind, name).questions) + 1):
                await store.users.set_greeting(setting_id(kind.KIND, name), None, question_kind(number))
        return "as it was supplied" if supplied else "removed"

    say(f"{_noun(kind)} {name!r}: {with_store(config, work)}")


def _some(users: Sequence[str]) -> str:
    return ", ".join(users[:3]) + (f" and {len(users) - 3} more" if len(users) > 3 else "")


def _one(house: House, kind: type[Any], name: str) -> Any:
    return house.all(kind).get(name) or _none(kind, name)


def _none(kind: type[Policy], name: str) -> NoReturn:
    raise VoicemailError(f"there is no {_noun(kind)} named {name!r}")


def _in_order(policies: Mapping[str, Policy]) -> list[tuple[str, Policy]]:
    """By name; rules as they are tried."""

    def place(item: tuple[str, Policy]) -> tuple[Any, ...]:
        name, policy = item
        return (policy.table, policy.order, name) if isinstance(policy, RoutingRule) else (name,)

    return sorted(policies.items(), key=place)


def _noun(kind: type[Policy]) -> str:
    return NOUNS[kind]
