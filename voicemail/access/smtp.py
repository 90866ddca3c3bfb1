"""The receiver of mails: `python -m voicemail.access.smtp CONFIG`, on every node that serves.

Mails are taken whether the store is there or not, like calls. It ends with SIGTERM, or with its stdin, when
the supervisor is gone; being killed at any moment is fine.
"""

import asyncio
import contextlib
import logging
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from store.api import Store
from store.postgres import PostgresStore
from voicemail.access.desk import Desk
from voicemail.access.session import Connection
from voicemail.config import Config, load
from voicemail.intake.addresses import Addresses
from voicemail.intake.making import mail_spool, parsers, settling_of
from voicemail.intake.parsers import Reader
from voicemail.intake.spool import MailSpool
from voicemail.intake.work import AT_ONCE, Intake
from voicemail.log import configure
from voicemail.policy.elsewhere import domain_of
from voicemail.secrets import NodeFiles, app_conninfo

log = structlog.get_logger()

MEGABYTE = 2**20


def tls_context(config: Config) -> ssl.SSLContext:
    """Of STARTTLS: [smtp]'s certificate, or the node's own. Raises OSError, ssl.SSLError."""
    files, smtp = NodeFiles(config), config.smtp
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(smtp.certificate or files.certificate, smtp.key or files.key)
    return context


def _tls(config: Config) -> ssl.SSLContext | None:
    """None, and a line in the log, when the certificate cannot be used: then nothing that needs TLS works,
    and mails of those who need none are taken still."""
    try:
        return tls_context(config)
    except OSError as error:  # SSLError among them
        log.error("certificate of [smtp] cannot be used: no STARTTLS", why=str(error))
        return None


@asynccontextmanager
async def receiver(
    config: Config, store: Store, reader: Reader | None = None
) -> AsyncIterator[tuple[asyncio.Server, Intake]]:
    """Listening, with all that is behind it. Raises OSError (the port), SpoolBusy, VoicemailError."""
    tls = _tls(config)
    if tls is None and config.smtp.require_tls:
        raise OSError("[smtp] require_tls needs a certificate that can be used")
    async with AsyncExitStack() as stack:
        spool = await asyncio.to_thread(MailSpool, mail_spool(config))
        stack.callback(spool.close)
        left = await asyncio.to_thread(spool.left_behind)
        addresses = Addresses(store, config.run_directory / "mail-addresses.json")
        if reader is None:
            folder = config.run_directory / "mail-parsed"
            reader = await stack.enter_async_context(parsers(config, folder, AT_ONCE))
        settling = settling_of(config, store, addresses)
        intake = await stack.enter_async_context(Intake(spool, reader, settling))
        desk = Desk(
            config.smtp,
            store,
            addresses,
            spool,
            intake.put,
            node=config.node.name,
            tls=tls,
            reports_to=config.mail.sender if domain_of(config.mail.sender) in config.smtp.domains else "",
            least_free=config.recording.least_free_megabytes * MEGABYTE,
        )
        keeping = asyncio.create_task(addresses.keep())
        stack.callback(keeping.cancel)
        for letter in left:
            log.info("mail found in the spool", letter=str(letter.id), sender=letter.sender)
            intake.put(letter)
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(desk), config.smtp.address or config.node.address, config.smtp.port
        )
        stack.callback(server.close)
        log.info("Taking mails.", domains=config.smtp.domains, left=len(left))
        yield server, intake


async def serve(config: Config) -> None:
    """Until SIGTERM, or the end of stdin."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    node, replicated = NodeFiles(config).membership().number, not config.store.dsn
    async with (
        PostgresStore.open(app_conninfo(config), node, replicated=replicated) as store,
        receiver(config, store),
    ):
        watching = asyncio.create_task(_supervisor_gone(stopping))
        await stopping.wait()
        watching.cancel()


async def _supervisor_gone(stopping: asyncio.Event) -> None:
    """The supervisor holds the other end of our stdin."""
    reader = asyncio.StreamReader()
    with contextlib.suppress(OSError, ValueError):
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
        while await reader.read(4096):
            pass
        stopping.set()


def main() -> None:
    configure("smtp")
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    asyncio.run(serve(load(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
