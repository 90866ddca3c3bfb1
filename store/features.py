"""Which new things may be written, pure: a row that the other node's release cannot take would stop
replication, so each waits until both nodes have the schema it came with (docs/decisions/0007).

The agreed version is kept in the node's database and never goes back; a peer that is away has what it was
last heard to have. The database checks it once more in the transaction that writes.
"""

from collections.abc import Iterable
from enum import IntEnum

SCHEMA = 5
"""The version that this release's migrations make."""


class Feature(IntEnum):
    """The version of the schema with which each came."""

    ALARM_MAIL = 2
    """Outbox rows of kind "alarm", with a payload."""
    ENVELOPES = 3
    """Envelopes of messages, messages in many mailboxes, purging."""
    SETTINGS = 4
    """Rows of `setting`: both nodes receive each other's."""
    DISPATCH = 5
    """Answers to dispatch messages, which decide who has them."""


def agreed(mine: int, peers: Iterable[int]) -> int:
    """The newest version that all nodes have. `mine` is of this node's database, `peers` what the others
    said last; none for a node that is alone."""
    return min((mine, *peers))


def allowed(feature: Feature, mine: int, peers: Iterable[int]) -> bool:
    """Whether `feature` may be used: no node is known to be older."""
    return agreed(mine, peers) >= feature
