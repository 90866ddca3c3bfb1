"""Where a user's or handler's calls may be put through to: what is wrong with those numbers when they are
set. When they are dialled, the table of restrictions is asked once more (conversation/transfer.py)."""

from collections.abc import Iterator, Mapping

from voicemail.policy.model import CallHandler, Go, RestrictionTable, UserOptions
from voicemail.policy.numbers import allowed, dialable
from voicemail.policy.transfers import FIELDS, rules_of

HANDLERS_TABLE = "default_transfer"
"""The restriction table of transfers on behalf of handlers."""


def no_numbers(owner: CallHandler | UserOptions) -> Iterator[str]:
    """What cannot be dialled at all, in words."""
    for key, number in _numbers(owner):
        if not dialable(number):
            yield f"{key}: {number!r} is no number"


def refused(
    tables: Mapping[str, RestrictionTable], table: str, owner: CallHandler | UserOptions
) -> Iterator[str]:
    """What a table refuses, in words; one that is not there refuses all."""
    rows = tables.get(table, RestrictionTable())
    for key, number in _numbers(owner):
        if dialable(number) and not allowed(rows, number):
            yield f"{key}: {number} is refused by restriction {table!r}"


def _numbers(owner: CallHandler | UserOptions) -> Iterator[tuple[str, str]]:
    """After what names each."""
    for kind, rule in rules_of(owner).items():
        if rule.number:
            yield f"{FIELDS[kind]}.number", rule.number
    for key, action in (owner.keys or {}).items():
        if action.go is Go.TRANSFER:
            yield f"keys.{key}", action.target
