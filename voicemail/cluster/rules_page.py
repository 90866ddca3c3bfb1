"""The two tables of roles.py for people: rows for `voicemail cluster rules`, and docs/roles.md.

    python -m voicemail.cluster.rules_page > docs/roles.md

What a rule is reached from is found by trying every view there can be.
"""

import itertools
import sys
from collections.abc import Iterator
from functools import cache

from voicemail.cluster.roles import IDLE, RULES, SERVICES, Rule, Status, View, decide

S = Status
LEFT = ((0, 0, 0), (0, 1, 0), (0, 1, 1))
MEMORIES = {
    S.NOT_FUNCTIONING: LEFT,
    S.STARTING: LEFT,
    S.REPLICATING_DATA: ((0, 0, 0), (1, 0, 0)),
    S.SECONDARY: ((1, 0, 0), (1, 1, 0), *LEFT),
}
"""(wanted, gave, just_gave): what the manager remembers in which status."""

INTRODUCTION = """\
# Server status

Made from `voicemail/cluster/roles.py` by `python -m voicemail.cluster.rules_page`; a test holds them equal.

## Rules

Ten times a second each server looks at itself and at what the other one says. The first rule that holds gives
its status and the reason that is logged and shown by `voicemail cluster status`. "From" names the statuses in
which the rule can decide; most rules only keep what is.
"""
CHANGES = """
## Changes

The numbers are those of the rules. Besides, an operator deactivates a Secondary, and activates a Deactivated
server, which then is Starting.
"""
RUNS = """
## Services

What runs in which status. "duties" is the Primary's work: message waiting, mail. In Split Brain Recovery the
publisher does it. The edge always runs: where no calls are taken, it refuses them with 503 and Retry-After.
"""


def every_view() -> Iterator[View]:
    """All that a node can see: a peer that is not heard works at nothing and wants nothing."""
    for me in S:
        for memory in MEMORIES.get(me, ((0, 0, 0),)):
            for flags in itertools.product((True, False), repeat=6):
                yield from _seen(me, flags, tuple(map(bool, memory)))


def _seen(me: Status, flags: tuple[bool, ...], memory: tuple[bool, ...]) -> Iterator[View]:
    publisher, ready, calls, duties, merged, automatic = flags
    wanted, gave, just_gave = memory

    def view(
        peer: Status | None, alone: bool = False, works: bool = False, sought: bool = True,
        peer_wanted: bool = False, late: bool = False,
    ) -> View:  # fmt: skip
        return View(
            me, peer, publisher, alone, ready, calls, duties, works, sought, merged, automatic,
            wanted, peer_wanted, gave, just_gave, late,
        )  # fmt: skip

    yield view(None, alone=True)
    yield view(None)
    for peer in (None, *S):
        yield view(peer, sought=False)
    for peer, works, peer_wanted in itertools.product(S, (True, False), (True, False)):
        if not peer_wanted or peer in IDLE:
            yield view(peer, works=works, peer_wanted=peer_wanted)
    yield from (view(S.STARTING, works=works, late=True) for works in (True, False))


@cache
def decisions() -> tuple[tuple[View, Rule], ...]:
    """Every view and the rule that decides it."""
    return tuple((view, decide(view)) for view in every_view())


def rule_rows() -> list[dict[str, str]]:
    """The table of rules, in order."""
    reached: dict[Rule, set[Status]] = {rule: set() for rule in RULES}
    for view, rule in decisions():
        reached[rule].add(view.me)
    return [
        {
            "Rule": str(number),
            "From": _names(reached[rule]),
            "Becomes": rule.become.value,
            "Because": rule.because,
        }
        for number, rule in enumerate(RULES, 1)
    ]


def service_rows() -> list[dict[str, str]]:
    """The table of services: a column for each status."""
    return [
        {"Service": name, **{status.value: "yes" if status in where else "" for status in S}}
        for name, where in SERVICES.items()
    ]


def diagram() -> str:
    """The changes of status that the rules make, in Mermaid."""
    arrows: dict[tuple[Status, Status], set[int]] = {}
    for view, rule in decisions():
        if rule.become is not view.me:
            arrows.setdefault((view.me, rule.become), set()).add(RULES.index(rule) + 1)
    ordered = sorted(arrows.items(), key=lambda arrow: [list(S).index(status) for status in arrow[0]])
    lines = [f"  {_id(a)} --> {_id(b)}: {', '.join(map(str, sorted(by)))}" for (a, b), by in ordered]
    names = [f'  state "{status}" as {_id(status)}' for status in S if " " in status]
    return "\n".join(["```mermaid", "stateDiagram-v2", "  [*] --> Starting", *names, *lines, "```"])


def page() -> str:
    """docs/roles.md."""
    parts = (INTRODUCTION, _table(rule_rows()), CHANGES, diagram(), RUNS, _table(service_rows()))
    return "\n".join(parts) + "\n"


def _names(statuses: set[Status]) -> str:
    return "any" if statuses == set(S) else ", ".join(status for status in S if status in statuses)


def _id(status: Status) -> str:
    return status.replace(" ", "")


def _table(rows: list[dict[str, str]]) -> str:
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
