"""For all unit tests: tracebacks in log lines are plain. Coloured ones take half a second each."""

import pytest
import structlog


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    shown = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[*before[:-1], shown])
