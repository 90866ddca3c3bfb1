"""Callers who leave no message: a piece of work for the Primary, where the called user wants to know. It is
written when the call is over, so that nobody waits for it, and left out when the store is away."""

import asyncio
from datetime import datetime

import structlog

from sip.invite import Invite
from store.api import Store
from store.errors import StoreError
from store.ids import uuid7
from store.model import User
from voicemail.policy.book import parsed
from voicemail.policy.devices import Device
from voicemail.policy.note import Event, Note

log = structlog.get_logger()

WITHIN = 2.0
"""Seconds for all of it."""
LONGEST_TEXT = 128


async def report(store: Store, user: User, invite: Invite, at: datetime) -> None:
    """Raises nothing but cancellation."""
    try:
        async with asyncio.timeout(WITHIN):
            if await _wants(store, user):
                note = Note(Event.MISSED, uuid7(), facts=facts(invite, at))
                await store.outbox.add([note.work(user.id)])
                log.info("missed call noted", mailbox=user.extension, source=str(note.source))
    except (StoreError, TimeoutError) as error:
        log.warning("missed call not noted", mailbox=user.extension, why=str(error) or "no answer")


def facts(invite: Invite, at: datetime) -> dict[str, str]:
    """What is known of the caller."""
    caller = (invite.asserted or invite.caller)[:LONGEST_TEXT]
    return {"caller": caller, "caller_name": invite.caller_name[:LONGEST_TEXT], "at": at.isoformat()}


async def _wants(store: Store, user: User) -> bool:
    found = [parsed(Device, each) for each in await store.settings.all(Device.KIND, user.id)]
    return any(device and device.enabled and device.tells_missed for device in found)
