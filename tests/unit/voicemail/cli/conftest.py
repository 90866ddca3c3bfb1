"""Commands on a store in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from store.memory import MemoryStore
from tests.fakes.cli import CommandLine
from voicemail.config import Config


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def voicemail(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    @asynccontextmanager
    async def opened(_: Config) -> AsyncIterator[MemoryStore]:
        yield store

    monkeypatch.setattr("voicemail.cli.common.opened", opened)
    config = tmp_path / "node.toml"
    config.write_text(f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{tmp_path}"\n')
    return CommandLine(config, monkeypatch, capsys)
