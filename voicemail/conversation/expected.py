"""A PIN is asked for: what its owner will hear first is made ready while the caller hears that and types.

So little is left to do between the PIN and the voice that fifty may press the last key at the same moment
(docs/performance.md). Nothing that was seen here decides anything: hash, lock, options and counts are read
again behind the attempt's commit, and what was made ready is played only if it is still what is to be said.
An ID that nobody has goes the same way, so that nobody learns by the time it takes which mailboxes exist.
"""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

from sip.call import Call, Sound
from store.errors import StoreError
from store.model import User
from store.signing_in import Glance, Look
from voicemail import pins
from voicemail.conversation.aside import Aside
from voicemail.conversation.desk import Desk, reach
from voicemail.conversation.opening import NOBODYS, name_of, opening
from voicemail.conversation.throttle import NOWHERE, Origin, held_back, went_wrong

NOBODY = UUID("6f9d2f0e-5d0c-4f3e-9a55-2f1d6c1a7b10")
"""Attempts at an ID that nobody has are counted below a name made of this and the ID."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Who an ID was a moment ago: the id is made up for nobody's."""

    user_id: UUID
    counted: UUID
    """Under which his attempts are counted."""
    look: Look


class Expected:
    """Make it when the PIN is asked for. `known` is whose ID it is, where that is known; `origin`: where the
    call comes from; `own_phone`: at his own telephone, which is proved, and never held back."""

    def __init__(
        self,
        desk: Desk,
        call: Call,
        aside: Aside,
        extension: str,
        known: User | None = None,
        origin: Origin = NOWHERE,
        own_phone: bool = False,
    ) -> None:
        self.extension = extension
        self._desk, self._call, self._known, self._own_phone = desk, call, known, own_phone
        self._origin = NOWHERE if own_phone else origin
        self._name: tuple[str, Path] | None = None
        self._held = aside.do(self._hold())
        self._looked = aside.do(self._look())
        aside.do(self._prepare())

    async def seen(self) -> Seen:
        """Raises Unavailable."""
        return await self._looked or await self._see()

    async def name(self, glance: Glance) -> tuple[Sound, ...]:
        """The user's recorded name; () where there is none. Raises Unavailable."""
        if self._name and self._name[0] == glance.name:
            return (self._name[1],)
        return await name_of(self._desk, glance)

    async def held_back(self) -> bool:
        """Whether no PIN from where this call comes is compared now. Raises Unavailable."""
        held = await self._held
        return await held_back(self._desk, self._origin, self.extension) if held is None else held

    async def went_wrong(self) -> None:
        """Count a wrong PIN by where it came from. Raises Unavailable."""
        await went_wrong(self._desk, self._origin)

    async def _hold(self) -> bool | None:
        try:
            return await held_back(self._desk, self._origin, self.extension)
        except StoreError:
            return None  # asked again when the PIN is there

    async def _look(self) -> Seen | None:
        try:
            return await self._see()
        except StoreError:
            return None  # asked again when the PIN is there

    async def _see(self) -> Seen:
        store, desk = self._desk.store, self._desk
        user = self._known or await reach(store.users.by_extension(self.extension))
        user_id = user.id if user else uuid5(NOBODY, self.extension)
        counted = pins.own(user) if user and self._own_phone else user_id
        look = await reach(store.sign_ins.look(counted, user_id, desk.policy, desk.now()))
        return Seen(user_id, counted, look)

    async def _prepare(self) -> None:
        """The first words, as far as they can be known now."""
        await pins.warm()
        seen = await self._looked
        if seen is None:
            return
        try:
            glance = seen.look.glance or NOBODYS
            name = await name_of(self._desk, glance)
            for file in name:
                self._name = (glance.name, Path(file))
            said = await opening(self._desk, glance, name)
        except (StoreError, OSError):
            return  # it is made when it is wanted
        await self._call.prepare(*said, language=glance.user.language)
