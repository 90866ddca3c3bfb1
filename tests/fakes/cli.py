"""The administrator's commands, run in this process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from voicemail.cli import main


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str


class CommandLine:
    """`voicemail` with the configuration at `config`."""

    def __init__(self, config: Path, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]) -> None:
        self.config, self.patch, self.captured = config, patch, captured

    def __call__(self, *words: str) -> Result:
        """Run one command; an exception that `main` lets through fails the test."""
        self.patch.setattr(sys, "argv", ["voicemail", *words])
        self.patch.setenv("VOICEMAIL_CONFIG", str(self.config))
        self.captured.readouterr()
        code: Any = 0
        with _own_logging():
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
        said = self.captured.readouterr()
        return Result(code, said.out, said.err)

    def good(self, *words: str) -> str:
        """The output of a command that must succeed."""
        result = self(*words)
        assert result.code == 0, result
        return result.out

    def refused(self, *words: str) -> str:
        """The error of a command that must fail, without its newline: one line, and nothing on stdout."""
        result = self(*words)
        assert result.code == 1 and result.out == "", result
        assert result.err.startswith("voicemail: ") and result.err.count("\n") == 1, result
        return result.err.removeprefix("voicemail: ").removesuffix("\n")


@contextmanager
def _own_logging() -> Iterator[None]:
    """What a command sets up for its process must not reach the next test."""
    before = structlog.get_config()
    try:
        yield
    finally:
        structlog.configure(**before)
