"""The process that takes calls: `python -m voicemail.worker CONFIG` is a zygote, its forks are the workers.

What a worker has is opened here, after the fork: store, spool, delivery, pilot. None of it needs the
database to be there: a call is greeted and its message taken without.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import structlog

from sip.call import Handler, RecordLimits, Session
from sip.pool import run_pool
from sip.settings import EngineSettings, PoolSettings
from store.model import PinPolicy
from store.postgres import PostgresStore
from store.spool import Spool, SpoolEntry
from voicemail.config import Config, load
from voicemail.delivery import Delivery, Rules
from voicemail.pilot import Pilot, PilotSettings
from voicemail.prompts import PromptBook
from voicemail.secrets import NodeFiles, app_conninfo

log = structlog.get_logger()

MEGABYTE = 2**20


def spool_root(config: Config) -> Path:
    """Where recordings lie until the store has them: one directory per slot."""
    return config.directory / "spool"


def sounds_root(config: Config) -> Path:
    """Where sounds lie while they are played."""
    return config.run_directory / "sounds"


def pool_settings(config: Config) -> PoolSettings:
    """The workers of this node. A site's own prompts, in `prompts` below the node's directory, replace
    the shipped ones."""
    sip = config.sip
    engine = EngineSettings(
        sip_port=sip.worker_port,
        rtp_address=config.node.address,
        rtp_port=sip.rtp_port,
        max_calls=sip.calls_per_worker,
        identity=f"sip:{sip.pilot}@{sip.domain or config.node.address}",
        temporary=sounds_root(config),
    )
    return PoolSettings(
        workers=sip.workers,
        engine=engine,
        board=config.run_directory / "board",
        prompts=PromptBook(folder=config.directory / "prompts").find,
        keep_rtp_trunks=frozenset(trunk.name for trunk in config.trunk if trunk.keep_rtp),
    )


def rules(config: Config) -> Rules:
    """The caller waits a little longer than the deposit waits for the peer, then hears "sent" anyway:
    the message is on this node's disk."""
    return Rules(
        shortest=config.recording.shortest,
        least_free=config.recording.least_free_megabytes * MEGABYTE,
        patience=config.store.wait_for_peer + 0.5,
    )


def pilot_settings(config: Config, slot: int) -> PilotSettings:
    """How this slot talks to callers."""
    return PilotSettings(
        pilot=config.sip.pilot,
        folder=sounds_root(config) / str(slot),
        limits=RecordLimits(longest=config.recording.longest, silence=config.recording.silence),
        policy=PinPolicy(config.pin.failures, config.pin.window_minutes, config.pin.lock_minutes),
    )


def local_time() -> datetime:
    """Now, in this machine's time zone."""
    return datetime.now().astimezone()


def session_of(config: Config) -> Session:
    """What `sip.pool` opens in each worker."""

    @asynccontextmanager
    async def session(slot: int) -> AsyncIterator[Handler]:
        number = NodeFiles(config).membership().number
        settings = pilot_settings(config, slot)
        _empty(settings.folder)
        spool = Spool(spool_root(config), slot)
        left = await asyncio.to_thread(left_behind, config, spool, slot)
        async with (
            PostgresStore.open(
                app_conninfo(config),
                number,
                replicated=not config.store.dsn,
                connections=config.sip.calls_per_worker,
            ) as store,
            Delivery(store, spool, rules(config), wait_for_peer=config.store.wait_for_peer) as delivery,
        ):
            delivery.recover(left)
            yield Pilot(store, delivery, settings, local_time).handle

    return session


def left_behind(config: Config, spool: Spool, slot: int) -> list[SpoolEntry]:
    """What an earlier life of this slot did not deliver; the first slot also takes in what slots left
    that are no longer served."""
    return spool.left_behind()


def _empty(folder: Path) -> None:
    """A crash may have left sounds there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)


def main(config_path: str) -> None:
    """Be the zygote until SIGTERM. Raises ConfigError."""
    config = load(Path(config_path))
    sounds_root(config).mkdir(parents=True, exist_ok=True, mode=0o700)
    run_pool(pool_settings(config), session_of(config))


if __name__ == "__main__":
    main(sys.argv[1])
