"""Runs the model of the role protocol (roles.pml says what it assumes and checks) through spin.

By hand, with more trouble than the check has time for (3 takes a minute and 1.5 GB):
`python -m tests.model.spin 3`. What is found is printed as a story.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.model.spin import Model
from tests.model.table import FIELDS, MUTANTS, Run
from voicemail.cluster.roles import RULES, Rule, Status, View

WHOLE = (
    Run(trouble=2),
    Run(trouble=1, cold=True),
    Run(trouble=1, cold=True, automatic=False),
    Run(trouble=2, automatic=False),
    Run(trouble=2, watched=True),
)
CALM = Run(trouble=1)
S = Status
FOUND_OTHERWISE = {
    (S.STARTING, "its services are starting"): Run(1, cold=True),
    (S.REPLICATING_DATA, "the other node is being looked for again"): Run(1, cold=True),
    (S.SPLIT_BRAIN_RECOVERY, "the other node is being looked for again"): Run(1, cold=True),
    (S.PRIMARY, "the other node does not get ready"): Run(1, cold=True),
    (S.SECONDARY, "automatic change is switched off"): Run(1, automatic=False),
    (S.PRIMARY, "the other node is silent"): Run(2),
    (S.PRIMARY, "the other node is out of service"): Run(2),
}
"""Rules whose loss shows only in runs other than CALM."""
NOT_SEEN = {
    (
        S.STARTING,
        "calls can be answered here again",
    ): "without it the node goes straight where it goes in the end",
    (S.PRIMARY, "no other node had joined"): "there are two nodes here",
    (
        S.PRIMARY,
        "the stores are merged and it is the publisher",
    ): "another rule decides the same for less reason",
    (S.REPLICATING_DATA, "it is receiving what it missed"): "it would be Secondary, which serves no less",
    (
        S.SECONDARY,
        "the other node is taking over",
    ): "the publisher would take the work back, and all would settle",
}
"""Rules whose loss the model cannot see, and why. The unit tests and the simulation see them."""
NEVER_DECIDES = {(S.PRIMARY, "no other node had joined")}


def key(rule: Rule) -> tuple[Status, str]:
    return rule.become, rule.because


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("model"))


def test_the_model_knows_every_field_of_a_view() -> None:
    assert View._fields == FIELDS


def test_each_rule_that_is_named_here_is_in_the_table() -> None:
    assert {*FOUND_OTHERWISE, *NOT_SEEN, *NEVER_DECIDES} <= set(map(key, RULES))


def test_the_protocol_holds_whatever_befalls_the_nodes(model: Model) -> None:
    ends = [model.run(run) for run in WHOLE]
    assert [end.error for end in ends] == [""] * len(WHOLE), "\n".join(end.story for end in ends)
    print("states:", *(f"{end.states:,}" for end in ends))
    assert all(end.states > 10_000 for end in ends)
    assert set.intersection(*(end.unreached for end in ends)) == set(), "part of the model is never used"
    decided = set.union(*(end.decided for end in ends))
    idle = {key(rule) for number, rule in enumerate(RULES) if number not in decided}
    assert idle == NEVER_DECIDES


@pytest.mark.parametrize("mutant", MUTANTS[1:])
def test_it_does_not_hold_without(model: Model, mutant: str) -> None:
    """What surrounds the table: leases, fence, epochs, listening anew."""
    assert model.run(replace(CALM, watched=mutant != "OLD_EPOCH", mutant=mutant)).error


SEEN = [rule for rule in RULES[:-1] if key(rule) not in NOT_SEEN]


@pytest.mark.parametrize("left_out", SEEN, ids=lambda rule: f"{rule.become}-{rule.because}")
def test_it_does_not_hold_without_the_rule(model: Model, left_out: Rule) -> None:
    rest = tuple(rule for rule in RULES if rule is not left_out)
    assert model.run(replace(FOUND_OTHERWISE.get(key(left_out), CALM), rules=rest)).error


def test_a_search_that_is_cut_short_counts_as_an_error(model: Model) -> None:
    assert model.run(CALM, depth=100).error.startswith("max search depth")
    assert not list(Path().glob("pan*")), "the model's files lie in a folder of their own"
