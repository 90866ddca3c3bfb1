"""Messages for other systems: kept once in OUTGOING, with one row of work for each address.

Rows have ids made of the message's and the address, and whatever is on its way stays in the spool until all
is written: so a crash between any two steps is repeated, and nothing goes twice."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid5

import structlog

from store.api import Store
from store.model import OUTGOING, Deposit, MessageKind, NewMessage, NewWork, Work, copy_id
from voicemail.policy.book import parsed
from voicemail.policy.elsewhere import barred, location_of
from voicemail.policy.locations import Location

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Departing:
    """Addresses: it goes to some; of others the system is unknown, or must not get it."""

    going: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


async def locations(store: Store) -> Mapping[str, Location]:
    """By name. Raises Unavailable."""
    found = {each.name: parsed(Location, each) for each in await store.settings.all(Location.KIND)}
    return {name: each for name, each in found.items() if each}


async def sorted_out(
    store: Store, message: NewMessage, addresses: Sequence[str], forwards: UUID | None
) -> Departing:
    """Which of these addresses the message may go to. What came from elsewhere goes nowhere by itself: two
    systems whose lists name each other would send it around for ever. Raises Unavailable."""
    if addresses and message.envelope.remote:
        log.warning("message is not passed on", message_id=str(message.id), to=addresses)
        return Departing()
    if not addresses:
        return Departing()
    known = await locations(store)
    old = await store.messages.get(forwards) if forwards else None
    passed_on = old is not None and old.envelope.private
    secure = message.envelope.secure or (old is not None and old.envelope.secure)
    going: list[str] = []
    unknown: list[str] = []
    held: list[str] = []
    for each in addresses:
        location = location_of(each, known)
        if why := barred(location, secure=secure, passed_on=passed_on):
            log.warning("message does not go elsewhere", message_id=str(message.id), to=each, why=why)
            (held if location else unknown).append(each)
        else:
            going.append(each)
    return Departing(tuple(going), tuple(unknown), tuple(held))


async def depart(
    store: Store, message: NewMessage, addresses: Sequence[str], audio: bytes, wait: float
) -> Deposit:
    """Keep it until all of these have it. Raises store errors."""
    leaving = replace(
        message,
        id=copy_id(message.id, OUTGOING),
        mailbox_id=OUTGOING,
        envelope=replace(message.envelope, kind=MessageKind.OUTGOING, dispatch=None),
    )
    kept = await store.messages.deposit(leaving, audio, wait=wait)
    due = message.envelope.deliver_at
    when = {"due": due.isoformat()} if due else {}
    payloads = {each: json.dumps({"to": each, "of": len(addresses)} | when) for each in addresses}
    await store.outbox.add(
        [
            NewWork(uuid5(leaving.id, each.casefold()), Work.POST, OUTGOING, leaving.id, payload, due)
            for each, payload in payloads.items()
        ]
    )
    log.info("message leaves for other systems", message_id=str(leaving.id), addresses=len(addresses))
    return replace(kept, id=message.id)
