"""Messages and settings in memory: the same interfaces as on PostgreSQL, passing the same tests."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from store.blob import Blob
from store.errors import NotFound
from store.memory_dispatch import accepted, held
from store.memory_state import State
from store.model import (
    AGES,
    FIRST,
    UNLIT,
    Counts,
    Deposit,
    Folder,
    Mark,
    Message,
    MessageKind,
    NewMessage,
    Ripening,
    Setting,
    Work,
    copy_id,
    setting_id,
)

ORDER = tuple(Folder)
UNDOES = {
    Mark.READ: Mark.UNREAD,
    Mark.UNREAD: Mark.READ,
    Mark.DELETE: Mark.UNDELETE,
    Mark.UNDELETE: Mark.DELETE,
}


class MemoryMessages:
    def __init__(self, state: State) -> None:
        self._state = state

    async def deposit(self, message: NewMessage, audio: Blob, *, wait: float = 1.0) -> Deposit:
        self._state.check()
        if message.id in self._state.messages:
            return Deposit(message.id, self._state.copies, repeated=True)
        self._keep(message, audio)
        self._state.tell("message", "outbox")
        return Deposit(message.id, self._state.copies)

    async def send(
        self, message: NewMessage, mailboxes: Sequence[UUID], audio: Blob, *, wait: float = 1.0
    ) -> Deposit:
        self._state.check()
        copies = [replace(message, id=copy_id(message.id, box), mailbox_id=box) for box in mailboxes]
        new = [copy for copy in copies if copy.id not in self._state.messages]
        for copy in new:
            self._keep(copy, audio)
        self._state.tell("message", "outbox")
        return Deposit(message.id, self._state.copies, repeated=not new)

    async def size(self, mailbox_id: UUID) -> int:
        self._state.check()
        there = (each for each in self._state.messages.values() if each[0].mailbox_id == mailbox_id)
        kept = (each for each in there if held(self._state, each[0]))
        return sum(len(audio) for message, audio in kept if not self._purged(message.id))

    async def mailboxes(self, after: UUID = FIRST, most: int = 500) -> Sequence[UUID]:
        self._state.check()
        boxes = {message.mailbox_id for message, _ in self._state.messages.values()}
        return sorted(box for box in boxes if box > after)[:most]

    async def aged(
        self, mark: Mark, before: datetime, mailboxes: Sequence[UUID], limit: int = 1000
    ) -> Sequence[Message]:
        self._state.check()
        return [each for each in self._ripe(mark, before) if each.mailbox_id in mailboxes][:limit]

    async def ripening(
        self, saved: datetime | None, deleted: datetime | None, after: UUID = FIRST, most: int = 1000
    ) -> Sequence[Ripening]:
        self._state.check()
        going = self._ripe(Mark.DELETE, saved) if saved else []
        leaving = self._ripe(Mark.PURGE, deleted) if deleted else []
        boxes = sorted(user.id for user in self._state.users.values() if user.mail and user.id > after)
        return [Ripening(box, *self._those(box, going), *self._those(box, leaving)) for box in boxes[:most]]

    async def sent(self, sender_id: UUID, after: datetime) -> Sequence[Message]:
        self._state.check()
        found = (m for m, _ in self._state.messages.values() if m.envelope.sender == sender_id)
        mine = (m for m in found if not self._purged(m.id))
        waiting = [m for m in mine if (m.envelope.deliver_at or after) > after and m.folder is Folder.NEW]
        return sorted(waiting, key=lambda m: (m.envelope.deliver_at or after, m.id))

    async def listing(self, mailbox_id: UUID, *folders: Folder) -> Sequence[Message]:
        self._state.check()
        found = (m for m, _ in self._state.messages.values() if m.mailbox_id == mailbox_id)
        wanted = (m for m in found if m.folder in (folders or ORDER) and self._shown(m))
        listed = [_with_answer(self._state, m) for m in wanted]
        return sorted(listed, key=lambda m: (ORDER.index(m.folder), not m.urgent, m.recorded, m.id))

    async def get(self, message_id: UUID) -> Message | None:
        self._state.check()
        found = self._state.messages.get(message_id)
        there = found and not self._purged(message_id) and held(self._state, found[0])
        return _with_answer(self._state, found[0]) if found and there else None

    async def audio(self, message_id: UUID) -> bytes:
        return self._require(message_id)[1]

    async def mark(self, message_id: UUID, mark: Mark) -> None:
        message, audio = self._require(message_id)
        marks = self._state.marks.setdefault(message_id, set())
        marks.discard(UNDOES.get(mark, mark))
        marks.add(mark)
        kept = b"" if mark is Mark.PURGE else audio
        self._state.messages[message_id] = (replace(message, folder=_folder(marks)), kept)
        self._state.since[message_id] = self._state.now()
        self._state.add_work(Work.LAMP, message.mailbox_id, message_id)
        self._state.tell("message_event", "outbox")

    async def counts(self, mailbox_id: UUID) -> Counts:
        new = _counted(await self.listing(mailbox_id, Folder.NEW))
        old = _counted(await self.listing(mailbox_id, Folder.SAVED))
        return Counts(len(new), len(old), _urgent(new), _urgent(old))

    async def all_ids(self) -> Sequence[UUID]:
        self._state.check()
        return sorted(self._state.messages)

    def _keep(self, m: NewMessage, audio: Blob) -> None:
        state = self._state
        of_caller = (m.caller, m.caller_name, m.recorded, m.seconds, m.urgent, m.cut_off)
        kept = Message(m.id, m.mailbox_id, *of_caller, Folder.NEW, state.node, m.envelope)
        state.messages[m.id] = (kept, audio[:])
        if m.envelope.kind in UNLIT:
            return
        until = m.envelope.deliver_at
        state.add_work(Work.LAMP, m.mailbox_id, m.id, until)
        if self._is_told(m.mailbox_id):
            state.add_work(Work.MAIL, m.mailbox_id, m.id, until)

    def _is_told(self, mailbox_id: UUID) -> bool:
        user = self._state.users.get(mailbox_id)
        owned = (each for each in self._state.settings.values() if each.owner == mailbox_id)
        return bool(user and user.mail) or any(each.kind == "device" for each in owned)

    def _ripe(self, mark: Mark, before: datetime) -> list[Message]:
        """Oldest first."""
        found = (m for m, _ in self._state.messages.values() if m.folder is AGES[mark] and self._shown(m))
        free = (m for m in found if mark is not Mark.DELETE or not _with_answer(self._state, m).open_dispatch)
        return sorted((m for m in free if self._since(m) < before), key=self._since)

    def _since(self, message: Message) -> datetime:
        return self._state.since.get(message.id, message.recorded)

    def _those(self, mailbox_id: UUID, ripe: Sequence[Message]) -> tuple[int, datetime | None]:
        since = [self._since(m) for m in ripe if m.mailbox_id == mailbox_id]
        return len(since), min(since, default=None)

    def _shown(self, message: Message) -> bool:
        due = message.envelope.deliver_at
        return (
            not self._purged(message.id)
            and held(self._state, message)
            and (due is None or due <= self._state.now())
        )

    def _purged(self, message_id: UUID) -> bool:
        return Mark.PURGE in self._state.marks.get(message_id, ())

    def _require(self, message_id: UUID) -> tuple[Message, bytes]:
        self._state.check()
        if message_id not in self._state.messages or self._purged(message_id):
            raise NotFound(f"no message {message_id}")
        return self._state.messages[message_id]


def _with_answer(state: State, message: Message) -> Message:
    return replace(message, accepted=True) if accepted(state, message) else message


def _counted(messages: Iterable[Message]) -> list[Message]:
    """Broadcast messages light no lamp."""
    return [each for each in messages if each.envelope.kind is not MessageKind.BROADCAST]


def _urgent(messages: Iterable[Message]) -> int:
    return sum(message.urgent for message in messages)


def _folder(marks: set[Mark]) -> Folder:
    if Mark.DELETE in marks:
        return Folder.DELETED
    return Folder.SAVED if Mark.READ in marks else Folder.NEW


class MemorySettings:
    def __init__(self, state: State) -> None:
        self._state = state

    async def get(self, kind: str, name: str, owner: UUID | None = None) -> Setting | None:
        self._state.check()
        return self._state.settings.get(setting_id(kind, name, owner))

    async def all(self, kind: str = "", owner: UUID | None = None) -> Sequence[Setting]:
        self._state.check()
        found = (each for each in self._state.settings.values() if each.owner == owner)
        return sorted((s for s in found if kind in ("", s.kind)), key=lambda s: (s.kind, s.name))

    async def first(self, kinds: Sequence[str], many: Sequence[str] = (), most: int = 0) -> Sequence[Setting]:
        self._state.check()
        found: dict[str, list[Setting]] = {kind: [] for kind in sorted({*kinds, *many})}
        for each in self._state.settings.values():
            if each.owner is None and each.kind in found:
                found[each.kind].append(each)
        shown = {kind: None if kind in kinds else most for kind in found}
        return [s for kind in found for s in sorted(found[kind], key=lambda s: s.name)[: shown[kind]]]

    async def named(self, kind: str, names: Sequence[str]) -> Sequence[Setting]:
        return [each for each in await self.all(kind) if each.name in names]

    async def owned(self, kind: str) -> Sequence[Setting]:
        self._state.check()
        found = [each for each in self._state.settings.values() if each.owner and each.kind == kind]
        return sorted(found, key=lambda each: (str(each.owner), each.name))

    async def page(self, kind: str, after: str = "", most: int = 1000) -> Sequence[Setting]:
        return [each for each in await self.all(kind) if each.name > after][:most]

    async def count(self, kind: str) -> int:
        return len(await self.all(kind))

    async def numbered(self, kind: str, extension: str) -> Sequence[Setting]:
        return [s for s in await self.all(kind) if json.loads(s.body).get("extension") == extension]

    async def spelled(self, kind: str, keys: str, most: int) -> Sequence[Setting]:
        bodies = [(each, json.loads(each.body).get("keys", ())) for each in await self.all(kind)]
        return [s for s, there in bodies if any(each.startswith(keys) for each in there[:2])][:most]

    async def put(self, setting: Setting) -> None:
        self._state.check()
        self._state.put(setting)
        self._state.tell("setting")

    async def remove(self, kind: str, name: str, owner: UUID | None = None) -> None:
        self._state.check()
        if self._state.settings.pop(setting_id(kind, name, owner), None) is None:
            raise NotFound(f"no {kind} {name!r}")
        self._state.tell("setting")
