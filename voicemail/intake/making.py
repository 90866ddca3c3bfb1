"""The parts of the intake as a node's configuration wants them, for the receiver and for commands."""

from datetime import datetime
from pathlib import Path

from store.api import Store
from voicemail.config import Config
from voicemail.intake.addresses import Addresses
from voicemail.intake.parser import Bounds
from voicemail.intake.parsers import Parsers
from voicemail.intake.settle import Settings, Settling

TRACE = 10_000
"""Bytes that lines of our own may add to a mail."""


def mail_spool(config: Config) -> Path:
    """Where mails lie until the store has them."""
    return config.directory / "spool" / "mail"


def local_time() -> datetime:
    """Now, in this machine's time zone."""
    return datetime.now().astimezone()


def parsers(config: Config, folder: Path, processes: int = 1) -> Parsers:
    """Readers of mails as large as this node takes them; what they read passes through `folder`."""
    bounds = Bounds(size=config.smtp.largest_megabytes * 1_000_000 + TRACE)
    return Parsers(folder, processes, bounds)


def settling_of(config: Config, store: Store, addresses: Addresses, released: bool = False) -> Settling:
    """What is done with mails on this node."""
    settings = Settings(
        config.smtp.domains, config.mail.message_id_domain, config.store.wait_for_peer, released
    )
    return Settling(store, addresses, settings, local_time)
