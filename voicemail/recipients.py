"""Who gets a message: addressees become mailboxes. Pure.

An addressee is an extension, "list:<name>" (a system list), "undeliverable" (whoever gets what nobody else
can), the bare name of a list, such as "operator", or an address elsewhere (with an @).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

LIST = "list:"
UNDELIVERABLE = "undeliverable"
DEEPEST = 20
"""Lists within lists; what lies deeper is left out, as one that comes back to itself is."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """Addressees without lists. Each once, in the order they were named."""

    extensions: tuple[str, ...]
    unknown: tuple[str, ...]
    """Lists that are not there."""
    remote: tuple[str, ...] = ()
    """Addresses on other systems."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`mailboxes` get it, `gone` are addressees that nobody is."""

    mailboxes: tuple[UUID, ...]
    gone: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()


def list_of(addressee: str) -> str | None:
    """The list that an addressee is; None for an extension, and for an address elsewhere."""
    if addressee.startswith(LIST):
        return addressee.removeprefix(LIST)
    return None if addressee[:1].isdigit() or addressee[:1] == "+" or is_remote(addressee) else addressee


def is_remote(addressee: str) -> bool:
    """Whether it is an address on another system."""
    return "@" in addressee


def expand(addressees: Iterable[str], lists: Mapping[str, Sequence[str]]) -> Expanded:
    """`lists` are the members of each list by its name, "undeliverable" among them. A list is opened once,
    where it is first met from outside in, so that loops end by themselves."""
    extensions: dict[str, None] = {}
    remote: dict[str, None] = {}
    unknown: dict[str, None] = {}
    opened: set[str] = set()
    level = list(addressees)
    for _ in range(DEEPEST + 1):
        below: list[str] = []
        for each in level:
            name = list_of(each)
            if name is None:
                (remote if is_remote(each) else extensions)[each] = None
            elif name not in lists:
                unknown[each] = None
            elif name not in opened:
                opened.add(name)
                below += lists[name]
        level = below
    return Expanded(tuple(extensions), tuple(unknown), tuple(remote))


def plan(expanded: Expanded, found: Mapping[str, UUID | None]) -> Plan:
    """`found` is whose mailbox each extension leads to."""
    known = dict.fromkeys(box for each in expanded.extensions if (box := found.get(each)))
    gone = [each for each in expanded.extensions if not found.get(each)]
    return Plan(tuple(known), (*gone, *expanded.unknown), expanded.remote)
