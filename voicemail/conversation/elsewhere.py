"""Addressees on other systems: contacts by number and name, and mailboxes there that nobody knows yet."""

import asyncio
from collections.abc import Mapping

from sip.call import Sound
from store.model import Message, User, setting_id
from voicemail.conversation.addressee import NAME, Addressee, class_of
from voicemail.conversation.desk import Desk, reach
from voicemail.names import begins
from voicemail.policy.base import Policy
from voicemail.policy.elsewhere import (
    answerable,
    contact_with,
    dialled,
    location_of,
    mailbox_of,
    number_of,
)
from voicemail.policy.locations import Contact, Location


async def elsewhere_by_number(desk: Desk, user: User, number: str) -> Addressee | tuple[Sound, ...]:
    """A contact with this number, else the mailbox behind a location's dial id. Else what to say."""
    contacts, locations = await desk.policies.contacts(), await desk.policies.all(Location)
    address = contact_with(number, contacts) or dialled(number, locations)
    if not address or not location_of(address, locations):
        return ("nobody_has_this_extension",)
    if not await may_send_elsewhere(desk, user):
        return ("not_allowed",)
    return Addressee((address,), await spoken_elsewhere(desk, address))


async def contacts_named(desk: Desk, user: User, keys: str) -> list[str]:
    """Addresses of the contacts whose names begin so, if the user may send to them; by name."""
    if not await may_send_elsewhere(desk, user):
        return []
    contacts, locations = await desk.policies.contacts(), await desk.policies.all(Location)
    return await asyncio.to_thread(_named, keys, contacts, locations)


def _named(keys: str, contacts: Mapping[str, Contact], locations: Mapping[str, Location]) -> list[str]:
    found = [(each.display_name, address) for address, each in contacts.items() if each.listed]
    fitting = [each for each in found if begins(each[0], keys) and location_of(each[1], locations)]
    return [address for _, address in sorted(fitting)]


async def may_send_elsewhere(desk: Desk, user: User) -> bool:
    """Whether the user's class of service lets messages leave for other systems."""
    return (await class_of(desk, user)).may_send_elsewhere


async def spoken_elsewhere(desk: Desk, address: str) -> tuple[Sound, ...]:
    """By the contact's recorded name; else the location's recorded name and the mailbox digit by digit; else
    all digits as they are dialled. Somebody without any is an outside caller."""
    if audio := await _recorded(desk, Contact, address.lower()):  # as contacts are named
        return (await desk.sounds.file(audio),)
    locations = await desk.policies.all(Location)
    at = next((name for name, each in locations.items() if each is location_of(address, locations)), None)
    if at and (audio := await _recorded(desk, Location, at)):
        return (await desk.sounds.file(audio), *desk.words.digits(mailbox_of(address)))
    return desk.words.digits(number_of(address, locations)) or ("from_outside_caller",)


async def _recorded(desk: Desk, kind: type[Policy], name: str) -> bytes | None:
    return await reach(desk.store.users.greeting(setting_id(kind.KIND, name), NAME))


async def answer_to(desk: Desk, message: Message) -> Addressee | None:
    """The sender on another system; None when nobody there can be answered."""
    remote = message.envelope.remote
    if not remote or not answerable(remote.address):
        return None
    if not location_of(remote.address, await desk.policies.all(Location)):
        return None
    return Addressee((remote.address,), await spoken_elsewhere(desk, remote.address))
