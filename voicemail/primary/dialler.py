"""Has a worker of this node call a user. The worker has the ports, the prompts and the conversation; this
process only asks, in turn among the workers, and learns how it went."""

import random
from collections.abc import Callable
from typing import Protocol

import structlog

from voicemail import call_orders
from voicemail.call_orders import Ended, NoWorker, Order, Report
from voicemail.config import Config
from voicemail.primary.lease import Permit

log = structlog.get_logger()

PATIENCE = 180.0
"""Seconds until it must be known how a call went: it rings for 45 s, and asks for the PIN three times."""
TRIES = 6
"""Workers that are asked for one call."""


class Dialler(Protocol):
    """Calls users. The real one is Workers."""

    async def call(self, order: Order, permit: Permit) -> Report:
        """Ask `permit`, then call. Raises NotPrimary."""


class Workers:
    """The workers of this node."""

    def __init__(self, config: Config, shuffled: Callable[[list[int]], None] = random.shuffle) -> None:
        self._config, self._shuffled = config, shuffled

    async def call(self, order: Order, permit: Permit) -> Report:
        slots = list(range(self._config.sip.workers))
        self._shuffled(slots)
        report = Report(Ended.NO_PORT, "no worker is there")
        for slot in slots[:TRIES]:
            permit()
            try:
                report = await call_orders.ask(call_orders.path_of(self._config, slot), order, PATIENCE)
            except NoWorker as error:
                log.info("worker cannot be asked to call", slot=slot, why=str(error))
                continue
            if report.ended is not Ended.NO_PORT:
                break
        return report
