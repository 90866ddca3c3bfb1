"""What the Primary looks for from time to time, beside the work that waits in the outbox."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from store.errors import StoreError
from voicemail.primary.clock import Clock
from voicemail.primary.lease import NotPrimary

log = structlog.get_logger()


async def rounds(
    of: str, one: Callable[[], Awaitable[None]], every: float, clock: Clock, epoch: Callable[[], int | None]
) -> None:
    """`one` round every so many seconds while this node is Primary (`epoch` is not None), until cancelled.
    One that fails is told of in the log, as `of` this, and the next one is tried."""
    while True:
        if epoch() is not None:
            await _safe(of, one)
        await clock.sleep_until(clock.monotonic() + every, asyncio.Event())


async def _safe(of: str, one: Callable[[], Awaitable[None]]) -> None:
    try:
        await one()
    except NotPrimary:
        return
    except StoreError as error:
        log.warning("a round waits", of=of, why=str(error))
    except Exception:
        log.exception("a round failed unexpectedly", of=of)
