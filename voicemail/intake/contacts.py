"""Contacts made and brought up to date from mails of other systems, where a location's switches say so."""

import structlog

from store.api import Store
from store.model import Setting, setting_id
from voicemail import departures
from voicemail.greetings import NAME
from voicemail.intake.decide import number_of
from voicemail.policy.book import parsed
from voicemail.policy.elsewhere import location_of
from voicemail.policy.locations import Contact, Location
from voicemail.vpim.model import VoiceMail

log = structlog.get_logger()

MOST = 150_000
"""Contacts (functions.md section 9)."""
LONGEST_NAME = 64


async def learn(store: Store, mail: VoiceMail) -> None:
    """Note who wrote, if he belongs to a location that wants it so. Raises store errors."""
    address = mail.sender.address.lower()
    known_places = await departures.locations(store)
    location = location_of(address, known_places)
    if not location or mail.unanswerable or not number_of(address):
        return
    name = next(name for name, each in known_places.items() if each is location)
    kept = await store.settings.get(Contact.KIND, address)
    known = parsed(Contact, kept) if kept else None
    wanted = changed(name, location, known, mail.sender.name)
    if wanted is None or (known is None and await store.settings.count(Contact.KIND) >= MOST):
        return
    if wanted != known:
        await store.settings.put(Setting(Contact.KIND, address, wanted.model_dump_json()))
        log.info("contact made" if known is None else "contact changed", address=address, location=name)
    if mail.spoken_name:
        await _learn_spoken(store, address, mail.spoken_name)


def changed(name: str, location: Location, known: Contact | None, said: str) -> Contact | None:
    """The contact as it should be after a mail from somebody who calls himself `said`; None when this
    location's switches leave him alone."""
    said = " ".join(said.split())[:LONGEST_NAME]
    if known is None:
        return Contact(location=name, display_name=said) if location.make_contacts else None
    if not location.update_contacts:
        return None
    return known.model_copy(update={"display_name": said or known.display_name})


async def _learn_spoken(store: Store, address: str, sound: bytes) -> None:
    owner = setting_id(Contact.KIND, address)
    if await store.users.greeting(owner, NAME) != sound:
        await store.users.set_greeting(owner, sound, NAME)
        log.info("spoken name of a contact kept", address=address, bytes=len(sound))
