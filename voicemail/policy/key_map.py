"""Which keys do what in a user's menus. Each user has one map (functions.md section 3); the supplied one is
written here."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from voicemail.policy.base import Policy

STANDARD = "standard"
"""The map of users who have no other."""
Keys = tuple[Annotated[str, Field(min_length=1)], ...]
"""One key, or up to three pressed after another; several do the same, and the last is said in the menu.
Nothing: it cannot be had with this map."""
SEQUENCE = re.compile(r"[1-9*#][0-9*#]{0,2}")
WAYS_OUT = ("exit", "back", "cancel", "go_on")
"""Rows that need a key: nobody shall be caught in a menu."""


class Part(Policy):
    """Of one menu: each row is what its keys do, in the order in which they are offered."""

    def row(self, name: str) -> Keys:
        """The keys of one row."""
        keys: Keys = getattr(self, name)
        return keys

    def rows(self) -> Mapping[str, Keys]:
        """All of them."""
        return {name: self.row(name) for name in type(self).model_fields}


class MainKeys(Part):
    new: Keys = ("1",)
    send: Keys = ("2",)
    saved: Keys = ("3", "31")
    deleted: Keys = ("32",)
    setup: Keys = ("4",)
    find: Keys = ("5",)
    exit: Keys = ("*",)


class DuringKeys(Part):
    """While a message is heard. Of a dispatch message `save` accepts, `delete` declines, `skip` postpones."""

    restart: Keys = ("1",)
    save: Keys = ("2",)
    delete: Keys = ("3",)
    slower: Keys = ("4",)
    louder: Keys = ("5",)
    faster: Keys = ("6",)
    rewind: Keys = ("7",)
    pause: Keys = ("8",)
    advance: Keys = ("9",)
    """There is no key to the end: it would do what `skip` does."""
    skip: Keys = ("#",)
    back: Keys = ("*",)


class AfterKeys(Part):
    """After a message, while its footer is said and then. Of a deleted one `save` restores, `delete` deletes
    for good."""

    replay: Keys = ("1",)
    save: Keys = ("2",)
    delete: Keys = ("3",)
    reply: Keys = ("4",)
    reply_all: Keys = ("42",)
    call_sender: Keys = ("44",)
    forward: Keys = ("5",)
    mark_new: Keys = ("6",)
    rewind: Keys = ("7",)
    mail: Keys = ("8",)
    properties: Keys = ("9",)
    skip: Keys = ("#",)
    back: Keys = ("*",)


class AddressKeys(Part):
    """Who gets a message."""

    add: Keys = ("1",)
    hear: Keys = ("2",)
    remove: Keys = ("3",)
    go_on: Keys = ("#",)
    cancel: Keys = ("*",)


class SendKeys(Part):
    """When a message has been recorded."""

    send: Keys = ("#",)
    options: Keys = ("1",)
    addressees: Keys = ("91",)
    cancel: Keys = ("*",)


class OptionsKeys(Part):
    """How a message is sent."""

    urgent: Keys = ("1",)
    receipt: Keys = ("2",)
    private: Keys = ("3",)
    future: Keys = ("4",)
    review: Keys = ("5",)
    re_record: Keys = ("6",)
    append: Keys = ("7",)
    secure: Keys = ("8",)
    send: Keys = ("#",)
    back: Keys = ("*",)


class SetupKeys(Part):
    greetings: Keys = ("1",)
    messages: Keys = ("2",)
    personal: Keys = ("3",)
    transfer: Keys = ("4",)
    back: Keys = ("*",)


class MessagesKeys(Part):
    """Settings of messages."""

    devices: Keys = ("1",)
    style: Keys = ("2",)
    lists: Keys = ("3",)
    language: Keys = ("4",)
    back: Keys = ("*",)


class PersonalKeys(Part):
    """Personal settings."""

    pin: Keys = ("1",)
    name: Keys = ("2",)
    listing: Keys = ("3",)
    numbers: Keys = ("4",)
    back: Keys = ("*",)


class KeyMap(Policy):
    """One map. 0 says the keys again in every menu, so that it is always known what a map does."""

    KIND: ClassVar[str] = "key_map"
    main: MainKeys = MainKeys()
    header: DuringKeys = DuringKeys()
    """While it is said who a message is from, and when."""
    during: DuringKeys = DuringKeys()
    after: AfterKeys = AfterKeys()
    address: AddressKeys = AddressKeys()
    send: SendKeys = SendKeys()
    options: OptionsKeys = OptionsKeys()
    setup: SetupKeys = SetupKeys()
    messages: MessagesKeys = MessagesKeys()
    personal: PersonalKeys = PersonalKeys()

    def parts(self) -> Mapping[str, Part]:
        """By menu."""
        return {name: getattr(self, name) for name in type(self).model_fields}


def mistakes(key_map: KeyMap) -> Iterator[str]:
    """Why it cannot be used, each in words."""
    for menu, part in key_map.parts().items():
        yield from _of_part(menu, part)


def _of_part(menu: str, part: Part) -> Iterator[str]:
    taken: dict[str, str] = {}
    for row, keys in part.rows().items():
        if row in WAYS_OUT and not keys:
            yield f"{menu}.{row}: needs a key, so that nobody is caught in this menu"
        for each in keys:
            if not SEQUENCE.fullmatch(each):
                yield f"{menu}.{row}: {each!r} is none: up to three of 0-9, * and #, not beginning with 0"
            elif taken.setdefault(each, row) != row:
                yield f"{menu}.{row}: {each} is the key of {menu}.{taken[each]}"


def doubts(key_map: KeyMap) -> Iterator[str]:
    """What may not be meant: a key that does one thing while the header is said, and another behind it."""
    header = {key: row for row, keys in key_map.header.rows().items() for key in keys}
    for row, keys in key_map.during.rows().items():
        for key in keys:
            if header.get(key, row) != row:
                yield f"{key} is header.{header[key]}, but during.{row}"
