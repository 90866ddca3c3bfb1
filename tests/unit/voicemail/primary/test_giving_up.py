"""What is told when work is given up."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from store.memory import MemoryStore
from store.model import Notice, OutboxItem, Work
from tests.fakes.primary import HandClock, SipWorld
from voicemail.config import Config, parse
from voicemail.primary.service import Duty

CONFIG = """
[node]
name = "vm1"
address = "192.0.2.11"
directory = "/tmp"
[alarm]
mail_to = "admin@example.com"
"""


def item(kind: Work = Work.MAIL) -> OutboxItem:
    return OutboxItem(UUID(int=7), kind, UUID(int=1), None, datetime(2026, 3, 4, tzinfo=UTC), 40)


async def given_up(kind: Work, config: Config) -> tuple[MemoryStore, Any]:
    store = MemoryStore()
    duty = Duty(store, SipWorld(), config, HandClock())
    with capture_logs() as lines:
        await duty._given_up(item(kind), "mail mx:25: nobody there")
    return store, lines


async def test_the_administrator_is_told_by_log_and_mail_with_id_and_why() -> None:
    store, lines = await given_up(Work.MAIL, parse(CONFIG))
    (line,) = [line for line in lines if line.get("alarm") == "work_given_up"]
    assert line["state"] == "happened" and str(UUID(int=7)) in line["why"] and "nobody there" in line["why"]
    (alarm,) = store.state.outbox.values()
    notice = Notice.read(alarm.payload)
    assert (notice.alarm, notice.to) == (
        "work_given_up",
        "admin@example.com",
    ) and "nobody there" in notice.text


@pytest.mark.parametrize(
    ("kind", "config"), [(Work.ALARM, CONFIG), (Work.MAIL, CONFIG.replace("admin@example.com", ""))]
)
async def test_no_mail_is_written_about_an_alarm_nor_without_an_address(kind: Work, config: str) -> None:
    store, lines = await given_up(kind, parse(config))
    assert not store.state.outbox and any(line.get("alarm") == "work_given_up" for line in lines)


async def test_a_store_that_is_away_loses_no_more_than_the_mail() -> None:
    store = MemoryStore()
    store.state.away = True
    with capture_logs() as lines:
        await Duty(store, SipWorld(), parse(CONFIG), HandClock())._given_up(item(), "why")
    assert any("cannot be mailed" in line["event"] for line in lines)
