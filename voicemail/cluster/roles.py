"""Who does what: the Server Role Manager's decision, as a table.

A `View` is all that a decision may look at. The manager builds a new one at every tick from what
this node knows: its own status and health, and the last keep-alive of the peer. `decide` takes the
first rule that holds. It keeps nothing, so the same view always gives the same answer, on both nodes.

The statuses and words are Unity Connection's. Unlike there, Replicating Data and Split Brain
Recovery refuse no call. What does not fit in the table: how long a silence must last before the
peer counts as silent (`hearing.py`), what an operator may order (`manager.py`), and that a Primary's
duties stop by themselves when their lease is not renewed (`primary/lease.py`), so a node that was
frozen does no harm before it decides.

A hand-over, wished by an operator or forced by a failure, is one-sided: the Primary becomes Secondary
first, and the other becomes Primary when it hears of that. In between the one that gave remembers it
(`gave`), so that it neither takes the work back at once nor leaves the cluster without a Primary when
the other vanishes at that very moment.

`SERVICES` says what runs in which status. docs/roles.md is made from both tables.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    PRIMARY = "Primary"
    SECONDARY = "Secondary"
    DEACTIVATED = "Deactivated"
    NOT_FUNCTIONING = "Not Functioning"
    STARTING = "Starting"
    REPLICATING_DATA = "Replicating Data"
    SPLIT_BRAIN_RECOVERY = "Split Brain Recovery"


S = Status


class View(NamedTuple):
    """All that a decision may look at."""

    me: Status
    peer: Status | None
    """None: no keep-alive from the other node within the limit."""
    publisher: bool
    """This node is the publisher, which wins ties."""
    alone: bool = False
    """No other node has joined the cluster."""
    ready: bool = True
    """Calls can be answered here: edge and workers are up."""
    calls_work: bool = True
    """False once edge or workers have failed for longer than a restart takes."""
    duties_work: bool = True
    """The services that a Primary needs (database, notifier) are up."""
    peer_duties_work: bool = True
    sought: bool = True
    """The peer was listened for long enough to know how it is, or to call its absence silence."""
    merged: bool = True
    """Both stores hold what either took alone."""
    automatic: bool = True
    """Server status may change without an operator."""
    wanted: bool = False
    """An operator asked for this node to be Primary, seconds ago."""
    peer_wanted: bool = False
    """An operator asked for the other node to be Primary, seconds ago."""
    gave: bool = False
    """This node left the Primary's work to the other, which has not been Primary since."""
    just_gave: bool = False
    """That was so short a time ago that the other may be taking it now."""
    peer_late: bool = False
    """The other node has been starting for longer than a start takes."""


class Rule(NamedTuple):
    become: Status
    because: str
    when: Callable[[View], bool]


SERVING = frozenset({S.PRIMARY, S.SECONDARY, S.REPLICATING_DATA, S.SPLIT_BRAIN_RECOVERY})
OUT_OF_SERVICE = frozenset({S.NOT_FUNCTIONING, S.DEACTIVATED})
IDLE = frozenset({S.SECONDARY, S.REPLICATING_DATA})
"""In service, without the Primary's work."""


def _degraded(v: View) -> bool:
    able = not v.duties_work and v.peer_duties_work and v.peer in SERVING
    return able and (v.automatic or v.me is not S.PRIMARY)


def _recovers(v: View) -> bool:
    """It waits for the merge, and so does a peer that can do the Primary's work meanwhile."""
    return v.me is S.SPLIT_BRAIN_RECOVERY and v.peer in SERVING and (v.publisher or v.peer_duties_work)


def _yields(v: View) -> bool:
    """Not to a publisher that cannot do the Primary's work, if this node can: it is about to step down."""
    return not v.publisher and (v.peer_duties_work or not v.duties_work)


def _seen_through(v: View) -> bool:
    """The other node has heard of the recovery; a publisher that is Primary before would start it anew."""
    return not (v.publisher and v.peer is S.PRIMARY)


def _held(v: View) -> bool:
    """A node without duties takes none by itself, unless nobody is relieved of them: of two Secondaries,
    and after a hand-over that the other did not live to take."""
    idle = v.me in IDLE or (v.me is S.SPLIT_BRAIN_RECOVERY and not v.publisher)
    return not v.automatic and idle and v.peer is not S.SECONDARY and not v.gave


def _hands_over(v: View) -> bool:
    """To a peer that can do the work. Should both be wanted, the publisher comes first."""
    asked = v.peer_wanted and v.peer in IDLE and v.peer_duties_work
    return asked and v.me is not S.SPLIT_BRAIN_RECOVERY and not (v.wanted and v.publisher)


def _ordered(v: View) -> bool:
    """By an operator, and the other node has no duties (any more)."""
    free = v.peer is None or v.peer in IDLE | OUT_OF_SERVICE or v.peer is S.STARTING
    return v.wanted and v.duties_work and v.me in IDLE and free


def _looked_for_again(status: Status) -> Rule:
    """This process was frozen: what it heard before is no reason to change."""
    return Rule(
        status,
        "the other node is being looked for again",
        lambda v: v.me is status and v.peer is None and not v.sought,
    )


