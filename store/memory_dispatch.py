"""Dispatch messages in memory: the same interface as on PostgreSQL, passing the same tests."""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from store.dispatch import DISPATCH, Dispatch, holders, order, outcome
from store.errors import NotFound, NotYet
from store.features import Feature
from store.memory_state import State
from store.model import Answer, Answered, Mark, Message, Outcome, Setting, Work


class MemoryDispatches:
    def __init__(self, state: State) -> None:
        self._state = state

    async def answer(self, message_id: UUID, answer: Answer) -> Outcome:
        state = self._state
        state.check()
        found = state.messages.get(message_id)
        if not found or not found[0].envelope.dispatch or _purged(state, message_id):
            raise NotFound(f"no dispatch message {message_id}")
        message, group = found[0], found[0].envelope.dispatch
        copies = copies_of(state, group)
        boxes, given = [each.mailbox_id for each in copies], answers_of(state, group)
        if (done := outcome(answer, message.mailbox_id, boxes, given)) is not Outcome.KEPT:
            return done
        if state.schema < Feature.DISPATCH:
            raise NotYet("the other node's release knows no dispatch messages yet")
        body = json.dumps({"answer": answer.value, "message": str(message_id)})
        state.put(Setting(DISPATCH, str(message.mailbox_id), body, group))
        for each in copies:
            state.add_work(Work.LAMP, each.mailbox_id, each.id)
        state.tell("setting", "outbox", "message_event")
        return done

    async def all(self) -> Sequence[Dispatch]:
        self._state.check()
        groups = sorted({each.owner for each in self._rows() if each.owner})
        return [
            Dispatch(
                group,
                tuple(sorted(each.mailbox_id for each in copies_of(self._state, group))),
                tuple(sorted(answers_of(self._state, group), key=order)),
            )
            for group in groups
        ]

    async def stamp(self) -> object:
        self._state.check()
        return tuple(self._state.stamps[each.id] for each in self._rows())

    async def left_over(self, before: datetime, limit: int = 1000) -> Sequence[UUID]:
        self._state.check()
        old = int(before.timestamp() * 1_000_000)
        groups = {each.owner for each in self._rows() if self._state.stamps[each.id] < old}
        kept = (message for message, _ in self._state.messages.values())
        there = (m for m in kept if m.envelope.dispatch in groups and not _purged(self._state, m.id))
        return sorted(m.id for m in there if not held(self._state, m))[:limit]

    async def forget(self, dispatch: Dispatch) -> None:
        self._state.check()
        for each in self._rows():
            if each.owner == dispatch.id:
                del self._state.settings[each.id]
        self._state.tell("setting")

    def _rows(self) -> list[Setting]:
        return [each for each in self._state.settings.values() if each.kind == DISPATCH]


def answers_of(state: State, group: UUID) -> list[Answered]:
    return [
        Answered(
            UUID(each.name), Answer(said["answer"]), UUID(said["message"]), state.stamps[each.id], state.node
        )
        for each in state.settings.values()
        if each.kind == DISPATCH and each.owner == group and (said := json.loads(each.body))
    ]


def copies_of(state: State, group: UUID) -> list[Message]:
    """Those of living users, not purged."""
    found = (message for message, _ in state.messages.values() if message.envelope.dispatch == group)
    return [each for each in found if each.mailbox_id in state.users and not _purged(state, each.id)]


def held(state: State, message: Message) -> bool:
    """Whether the mailbox has it, when it is a dispatch message."""
    group = message.envelope.dispatch
    if group is None:
        return True
    answers, boxes = answers_of(state, group), [each.mailbox_id for each in copies_of(state, group)]
    return message.mailbox_id in holders({*boxes, message.mailbox_id}, answers) if answers else True


def accepted(state: State, message: Message) -> bool:
    group = message.envelope.dispatch
    return group is not None and any(each.answer is Answer.ACCEPT for each in answers_of(state, group))


def _purged(state: State, message_id: UUID) -> bool:
    return Mark.PURGE in state.marks.get(message_id, ())
