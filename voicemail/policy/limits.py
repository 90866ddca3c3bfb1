"""How many there may be of what administrators make (functions.md sections 8 and 9)."""

from collections.abc import Mapping

from voicemail.policy.base import Policy
from voicemail.policy.house import House
from voicemail.policy.locations import Contact, Location
from voicemail.policy.model import CallHandler, Members, RestrictionTable, RoutingRule

MOST: Mapping[type[Policy], int] = {
    CallHandler: 40_000,
    RoutingRule: 1_200,
    RestrictionTable: 100,
    Members: 100_000,
    Location: 100,
    Contact: 150_000,
}
"""Supplied ones count."""
MOST_MEMBERS = 25_000
"""Of a list."""


def why_too_many(house: House, name: str, policy: Policy) -> str:
    """Why a policy cannot be set under this name: a new one would be one too many, or a list is too long; ""
    when it can."""
    if isinstance(policy, Members) and len(policy.members) > MOST_MEMBERS:
        return f"members: {len(policy.members)} are more than {MOST_MEMBERS}"
    most = MOST.get(type(policy))
    there = house.all(type(policy)) if most else {}
    if most is None or name in there or len(there) < most:
        return ""
    return f"there are {most} already, and there may not be more"
