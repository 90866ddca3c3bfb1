"""How many policies there may be."""

import pytest

from voicemail.policy import limits
from voicemail.policy.base import Policy
from voicemail.policy.builtin import BUILT_IN
from voicemail.policy.house import House
from voicemail.policy.limits import MOST, MOST_MEMBERS, why_too_many
from voicemail.policy.model import Action, Go, Members, RestrictionTable, RoutingRule, Table
from voicemail.policy.references import mistakes

RULE = RoutingRule(table=Table.DIRECT, action=Action(go=Go.HANG_UP))


def house(kind: type[Policy], policy: Policy, many: int) -> House:
    return House(policies={kind.KIND: {f"x{number}": policy for number in range(many)}})


@pytest.mark.parametrize(("kind", "policy"), [(RoutingRule, RULE), (RestrictionTable, RestrictionTable())])
def test_one_too_many_is_refused_and_one_that_is_there_may_be_changed(
    kind: type[Policy], policy: Policy
) -> None:
    room = MOST[kind] - len(BUILT_IN[kind])
    assert mistakes(house(kind, policy, room - 1), "new", policy) == []
    full = house(kind, policy, room)
    assert mistakes(full, "new", policy) == [f"there are {MOST[kind]} already, and there may not be more"]
    assert mistakes(full, "x1", policy) == []


def test_a_list_has_so_many_members_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_MEMBERS", 2)
    assert MOST_MEMBERS == 25_000
    assert why_too_many(House(), "all", Members(members=("1", "2"))) == ""
    assert why_too_many(House(), "all", Members(members=("1", "2", "3"))) == "members: 3 are more than 2"
