"""Mails that a user has turned off, and recordings that must not leave the store."""

from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import uuid4

from sip import wav
from store.ids import uuid7
from store.memory import MemoryStore
from store.model import Envelope, NewMessage, Setting, User, Work
from voicemail.config import Mail
from voicemail.policy.devices import MAIL_DEVICE, Device, DeviceKind
from voicemail.primary.agenda import Job
from voicemail.primary.lease import Permit
from voicemail.primary.postman import Postman

ANNA = User(id=uuid4(), extension="1001", mail="anna@example.com", attach=True)
PLAIN = Envelope()
NEW = NewMessage(uuid7(), ANNA.id, "1002", "", datetime(2026, 3, 4, tzinfo=UTC), 1.0)


class Host:
    """Keeps what it takes."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def take(self, mail: EmailMessage, receiver: str, permit: Permit) -> None:
        permit()
        self.mails.append(mail)


async def mailed(device: Device | None = None, envelope: Envelope = PLAIN) -> list[EmailMessage]:
    store, host = MemoryStore(), Host()
    await store.users.add(ANNA)
    if device:
        await store.settings.put(Setting(Device.KIND, MAIL_DEVICE, device.model_dump_json(), ANNA.id))
    await store.messages.deposit(replace(NEW, envelope=envelope), wav.file_ulaw(b"\x55" * 8000))
    (item,) = (each for each in store.state.outbox.values() if each.kind is Work.MAIL)
    postman = Postman(store, Mail(host="mx", sender="vm@example.com"), host, UTC)
    await postman.perform(Job("mail", item.id, (item,)), lambda: None)
    return host.mails


async def test_a_user_who_turned_mails_off_gets_none() -> None:
    assert len(await mailed()) == 1
    assert len(await mailed(Device(kind=DeviceKind.MAIL, enabled=True))) == 1
    assert await mailed(Device(kind=DeviceKind.MAIL, enabled=False)) == []


async def test_a_secure_message_is_told_of_without_its_recording() -> None:
    plain, secure = (await mailed())[0], (await mailed(envelope=Envelope(secure=True)))[0]
    assert (len(list(plain.iter_attachments())), len(list(secure.iter_attachments()))) == (1, 0)
