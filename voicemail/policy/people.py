"""A user with all that is kept for him, as columns of text: for `voicemail user options` and CSV files."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from store.ids import uuid7
from store.model import User
from voicemail.errors import VoicemailError
from voicemail.policy.base import Policy
from voicemail.policy.house import House
from voicemail.policy.model import CALLER_KEYS, ClassOfService, RestrictionTable, UserOptions
from voicemail.policy.numbers import allowed
from voicemail.policy.references import mistakes, taken
from voicemail.policy.text import NOTHING, changed, keys, read, shown, written
from voicemail.policy.transferred import refused

MOST_ALTERNATES = 9
"""Further numbers that administrators can give a user (functions.md section 8)."""
NUMBERS = "alternate_extensions"
OWN_NUMBERS = "own_extensions"
"""Those that users have given themselves."""
OF_USER: Mapping[str, type] = {"name": str, "mail": str, "attach": bool, "language": str, "lamps": tuple}
NOT_SET = ("pin_changed", "old_pins", "resume_message", "resume_at")
"""Options that the system keeps for itself."""
COLUMNS = (
    "extension",
    *OF_USER,
    NUMBERS,
    OWN_NUMBERS,
    *(key for key in keys(UserOptions) if key not in NOT_SET and key != "keys.?"),
)
"""Besides, `keys.0` to `keys.#`: what a key does during the greeting."""


@dataclass(frozen=True, slots=True)
class Person:
    """One user: his row, his options, his further numbers."""

    user: User
    options: UserOptions = UserOptions()
    alternates: tuple[str, ...] = ()
    """Given by administrators."""
    own: tuple[str, ...] = ()
    """Given by himself."""


@dataclass(frozen=True, slots=True)
class Known:
    """What besides policies a user can name."""

    lamps: frozenset[str]
    """Trunks."""
    languages: frozenset[str]
    pilot: str = ""
    """Where all are called, and which is nobody's."""


def new(extension: str) -> Person:
    """Raises VoicemailError when this is no extension."""
    if not (extension.isascii() and extension.isdigit() and len(extension) <= 32):
        raise VoicemailError(f"extension: {extension!r} is none (digits only)")
    return Person(User(uuid7(), extension))


def people(house: House) -> dict[str, Person]:
    """Everybody, by extension."""
    numbers: dict[object, list[str]] = {}
    for number, owner in sorted(house.alternates.items()):
        numbers.setdefault(owner, []).append(number)
    return {
        extension: Person(
            user,
            house.options.get(user.id, UserOptions()),
            tuple(each for each in numbers.get(user.id, ()) if each not in house.own),
            tuple(each for each in numbers.get(user.id, ()) if each in house.own),
        )
        for extension, user in house.users.items()
    }


def columns(person: Person) -> dict[str, str]:
    """Everything that can be set, as text, in the order of COLUMNS, then keys."""
    options = {key: text for key, text in shown(person.options).items() if key not in (*NOT_SET, "keys")}
    return {
        "extension": person.user.extension,
        **{name: written(getattr(person.user, name)) for name in OF_USER},
        NUMBERS: written(person.alternates),
        OWN_NUMBERS: written(person.own),
        **options,
    }


def edited(person: Person, cells: Mapping[str, str]) -> Person:
    """With these columns set; an empty cell leaves what is, `-` empties. Raises VoicemailError."""
    filled = {key: text.strip() for key, text in cells.items() if text.strip() and key != "extension"}
    if hidden := [key for key in filled if key in NOT_SET]:
        raise VoicemailError(f"{hidden[0]}: this is not set by hand")
    own = {key: _of_user(key, text) for key, text in filled.items() if key in OF_USER}
    numbers = {key: tuple(sorted(set(_list(filled[key])))) for key in (NUMBERS, OWN_NUMBERS) if key in filled}
    pairs = [f"{key}={text}" for key, text in filled.items() if key not in own and key not in numbers]
    options = person.options
    if options.keys is None and any(pair.startswith("keys.") and not pair.endswith("=-") for pair in pairs):
        options = options.model_copy(update={"keys": CALLER_KEYS})
    elif options.keys is None:
        pairs = [pair for pair in pairs if not pair.startswith("keys.")]
    options = changed(UserOptions, options, pairs) if pairs else options
    alternates, given = numbers.get(NUMBERS, person.alternates), numbers.get(OWN_NUMBERS, person.own)
    return Person(replace(person.user, **own), options, alternates, given)


