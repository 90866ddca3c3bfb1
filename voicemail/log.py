"""One line a record on stderr: JSON for a machine, or short lines for a terminal."""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger


def configure(process: str, human: bool | None = None) -> None:
    """Set up structlog for this process. `human` is by default whether stderr is a terminal.

    Call ids are bound by contextvar (sip/pjcall.py). PINs, passwords and audio are never logged."""
    plain = sys.stderr.isatty() if human is None else human
    renderer = structlog.dev.ConsoleRenderer() if plain else structlog.processors.JSONRenderer()

    def name_process(_: WrappedLogger, __: str, record: EventDict) -> EventDict:
        return {"process": process, **record}

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            name_process,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
