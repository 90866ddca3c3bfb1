"""What a CSV file of users would do, before anything is done."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from voicemail.errors import VoicemailError
from voicemail.policy import people, pin_rules
from voicemail.policy.house import House
from voicemail.policy.model import ClassOfService, PinRules, UserOptions
from voicemail.policy.people import Known, Person
from voicemail.policy.text import KEYS

PIN, REASON = "pin", "reason"
ALLOWED = frozenset((*people.COLUMNS, PIN, REASON, *(f"keys.{key}" for key in KEYS)))
"""`reason` is not read: a file of wrong lines can be put right and read again."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file: its number, and its cells as they stand there."""

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A user who is made (no `before`) or changed. `pin` is the one in the file; "" for a random one."""

    line: Line
    before: Person | None
    after: Person
    pin: str = ""


@dataclass(frozen=True, slots=True)
class Wrong:
    line: Line
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Every line of the file is in one of the four."""

    adds: tuple[Change, ...]
    changes: tuple[Change, ...]
    unchanged: tuple[Line, ...]
    wrong: tuple[Wrong, ...]
    pins_not_read: int = 0
    """PINs of users who are there already."""


def check_head(head: Sequence[str]) -> None:
    """Raises VoicemailError for a header row that cannot be used."""
    if "extension" not in head:
        raise VoicemailError("line 1: the header row has no column extension")
    for name in head:
        if name not in ALLOWED:
            raise VoicemailError(
                f"line 1: column {name!r}: there is no such; known: {', '.join(people.COLUMNS)}, pin"
            )
        if list(head).count(name) > 1:
            raise VoicemailError(f"line 1: column {name!r} is there twice")


def plan(house: House, known: Known, head: Sequence[str], lines: Iterable[Line]) -> Plan:
    """Compare the lines with what there is. `head` has passed `check_head`."""
    planner = _Planner(house, known, head)
    read = [planner.read(line) for line in lines]
    changed = [each for each in read if isinstance(each, Change)]
    return Plan(
        tuple(each for each in changed if each.before is None),
        tuple(each for each in changed if each.before is not None),
        tuple(each for each in read if isinstance(each, Line)),
        tuple(each for each in read if isinstance(each, Wrong)),
        planner.pins_not_read,
    )


class _Planner:
    """Knows what earlier lines took: a number can be had once."""

    def __init__(self, house: House, known: Known, head: Sequence[str]) -> None:
        self._house, self._known, self._head = house, known, head
        self._present = people.people(house)
        self._taken: dict[str, int] = {}
        self.pins_not_read = 0

    def read(self, line: Line) -> Change | Line | Wrong:
        if len(line.cells) != len(self._head):
            return Wrong(line, f"{len(line.cells)} cells, but {len(self._head)} columns")
        cells = dict(zip(self._head, map(str.strip, line.cells), strict=True))
        try:
            return self._change(line, cells)
        except VoicemailError as error:
            return Wrong(line, str(error))

    def _change(self, line: Line, cells: Mapping[str, str]) -> Change | Line:
        extension = cells["extension"]
        before = self._present.get(extension)
        settable = {key: text for key, text in cells.items() if key not in (PIN, REASON)}
        after = people.edited(before or people.new(extension), settable)
        for why in self._mistakes(line, before, after, cells.get(PIN, "")):
            raise VoicemailError(why)
        self._taken |= dict.fromkeys((extension, *after.alternates, *after.own), line.number)
        self.pins_not_read += bool(before and cells.get(PIN))
        if before and not people.differences(before, after):
            return line
        return Change(line, before, after, "" if before else cells.get(PIN, ""))

    def _mistakes(self, line: Line, before: Person | None, after: Person, pin: str) -> Iterator[str]:
        for number in (after.user.extension, *after.alternates, *after.own):
            if number in self._taken:
                yield f"{number} stands in line {self._taken[number]} already"
        yield from people.why_not(self._house, self._known, before, after)
        if (
            pin
            and not before
            and (why := pin_rules.why_refused(pin, after.user.extension, self._rules(after.options)))
        ):
            yield f"pin: refused: {why}"

    def _rules(self, options: UserOptions) -> PinRules:
        return rules_of(self._house, options)


def rules_of(house: House, options: UserOptions) -> PinRules:
    """The PIN rules of a user's class of service."""
    classes, rules = house.all(ClassOfService), house.all(PinRules)
    cos = classes.get(options.cos) or classes["default"]
    return rules.get(cos.pin_rules) or rules["default"]
