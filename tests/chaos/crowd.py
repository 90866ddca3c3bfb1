"""Callers who leave messages all the time, at either edge in turn, and what they had to wait for."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.acceptance.callers import Attempt, Callers, Outcome, Phone
from tests.fakes.sip import Where


@dataclass
class Caller:
    """One person: an attempt at one edge and, unless answered, one at the other. Times are monotonic."""

    attempts: list[tuple[int, Outcome]] = field(default_factory=list)
    """With the node (1 or 2) whose edge was tried."""

    @property
    def began(self) -> float:
        return self.attempts[0][1].began

    @property
    def waited(self) -> float | None:
        """Seconds from the first INVITE to an answer at either edge; None: nobody answered."""
        last = self.attempts[-1][1]
        return last.began + last.answered - self.began if last.answered else None


class Crowd(Callers):
    """`async with asyncio.TaskGroup` is the caller's: `stream` runs until `closing` is set."""

    def __init__(self, edges: tuple[Where, Where], mailboxes: tuple[str, ...], host: str) -> None:
        super().__init__(edges, mailboxes, host)
        self.people: list[Caller] = []
        self.closing = asyncio.Event()

    async def stream(self, per_second: float) -> None:
        """A new caller every 1/`per_second` s; returns when the last has hung up."""
        began, tasks = time.monotonic(), []
        for index in itertools.count():
            tasks.append(asyncio.create_task(self.one(index)))
            try:
                async with asyncio.timeout(max(0.0, began + (index + 1) / per_second - time.monotonic())):
                    await self.closing.wait()
                break
            except TimeoutError:
                continue
        await asyncio.gather(*tasks)

    async def one(self, index: int) -> None:
        mailbox, caller = self.mailboxes[index % len(self.mailboxes)], Caller()
        self.people.append(caller)
        first = index // len(self.mailboxes) + index
        for node in (1 + first % 2, 2 - first % 2):
            number = str(next(self.numbers))
            outcome = Outcome(number, "refused", "in progress", began=time.monotonic())
            self.outcomes.append(outcome)
            caller.attempts.append((node, outcome))
            async with await Phone.open(self.host, user=number) as phone:
                outcome.why = ""
                await Attempt(phone, self.edges[node - 1], mailbox, outcome).run(self.speech)
            if outcome.end != "refused":
                break

    # ---- figures

    def between(self, start: float, end: float) -> list[Caller]:
        return [caller for caller in self.people if caller.attempts and start <= caller.began < end]

    def attempts(self, node: int, start: float, end: float) -> list[Outcome]:
        """In order, at this node's edge."""
        found = [o for c in self.people for n, o in c.attempts if n == node and start <= o.began < end]
        return sorted(found, key=lambda outcome: outcome.began)


def longest_gap(attempts: Iterable[Outcome], end: float) -> float:
    """Seconds during which callers tried and none was answered: from the first refused or unanswered
    INVITE to the next answer; 0 when every one was answered."""
    longest, since = 0.0, None
    for outcome in attempts:
        if outcome.answered:
            if since is not None:
                longest = max(longest, outcome.began + outcome.answered - since)
            since = None
        elif since is None:
            since = outcome.began
    return max(longest, end - since) if since is not None else longest


def longest_wait(callers: Iterable[Caller]) -> float:
    """Of those who were answered at either edge."""
    return max((caller.waited for caller in callers if caller.waited is not None), default=0.0)


def unanswered(callers: Iterable[Caller]) -> list[Caller]:
    """Whom neither edge answered."""
    return [caller for caller in callers if caller.waited is None and len(caller.attempts) == 2]


def whys(callers: Iterable[Caller]) -> Counter[str]:
    """How attempts ended that were not answered."""
    return Counter(o.why for caller in callers for _, o in caller.attempts if not o.answered)