RULES = (  # the first whose `when` holds decides
    Rule(S.DEACTIVATED, "an operator deactivated it", lambda v: v.me is S.DEACTIVATED),
    Rule(S.NOT_FUNCTIONING, "no call can be answered here", lambda v: not v.calls_work),
    Rule(S.STARTING, "calls can be answered here again", lambda v: v.me is S.NOT_FUNCTIONING),
    Rule(
        S.STARTING,
        "its services are starting",
        lambda v: v.me is S.STARTING and not v.ready,
    ),
    Rule(S.PRIMARY, "no other node has joined", lambda v: v.alone),
    Rule(
        S.STARTING,
        "the other node is being looked for",
        lambda v: v.me is S.STARTING and not v.sought and v.peer is not S.PRIMARY,
    ),
    Rule(S.SECONDARY, "a service that the Primary needs is down here", _degraded),
    Rule(
        S.SPLIT_BRAIN_RECOVERY,
        "both have been Primary",
        lambda v: v.me is S.PRIMARY and v.peer is S.PRIMARY,
    ),
    Rule(
        S.SPLIT_BRAIN_RECOVERY,
        "the publisher found that both have been Primary",
        lambda v: v.me is S.PRIMARY and v.peer is S.SPLIT_BRAIN_RECOVERY and _yields(v),
    ),
    Rule(
        S.SPLIT_BRAIN_RECOVERY,
        "the two stores are not merged yet",
        lambda v: _recovers(v) and not (v.merged and _seen_through(v)),
    ),
    Rule(
        S.PRIMARY,
        "the stores are merged and it is the publisher",
        lambda v: _recovers(v) and v.publisher,
    ),
    Rule(
        S.REPLICATING_DATA,
        "it is receiving what it missed",
        lambda v: v.me in (S.STARTING, S.REPLICATING_DATA) and v.peer is S.PRIMARY and not v.merged,
    ),
    Rule(S.SECONDARY, "an operator made the other node Primary", _hands_over),
    Rule(S.PRIMARY, "it is Primary already", lambda v: v.me is S.PRIMARY),
    _looked_for_again(S.SECONDARY),
    _looked_for_again(S.REPLICATING_DATA),
    _looked_for_again(S.SPLIT_BRAIN_RECOVERY),
    Rule(S.PRIMARY, "an operator made it Primary", _ordered),
    Rule(S.SECONDARY, "automatic change is switched off", _held),
    Rule(S.PRIMARY, "the other node is silent", lambda v: v.peer is None),
    Rule(S.PRIMARY, "the other node is out of service", lambda v: v.peer in OUT_OF_SERVICE),
    Rule(S.SECONDARY, "the other node is Primary", lambda v: v.peer is S.PRIMARY),
    Rule(
        S.SECONDARY,
        "the other node is taking over",
        lambda v: v.just_gave and v.me in (S.SECONDARY, S.STARTING),
    ),
    Rule(
        S.PRIMARY,
        "the other node does not get ready",
        lambda v: v.peer is S.STARTING and v.peer_late,
    ),
    Rule(
        S.PRIMARY,
        "the other node cannot do the Primary's work",
        lambda v: v.duties_work and not v.peer_duties_work,
    ),
    Rule(S.PRIMARY, "no node is Primary and it is the publisher", lambda v: v.publisher),
    Rule(S.SECONDARY, "the publisher comes first", lambda v: True),
)


def decide(view: View) -> Rule:
    """The rule for this view: the status to take and the reason to log."""
    return next(rule for rule in RULES if rule.when(view))


EVERY = frozenset(Status)
WORKING = EVERY - {S.DEACTIVATED}
SERVICES: dict[str, frozenset[Status]] = {
    "database": EVERY,
    "role manager": EVERY,
    "metrics": EVERY,
    "edge": EVERY,
    "workers": WORKING,
    "presence": WORKING,
    "primary": WORKING,
    "smtp": WORKING,
    "calls": SERVING | {S.STARTING},
    "duties": frozenset({S.PRIMARY, S.SPLIT_BRAIN_RECOVERY}),
}
"""Which service runs in which status. Programs by their names: a node whose calls do not work keeps
trying them, and the edge runs always, to refuse where no calls are taken. "calls": new ones are taken;
a starting node takes them as soon as a worker is up, the edge sees to that. "primary" is the process,
warm everywhere; "duties" its work, in Split Brain Recovery on the publisher only (`has_duties`). "smtp" takes
mails, where the configuration wants it; no status depends on it."""


def runs(service: str, status: Status) -> bool:
    """Whether this service of SERVICES runs in that status."""
    return status in SERVICES[service]


def has_duties(status: Status, publisher: bool) -> bool:
    """Whether a node in this status does the Primary's work."""
    return runs("duties", status) and (status is S.PRIMARY or publisher)


def answers_calls(status: Status) -> bool:
    return runs("calls", status)


def next_epoch(seen: int, number: int) -> int:
    """The next epoch above `seen` for node `number` (1 or 2): odd ones are node 1's, even ones
    node 2's, so no two nodes ever take the same."""
    epoch = seen + 1
    return epoch if epoch % 2 == number % 2 else epoch + 1
