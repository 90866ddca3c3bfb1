"""The table of roles for the model: every view of roles.pml, and what `decide` makes of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from tests.fakes.roles import first
from voicemail.cluster.roles import RULES, Rule, Status, View

STATUSES = tuple(Status)
NO_CALLS, COMING_UP, NO_DUTIES, ALL_WORK = SERVICES = range(4)
_, GAVE, JUST_GAVE = range(3)
"""As in roles.pml."""
MUTANTS = ("WHOLE", "NO_LEASE", "NO_FENCE", "SAME_EPOCHS", "OLD_EPOCH", "NO_LISTENING_ANEW")
"""As in table.c: what the protocol beside the table may be robbed of."""
FIELDS = (
    "me", "peer", "publisher", "alone", "ready", "calls_work", "duties_work", "peer_duties_work", "sought",
    "merged", "automatic", "wanted", "peer_wanted", "gave", "just_gave", "peer_late",
)  # fmt: skip
"""Of a View. A new one must find its place in roles.pml and here first."""
BITS = (False, True)


def names() -> str:
    """The statuses, numbered: names.h of roles.pml."""
    words = [status.name for status in STATUSES] + ["NOBODY"]
    return "".join(f"#define {word} {number}\n" for number, word in enumerate(words))


def views(automatic: bool = True) -> Iterator[View]:
    """In the order in which table.c counts them."""
    for me, peer, publisher, services, peer_works, sought, merged, wanted, peer_wanted, gave, late in product(
        STATUSES, (*STATUSES, None), BITS, SERVICES, BITS, BITS, BITS, BITS, BITS, range(3), BITS
    ):
        yield View(
            me=me,
            peer=peer,
            publisher=publisher,
            ready=services >= NO_DUTIES,
            calls_work=services >= COMING_UP,
            duties_work=services == ALL_WORK,
            peer_duties_work=peer_works,
            sought=sought,
            merged=merged,
            automatic=automatic,
            wanted=wanted,
            peer_wanted=peer_wanted,
            gave=gave >= GAVE,
            just_gave=gave == JUST_GAVE,
            peer_late=late,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the model."""

    trouble: int = 1
    """How many harmful things may happen."""
    cold: bool = False
    """From the first start of both nodes, not from calm."""
    watched: bool = False
    """A duty is watched from its start until its result is kept."""
    mutant: str = "WHOLE"
    rules: Sequence[Rule] = RULES
    """RULES, or some of them."""
    automatic: bool = True

    def table(self) -> bytes:
        """table.bin: settings, what each view becomes, and the number in RULES of the rule that says so."""
        numbers = [
            number if RULES[number] in self.rules else RULES.index(first(self.rules, view))
            for view, number in zip(all_views(self.automatic), all_decided(self.automatic), strict=True)
        ]
        becomes = bytes(STATUSES.index(RULES[number].become) for number in numbers)
        settings = (self.trouble, self.cold, self.watched, MUTANTS.index(self.mutant), not self.automatic)
        return bytes(settings) + becomes + bytes(numbers)


@cache
def all_views(automatic: bool) -> list[View]:
    return list(views(automatic))


@cache
def all_decided(automatic: bool) -> list[int]:
    """By the whole table: taking rules out changes only what they decided."""
    return [RULES.index(first(RULES, view)) for view in all_views(automatic)]
