"""vCards (RFC 2426; RFC 2425 for their lines), as far as a sender's name and numbers go."""

import binascii
import re
from collections.abc import Iterator

from voicemail.vpim.headers import LONGEST_NAME, clean
from voicemail.vpim.model import Card, Person

MOST_BYTES = 64 * 1024
"""Of a vCard that is read; a picture in it may be cut off."""
MOST_LINES = 500
MOST_VALUES = 10
"""Numbers and addresses that are kept of one card."""


def read_card(text: str) -> Card | None:
    """The first card in this text, None when there is none. Never raises: fields that cannot be
    understood are left out."""
    name, parts = "", ""
    numbers: list[str] = []
    addresses: list[str] = []
    began = False
    for key, value in _fields(text[:MOST_BYTES]):
        match key:
            case "BEGIN":
                began = True
            case "END":
                break
            case "FN":
                name = name or clean(_plain(value), LONGEST_NAME)
            case "N":
                parts = parts or _name_of(value)
            case "TEL":
                numbers.append(re.sub(r"[^0-9+*#]", "", value.removeprefix("tel:"))[:32])
            case "EMAIL":
                addresses.append(clean(_plain(value).removeprefix("mailto:"), 320))
    if not began:
        return None
    kept = [number for number in numbers if number][:MOST_VALUES]
    return Card(name or parts, tuple(kept), tuple(each for each in addresses if "@" in each)[:MOST_VALUES])


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Name (without group, in capitals) and value of each line, folded ones joined."""
    lines = re.sub(r"\r?\n[ \t]", "", text).splitlines()[:MOST_LINES]
    for line in lines:
        head, colon, value = line.partition(":")
        words = head.upper().split(";")
        if colon and any("QUOTED-PRINTABLE" in word for word in words[1:]):
            value = binascii.a2b_qp(value.encode("utf-8", "replace")).decode("utf-8", "replace")
        if colon:
            yield words[0].rpartition(".")[2].strip(), value


def _name_of(value: str) -> str:
    """Family;Given;Additional;Prefixes;Suffixes as people say it."""
    family, given, *_ = [*(_plain(part) for part in re.split(r"(?<!\\);", value)), "", ""]
    return clean(f"{given} {family}", LONGEST_NAME)


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: " " if found[1] in "nN" else found[1], value)


def card_of(person: Person) -> Card:
    """What a card of this person can say: the number is that of the address, if it has one."""
    number = re.match(r"\+?[0-9]+(?=@)", person.address)
    return Card(clean(person.name), (number[0],) if number else (), (person.address,))


def written_card(card: Card) -> str:
    """A card of version 3.0, lines ended by CRLF and folded at 75 bytes."""
    name = clean(card.name) or (card.addresses or card.numbers or ("unknown",))[0]
    lines = ["BEGIN:VCARD", "VERSION:3.0", f"FN:{_escaped(name)}", f"N:{_escaped(name)};;;;"]
    lines += [f"TEL;TYPE=VOICE:{_escaped(clean(number))}" for number in card.numbers]
    lines += [f"EMAIL;TYPE=INTERNET:{_escaped(clean(each, 320))}" for each in card.addresses]
    return "".join(f"{_folded(line)}\r\n" for line in [*lines, "END:VCARD"])


def _escaped(value: str) -> str:
    return re.sub(r"([\\,;])", r"\\\1", value)


def _folded(line: str) -> str:
    """Breaks after 60 bytes, never inside a character."""
    shown, width = "", 0
    for character in line:
        width += len(character.encode())
        if width > 60:
            shown, width = shown + "\r\n ", len(character.encode()) + 1
        shown += character
    return shown
