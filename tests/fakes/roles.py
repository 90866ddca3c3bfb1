"""Two nodes that follow a table of rules, without network, processes or time: a model to walk through."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from voicemail.cluster.roles import RULES, Rule, Status, View, has_duties

S = Status
Pair = tuple[Status, Status]
"""Of the publisher and of the other node."""
TURNS = ("together", "publisher first", "other first", "delayed")


def first(rules: Sequence[Rule], view: View) -> Rule:
    """What `decide` does, for any table."""
    return next(rule for rule in rules if rule.when(view))


@dataclass(frozen=True, slots=True)
class Conditions:
    """What holds around the two nodes for the whole walk; pairs are (publisher, other)."""

    linked: bool = True
    merged: bool = True
    duties_work: tuple[bool, bool] = (True, True)
    calls_work: tuple[bool, bool] = (True, True)
    automatic: bool = True


@dataclass(frozen=True, slots=True)
class Model:
    """Both nodes' statuses, and those before, which a delayed keep-alive still tells."""

    now: Pair
    heard: Pair
    around: Conditions = Conditions()
    rules: Sequence[Rule] = RULES

    def view(self, who: int, peer: Status) -> View:
        around = self.around
        return View(
            me=self.now[who],
            peer=peer if around.linked else None,
            publisher=who == 0,
            ready=around.calls_work[who],
            calls_work=around.calls_work[who],
            duties_work=around.duties_work[who],
            peer_duties_work=around.duties_work[1 - who] and around.linked,
            merged=around.merged and around.linked,
            automatic=around.automatic,
        )

    def moved(self, who: int, peer: Status) -> "Model":
        """After this node's decision."""
        become = first(self.rules, self.view(who, peer)).become
        return replace(self, now=(become, self.now[1]) if who == 0 else (self.now[0], become))

    def step(self, turns: str) -> "Model":
        """Each node decides once."""
        if turns == "publisher first":
            after = self.moved(0, self.now[1])
            return after.moved(1, after.now[0])
        if turns == "other first":
            after = self.moved(1, self.now[0])
            return after.moved(0, after.now[1])
        told = self.heard if turns == "delayed" else self.now
        after = replace(self, now=(self.moved(0, told[1]).now[0], self.moved(1, told[0]).now[1]))
        return replace(after, heard=self.now)

    def walk(self, turns: str, steps: int) -> "list[Model]":
        """So many steps, the start included."""
        walked = [self]
        for _ in range(steps):
            walked.append(walked[-1].step(turns))
        return walked

    @property
    def on_duty(self) -> int:
        return sum(has_duties(status, who == 0) for who, status in enumerate(self.now))


def model(start: Pair, around: Conditions, rules: Sequence[Rule]) -> Model:
    return Model(start, start, around, rules)