def why_not(house: House, known: Known, before: Person | None, after: Person) -> list[str]:
    """What is wrong with a user as he would be; nothing that is so already is held against him."""
    found = [*_numbers(house, known, before, after), *_words(known, after)]
    if before is None or before.options != after.options:
        found += mistakes(house, "options", after.options)
        found += [] if found else _transfer(house, after.options)
    return found


def differences(before: Person, after: Person) -> dict[str, tuple[str, str]]:
    """Columns that change: what they say now and then."""
    was, will = columns(before), columns(after)
    return {
        key: (was.get(key, NOTHING), will.get(key, NOTHING))
        for key in {**was, **will}
        if was.get(key, NOTHING) != will.get(key, NOTHING)
    }


def _of_user(key: str, text: str) -> Any:
    if key == "lamps":
        return () if text == NOTHING else tuple(_list(text))
    if key == "attach":
        return changed(_Attach, None, [f"attach={text}"]).attach
    return read(str, text)


class _Attach(Policy):
    attach: bool = True


def _list(text: str) -> list[str]:
    return [] if text == NOTHING else [part.strip() for part in text.split(",") if part.strip()]


def _numbers(house: House, known: Known, before: Person | None, after: Person) -> list[str]:
    """Further numbers, checked when they are new; those that are a user's own as if he had set them."""
    had = (*before.alternates, *before.own) if before else ()
    found: list[str] = []
    if before is None and (why := taken(house, after.user.extension)):
        found.append(why)
    cos = house.all(ClassOfService).get(after.options.cos) or ClassOfService()
    for key, numbers, most in (
        (NUMBERS, after.alternates, MOST_ALTERNATES),
        (OWN_NUMBERS, after.own, cos.own_extensions),
    ):
        fresh = [number for number in numbers if number not in had]
        found += [why for number in fresh if (why := _why_none(house, known, after, key, number))]
        if key == OWN_NUMBERS:
            found += [f"{key}: {why}" for number in fresh if (why := _why_refused(house, cos, number))]
        if fresh and len(numbers) > most:
            found.append(f"{key}: more than {most}")
    return found + [
        f"{OWN_NUMBERS}: {each} is in {NUMBERS}" for each in after.own if each in after.alternates
    ]


def _why_none(house: House, known: Known, after: Person, key: str, number: str) -> str:
    if not _is_number(number.removeprefix("+")):
        return f"{key}: {number!r} is none (digits only)"
    if why := taken(house, number):
        return why
    if number == known.pilot:
        return f"{number} is the pilot's number"
    return f"{key}: {number} is the user's extension" if number == after.user.extension else ""


def _why_refused(house: House, cos: ClassOfService, number: str) -> str:
    table = house.all(RestrictionTable).get(cos.alternate_table)
    refused = table is None or not allowed(table, number)
    return f"{number} is refused by restriction {cos.alternate_table!r}" if refused else ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _words(known: Known, after: Person) -> list[str]:
    user = after.user
    found = [f"lamps: {why}" for lamp in user.lamps if (why := why_no_lamp(lamp, known.lamps))]
    if user.language not in known.languages:
        found.append(
            f"language: {user.language!r} is not spoken here; known: {', '.join(sorted(known.languages))}"
        )
    if user.mail and ("@" not in user.mail[1:-1] or any(sign.isspace() for sign in user.mail)):
        found.append(f"mail: {user.mail!r} is no mail address")
    return found


def why_no_lamp(entry: str, trunks: Collection[str]) -> str:
    """What is wrong with "pbx" or "pbx:2001" as a user's lamp; "" when nothing is."""
    trunk, colon, number = entry.partition(":")
    if trunk not in trunks:
        return f"no trunk is named {trunk!r}"
    if colon and not re.fullmatch(r"[0-9A-Za-z*#+._-]{1,64}", number):
        return f"{number!r} in {entry!r} is no number of a lamp"
    return ""


def _transfer(house: House, options: UserOptions) -> list[str]:
    cos = house.all(ClassOfService)[options.cos]
    return list(refused(house.all(RestrictionTable), cos.transfer_table, options))
