"""Addressees on other systems: contacts by number and name, and mailboxes there that nobody knows yet."""

from sip.call import Sound
from store.model import Message, User, setting_id
from voicemail.conversation.addressee import NAME, Addressee, class_of
from voicemail.conversation.desk import Desk, reach
from voicemail.policy.base import Policy
from voicemail.policy.book import parsed
from voicemail.policy.elsewhere import answerable, dialled, location_of, mailbox_of, number_of
from voicemail.policy.locations import Contact, Location

MOST_FOUND = 100
"""Contacts that are read for one search."""


async def elsewhere_by_number(desk: Desk, user: User, number: str) -> Addressee | tuple[Sound, ...]:
    """A contact with this number, else the mailbox behind a location's dial id. Else what to say."""
    with_it = await reach(desk.store.settings.numbered(Contact.KIND, number)) if number else ()
    locations = await desk.policies.all(Location)
    known = (each.name for each in with_it if parsed(Contact, each))
    address = next(known, None) or dialled(number, locations)
    if not address or not location_of(address, locations):
        return ("nobody_has_this_extension",)
    if not await may_send_elsewhere(desk, user):
        return ("not_allowed",)
    return Addressee((address,), await spoken_elsewhere(desk, address))


async def contacts_named(desk: Desk, user: User, keys: str) -> list[str]:
    """Addresses of the contacts whose names begin so, if the user may send to them; by name, and no more than
    show that they are too many to be offered."""
    if not keys or not await may_send_elsewhere(desk, user):
        return []
    found = await reach(desk.store.settings.spelled(Contact.KIND, keys, MOST_FOUND))
    locations = await desk.policies.all(Location)
    fitting = [(each, read) for each in found if (read := parsed(Contact, each)) and read.listed]
    named = sorted((read.display_name, each.name) for each, read in fitting)
    return [address for _, address in named if location_of(address, locations)]


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
