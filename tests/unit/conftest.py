"""For all unit tests: tracebacks in log lines are plain (coloured ones take half a second each), and examples
by Hypothesis may last as long as a busy machine wants."""

import pytest
import structlog
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    shown = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[*before[:-1], shown])
