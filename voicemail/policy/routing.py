"""Where a call goes: the two ordered tables of routing rules (functions.md section 2.2)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from voicemail.policy.builtin import OPENING
from voicemail.policy.model import Action, Go, RoutingRule, Table
from voicemail.policy.numbers import matches, normalised

LAST = {Table.DIRECT: "opening-greeting-direct", Table.FORWARDED: "opening-greeting-forwarded"}
"""The rule that ends each table, whatever its order and wherever it is switched off."""
_COMPARED = re.compile(r"(<=|>=|<|>)\s*([0-9]+)")
_RANGE = re.compile(r"([0-9]+)\s*-\s*([0-9]+)")


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules look at. Numbers as they came; `forwarding` is the one that the call was for first."""

    calling: str
    dialled: str
    forwarding: str = ""
    trunk: str = ""


def decide(
    rules: Mapping[str, RoutingRule],
    table: Table,
    call: Facts,
    active: Callable[[str], bool],
    after: str = "",
) -> tuple[str, Action]:
    """The first rule that holds, by name, and what it says. `active` tells whether a schedule (by name) is
    active now. `after` goes on behind a rule (NEXT_RULE). The table ends at the opening greeting, also
    behind it and behind a rule that there is no longer."""
    for name in _behind(ordered(rules, table), after):
        rule = rules[name]
        if rule.action.go is not Go.NEXT_RULE and holds(rule, call, active):
            return name, rule.action
    return LAST[table], _ending(rules, table)


def ordered(rules: Mapping[str, RoutingRule], table: Table) -> list[str]:
    """The names of a table's rules as they are tried, without the one that ends it."""
    names = [name for name, rule in rules.items() if rule.table is table and name != LAST[table]]
    return sorted(names, key=lambda name: (rules[name].order, name))


def holds(rule: RoutingRule, call: Facts, active: Callable[[str], bool]) -> bool:
    """Whether a rule is in force and every condition that it has is met."""
    conditions = (
        (rule.calling, call.calling),
        (rule.dialled, call.dialled),
        (rule.forwarding, call.forwarding),
    )
    met = all(not given or any(_is_met(each, fact) for each in given) for given, fact in conditions)
    met = met and (not rule.trunk or any(fnmatchcase(call.trunk, each) for each in rule.trunk))
    return rule.active and met and (not rule.schedule or active(rule.schedule))


def why_no_condition(condition: str) -> str:
    """What is wrong with a condition as an administrator wrote it; "" when nothing is."""
    if _COMPARED.fullmatch(condition) or _RANGE.fullmatch(condition):
        return ""
    known = re.fullmatch(r"[A-Za-z0-9*?+._@-]+", condition)
    return "" if known else "give a number with * and ?, 100-199, <100, <=100, >100 or >=100"


def _is_met(condition: str, fact: str) -> bool:
    number = normalised(fact)
    if compared := _COMPARED.fullmatch(condition):
        return number.isdigit() and _compare(compared[1], int(number), int(compared[2]))
    if bounds := _RANGE.fullmatch(condition):
        return number.isdigit() and int(bounds[1]) <= int(number) <= int(bounds[2])
    return matches(condition, fact) or matches(condition, number)


def _compare(sign: str, number: int, bound: int) -> bool:
    verdicts = {"<": number < bound, "<=": number <= bound, ">": number > bound, ">=": number >= bound}
    return verdicts[sign]


def _behind(names: list[str], after: str) -> list[str]:
    if not after:
        return names
    return names[names.index(after) + 1 :] if after in names else []


def _ending(rules: Mapping[str, RoutingRule], table: Table) -> Action:
    ending = rules.get(LAST[table])
    return ending.action if ending and ending.action.go is not Go.NEXT_RULE else _OPENING


_OPENING = Action(go=Go.HANDLER, target=OPENING)
