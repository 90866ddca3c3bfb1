"""The process that takes calls: `python -m voicemail.worker CONFIG` is a zygote, its forks are the workers.

What a worker has is opened here, after the fork: store, spool, delivery, pilot. None of it needs the
database to be there: a call is greeted and its message taken without.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from sip.call import Call, Dial, Handler, Prompts, RecordLimits, Session
from sip.invite import Source
from sip.pool import run_pool
from sip.settings import EngineSettings, PoolSettings
from sip.sounds import plays
from store.api import Store
from store.errors import StoreError
from store.postgres import PostgresStore
from store.signing_in import PinPolicy
from store.spool import Spool, orphans
from voicemail.call_orders import path_of
from voicemail.calling import Caller, taking_orders
from voicemail.config import Config, load
from voicemail.delivery import Delivery, Rules
from voicemail.localtime import local_time
from voicemail.log import configure
from voicemail.pilot import Pilot, PilotSettings
from voicemail.prompts import NAME, SHIPPED, PromptBook
from voicemail.secrets import NodeFiles, app_conninfo

log = structlog.get_logger()

MEGABYTE = 2**20
MOST_MET = 4
"""Calls for which connections are open before they come."""
MEETING = 0.7
"""Seconds a new worker waits for the database at most before it takes calls without."""


def spool_root(config: Config) -> Path:
    """Where recordings lie until the store has them: one directory per slot."""
    return config.directory / "spool"


def sounds_root(config: Config) -> Path:
    """Where sounds lie while they are played."""
    return config.run_directory / "sounds"


def pool_settings(config: Config) -> PoolSettings:
    """The workers of this node."""
    sip = config.sip
    engine = EngineSettings(
        sip_port=sip.worker_port,
        rtp_address=config.node.address,
        rtp_port=sip.rtp_port,
        max_calls=sip.calls_per_worker,
        identity=f"sip:{sip.pilot}@{sip.domain or config.node.address}",
        edge=f"sip:{config.node.address}:{sip.port};lr",
        temporary=sounds_root(config),
        hears_tones=sip.hears_tones,
    )
    return PoolSettings(
        workers=sip.workers,
        engine=engine,
        board=config.run_directory / "board",
        prompts=prompts_of(config.directory / "prompts"),
        keep_rtp_trunks=frozenset(trunk.name for trunk in config.trunk if trunk.keep_rtp),
    )


def prompts_of(folder: Path) -> Prompts:
    """Every language that there is. A site's own prompts, in `prompts` below the node's directory, replace
    the shipped ones; those of other languages than the default one are in folders by language there."""
    default = PromptBook(folder=folder, plays=plays)
    shipped = (place.name for place in SHIPPED.iterdir() if place.is_dir() and NAME.fullmatch(place.name))
    others = {language: PromptBook(language, folder / language, plays) for language in shipped}
    others.pop(default.language, None)

    def find(name: str, language: str) -> Path | None:
        book = others.get(language)
        return (book and book.find(name)) or default.find(name)

    return find


def rules(config: Config) -> Rules:
    """What the configuration says about recordings."""
    return Rules(
        shortest=config.recording.shortest,
        least_free=config.recording.least_free_megabytes * MEGABYTE,
    )


def pilot_settings(config: Config, slot: int) -> PilotSettings:
    """How this slot talks to callers."""
    return PilotSettings(
        pilot=config.sip.pilot,
        folder=sounds_root(config) / str(slot),
        limits=RecordLimits(longest=config.recording.longest, silence=config.recording.silence),
        policy=PinPolicy(
            config.pin.failures,
            config.pin.window_minutes,
            config.pin.lock_minutes,
            config.pin.per_source,
            config.pin.per_trunk,
        ),
        redirecting={trunk.name: trunk.redirecting for trunk in config.trunk},
        forwarded_by={trunk.name: tuple(map(Source, trunk.forwarded_by)) for trunk in config.trunk},
    )


def session_of(config: Config) -> Session:
    """What `sip.pool` opens in each worker."""

    @asynccontextmanager
    async def session(slot: int) -> AsyncIterator[Handler]:
        number = NodeFiles(config).membership().number
        settings = pilot_settings(config, slot)
        _empty(settings.folder)
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(
                PostgresStore.open(
                    app_conninfo(config),
                    number,
                    replicated=not config.store.dsn,
                    connections=config.sip.calls_per_worker,
                    plan_once=True,
                )
            )
            spool = Spool(spool_root(config), slot)
            delivery = await opened(stack, config, store, spool)
            if slot == 0:
                for orphan in orphans(spool_root(config), range(config.sip.workers)):
                    await opened(stack, config, store, orphan)
            await met(store, config.sip.calls_per_worker)
            pilot = Pilot(store, delivery, settings, local_time)
            caller = caller_of(config, store, pilot)
            await stack.enter_async_context(taking_orders(path_of(config, slot), caller.call))
            yield Calls(pilot.handle, caller.may_dial)

    return session


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of a worker: those that come, and those that it makes."""

    handle: Handler
    may_dial: Callable[[Dial], None]

    async def __call__(self, call: Call) -> None:
        await self.handle(call)


def caller_of(config: Config, store: Store, pilot: Pilot) -> Caller:
    """Who calls users of this node."""
    domain = config.sip.domain or config.node.address
    return Caller(store, pilot.desk, config.notify.call_uri, domain)


async def met(store: Store, calls: int) -> None:
    """Ask the database what every call and every user asks, for so many calls at once, so that the first of
    them need not open connections, nor wait for statements to be planned. A database that is away now is
    met later."""
    nobody, now = UUID(int=0), local_time()
    many = range(min(calls, MOST_MET))
    try:
        async with asyncio.timeout(MEETING):
            await asyncio.gather(*(store.users.by_extension("") for _ in many))
            await store.users.greeting_unless(nobody, "")
            await asyncio.gather(*(store.sign_ins.look(nobody, nobody, PinPolicy(), now) for _ in many))
    except (StoreError, TimeoutError) as error:
        log.info("database not met yet", why=str(error) or "no answer")


async def opened(stack: AsyncExitStack, config: Config, store: Store, spool: Spool) -> Delivery:
    """Delivery from one slot's spool, which first takes up what an earlier life left there. The first
    slot does that also for slots that are no longer served."""
    stack.callback(spool.close)
    left = await asyncio.to_thread(spool.left_behind)
    delivery = await stack.enter_async_context(
        Delivery(store, spool, rules(config), wait_for_peer=config.store.wait_for_peer)
    )
    delivery.recover(left)
    return delivery


def _empty(folder: Path) -> None:
    """A crash may have left sounds there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)


def main(config_path: str) -> None:
    """Be the zygote until SIGTERM. Raises ConfigError."""
    configure("worker")
    config = load(Path(config_path))
    sounds_root(config).mkdir(parents=True, exist_ok=True, mode=0o700)
    run_pool(pool_settings(config), session_of(config))


if __name__ == "__main__":
    main(sys.argv[1])
