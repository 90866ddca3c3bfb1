"""The table of roles for the model: every view of roles.pml, and what `decide` makes of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

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
    automatic: bool = True

    def table(self) -> bytes:
        """table.bin: settings, what each view becomes, and the number in RULES of the rule that says so."""
        decided = [next(rule for rule in self.rules if rule.when(view)) for view in views(self.automatic)]
        becomes = bytes(STATUSES.index(rule.become) for rule in decided)
        numbers = {(rule.become, rule.because): number for number, rule in enumerate(RULES)}
        settings = bytes((self.trouble, self.cold, self.watched, MUTANTS.index(self.mutant)))
        return settings + becomes + bytes(numbers[rule.become, rule.because] for rule in decided)
