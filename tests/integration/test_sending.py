"""What users send goes through delivery into a real PostgreSQL, and grows old there."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sip import wav
from store.features import SCHEMA
from store.ids import uuid7
from store.model import Envelope, Folder, Mark, MessageKind, Setting, User, copy_id
from store.notes import noted
from store.postgres import PostgresStore
from store.spool import Spool, SpoolEntry
from voicemail.delivery import Delivery, Rules
from voicemail.policy.keeping import Aging
from voicemail.policy.model import Members
from voicemail.primary.aging import Ager
from voicemail.primary.clock import SystemClock
from voicemail.receipts import before_mark

ANNA, BEN = User(UUID(int=1), "1001", name="Anna"), User(UUID(int=2), "1002", name="Ben")
SPOKEN = wav.file_ulaw(b"\x42" * 2 * wav.RATE)


async def test_sent_heard_told_passed_on_cancelled_and_gone(
    postgres_store: PostgresStore, tmp_path: Path
) -> None:
    store, now = postgres_store, datetime.now(UTC)
    await store.agree(SCHEMA)
    for user in (ANNA, BEN):
        await store.users.add(user)
    everybody = Members(members=("1001", "1002", "list:all"))
    await store.settings.put(Setting(Members.KIND, "all", everybody.model_dump_json()))

    async def sent(audio: bytes, to: tuple[str, ...], envelope: Envelope, **more: object) -> UUID:
        entry = SpoolEntry(uuid7(), to[0], now, addressees=to, envelope=noted(envelope), caller="1001")
        draft = await delivery.begin(replace(entry, **more))  # type: ignore[arg-type]
        draft.path.write_bytes(audio)
        assert await delivery.deliver(draft)
        return entry.id

    with Spool(tmp_path, 0) as spool:
        async with Delivery(store, spool, Rules(least_free=1, patience=10.0)) as delivery:
            first = await sent(SPOKEN, ("list:all", "1777"), Envelope(sender=ANNA.id, receipt=True))
            later = Envelope(sender=ANNA.id, deliver_at=now + timedelta(days=1))
            await sent(SPOKEN, ("1002",), later)
            await sent(b"", ("1001",), Envelope(sender=BEN.id), forwards=copy_id(first, BEN.id))
        assert spool.left_behind() == []

    (to_ben,) = await store.messages.listing(BEN.id)
    assert to_ben.id == copy_id(first, BEN.id)
    for _ in range(2):
        await before_mark(store, to_ben, Mark.READ, BEN, now)
    told = {m.envelope.kind: m for m in await store.messages.listing(ANNA.id)}
    assert told[MessageKind.NON_DELIVERY].envelope.recipients == ("1777",)
    assert told[MessageKind.READ_RECEIPT].envelope.about == to_ben.id
    passed_on = [m for m in await store.messages.listing(ANNA.id) if m.envelope.parts]
    assert [each.envelope.parts[0].sender for each in passed_on] == [ANNA.id]
    (waiting,) = await store.messages.sent(ANNA.id, now)
    await store.messages.mark(waiting.id, Mark.PURGE)
    assert await store.messages.sent(ANNA.id, now) == []

    await store.messages.mark(to_ben.id, Mark.DELETE)
    clock = _Ahead()
    ager = Ager(store, clock, lambda: 1, lambda: None)
    await ager.round()
    assert [m.id for m in await store.messages.listing(BEN.id, Folder.DELETED)] == [to_ben.id]
    clock.days = Aging().deleted_to_gone + 1
    await ager.round()
    assert await store.messages.listing(BEN.id) == []
    assert wav.is_sound(await store.messages.audio(copy_id(first, ANNA.id)))


class _Ahead(SystemClock):
    days = 0

    def now(self) -> datetime:
        return super().now() + timedelta(days=self.days)
