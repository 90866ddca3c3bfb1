"""Other voice-mail systems, and mailboxes on them."""

from enum import StrEnum
from typing import ClassVar

from pydantic import computed_field

from voicemail.names import keys_of
from voicemail.policy.base import Policy


class Tls(StrEnum):
    """How mails to a host are protected."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    """STARTTLS where it is offered, whatever the certificate."""
    ENCRYPT = "encrypt"
    """STARTTLS or nothing; any certificate."""
    VERIFY = "verify"
    """STARTTLS or nothing, with a certificate for the host by an authority of this machine."""


class Location(Policy):
    """Another voice-mail system, reached by VPIM (functions.md section 6.2)."""

    KIND: ClassVar[str] = "location"
    domain: str
    """Of its addresses, and of the mails that come from there."""
    dial_id: str = ""
    """Users address mailbox 2722 there as dial_id + 2722, known or not (blind addressing); "" for only its
    contacts."""
    prefixes: tuple[str, ...] = ()
    """With what a mailbox there may begin; () for anything."""
    host: str = ""
    """Where mails for it go, "host" or "host:port"; "" is [mail]'s way."""
    tls: Tls = Tls.OPPORTUNISTIC
    networks: tuple[str, ...] = ()
    """From where mails of its domain are taken; () for wherever [smtp] takes mails from."""
    codec: str = "g726"
    """One of voicemail.vpim.model.Codec."""
    spoken_name: bool = True
    """The sender's recorded name goes with each message."""
    vcard: bool = False
    receipts: bool = True
    """Receipts are asked for and given."""
    secure: bool = False
    """Secure messages may go there."""
    make_contacts: bool = False
    """Of senders who are not known yet."""
    update_contacts: bool = False


class Contact(Policy):
    """A mailbox on another system that users address by name or number: the setting's name is its
    address. Its recorded name is the greeting "name" of the setting's id."""

    KIND: ClassVar[str] = "contact"
    location: str
    display_name: str = ""
    extension: str = ""
    """A number of our own by which users address it; "" for none."""
    listed: bool = True

    @computed_field  # type: ignore[prop-decorator]
    @property
    def keys(self) -> tuple[str, ...]:
        """How a name that may be found is spelled on a telephone's keys; the store looks for it by these."""
        return keys_of(self.display_name)[:2] if self.listed else ()
