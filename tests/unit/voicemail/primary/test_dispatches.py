"""After a cut: whoever accepted a dispatch message in vain is told once, and the lamps are told again."""

import pytest

from store.errors import Unavailable
from store.memory import MemoryStore
from store.model import Answer, Folder, Mark, MessageKind, NewMessage, User, Work
from tests.fakes.primary import HandClock
from tests.fakes.store_contract_dispatch import dispatched, of, put, team
from voicemail.policy.keeping import Aging
from voicemail.primary.aging import Ager
from voicemail.primary.dispatches import Dispatches
from voicemail.primary.lease import NotPrimary


class Scene:
    def __init__(self) -> None:
        self.store, self.clock, self.epoch, self.permitted = MemoryStore(), HandClock(), 1, True
        self.store.state.now = self.clock.now
        self.people: list[User] = []
        self.settler = self.another()

    def another(self) -> Dispatches:
        return Dispatches(self.store, self.clock, lambda: self.epoch, self._permit)

    def _permit(self) -> None:
        if not self.permitted:
            raise NotPrimary("over")

    async def cut(self, *answers: Answer | None) -> NewMessage:
        """A message answered on both sides, in this order by the clocks."""
        self.people = self.people or await team(self.store)
        new = await dispatched(self.store, self.people)
        for one, answer in zip(self.people, answers, strict=False):
            if answer:
                await put(self.store, new, one, answer)
        return new

    async def told(self) -> list[list[MessageKind]]:
        return [
            [m.envelope.kind for m in await self.store.messages.listing(each.id) if not m.envelope.dispatch]
            for each in self.people
        ]

    def lamps(self) -> int:
        return sum(item.kind is Work.LAMP for item in self.store.state.outbox.values())


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_who_accepted_before_somebody_else_is_told_once(scene: Scene) -> None:
    new = await scene.cut(Answer.ACCEPT, Answer.ACCEPT)
    ann, ben, _ = scene.people
    for settler in (scene.settler, scene.settler, scene.another()):
        await settler.round()
    assert await scene.told() == [[MessageKind.OVERRULED], [], []]
    [told] = [m for m in await scene.store.messages.listing(ann.id)]
    assert (told.envelope.about, told.envelope.sender, told.caller) == (of(new, ann), ben.id, ben.extension)
    assert told.folder is Folder.NEW


async def test_all_of_them_have_their_lamps_told_again_once(scene: Scene) -> None:
    await scene.cut(Answer.DECLINE, Answer.DECLINE, Answer.DECLINE)
    before = scene.lamps()
    for settler in (scene.settler, scene.settler, scene.another()):
        await settler.round()
    assert scene.lamps() == before + 3
    assert await scene.told() == [[], [], []]


@pytest.mark.parametrize("answers", [(), (Answer.ACCEPT,), (Answer.DECLINE, Answer.DECLINE, Answer.ACCEPT)])
async def test_in_calm_nothing_is_written(scene: Scene, answers: tuple[Answer, ...]) -> None:
    await scene.cut(*answers)
    before = dict(scene.store.state.outbox)
    await scene.settler.round()
    assert scene.store.state.outbox == before and await scene.told() == [[], [], []]


async def test_a_third_acceptance_that_comes_later_is_told_too(scene: Scene) -> None:
    new = await scene.cut(Answer.ACCEPT, Answer.ACCEPT)
    await scene.settler.round()
    await put(scene.store, new, scene.people[2], Answer.ACCEPT)
    await scene.settler.round()
    assert await scene.told() == [[MessageKind.OVERRULED], [MessageKind.OVERRULED], []]


async def test_without_the_lease_nothing_is_told_and_it_is_tried_again(scene: Scene) -> None:
    await scene.cut(Answer.ACCEPT, Answer.ACCEPT)
    scene.permitted = False
    with pytest.raises(NotPrimary):
        await scene.settler.round()
    assert await scene.told() == [[], [], []]
    scene.permitted = True
    await scene.settler.round()
    assert await scene.told() == [[MessageKind.OVERRULED], [], []]


async def test_a_store_that_is_away_is_asked_again(scene: Scene) -> None:
    await scene.cut(Answer.ACCEPT, Answer.ACCEPT)
    scene.store.state.away = True
    with pytest.raises(Unavailable):
        await scene.settler.round()
    scene.store.state.away = False
    await scene.settler.round()
    assert await scene.told() == [[MessageKind.OVERRULED], [], []]


async def test_what_others_hold_goes_as_deleted_messages_do_then_the_answers(
    scene: Scene,
) -> None:
    new = await scene.cut(Answer.ACCEPT)
    ann, ben, carl = scene.people
    ager = Ager(scene.store, scene.clock, lambda: 1, scene._permit)
    await ager.round()
    assert not scene.store.state.marks
    scene.clock.advance((Aging().deleted_to_gone + 1) * 86400.0)
    await ager.round()
    gone = {of(new, ben), of(new, carl)}
    assert {each for each, marks in scene.store.state.marks.items() if Mark.PURGE in marks} == gone
    assert (await scene.store.messages.listing(ann.id))[0].accepted
    await scene.store.messages.mark(of(new, ann), Mark.PURGE)
    await ager.round()
    assert await scene.store.dispatches.all() == []
