"""Which worker is asked to call, through real sockets; and how often a user may be called."""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from store.memory import MemoryStore
from voicemail.call_orders import Ended, Order, Report, path_of
from voicemail.calling import Tell, taking_orders
from voicemail.config import Config, parse
from voicemail.primary.calls import CallBook, read
from voicemail.primary.dialler import Workers
from voicemail.primary.lease import NotPrimary

ORDER = Order(UUID(int=1), "0171", UUID(int=2))
NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    place = f'[node]\nname = "vm1"\naddress = "127.0.0.1"\ndirectory = "{tmp_path}"\n'
    return parse(f"{place}[sip]\nworkers = 3\n")


class Worker:
    """Answers as the test says."""

    def __init__(self, *ends: Ended) -> None:
        self.ends: Iterator[Ended] = iter(ends)
        self.orders: list[Order] = []

    async def call(self, order: Order, tell: Tell) -> None:
        self.orders.append(order)
        tell(Report(next(self.ends), "said"))


async def test_workers_are_asked_in_turn_until_one_can_call(config: Config) -> None:
    full, free = Worker(Ended.NO_PORT), Worker(Ended.BUSY)
    async with AsyncExitStack() as stack:  # the worker of slot 0 is not there
        for slot, worker in ((1, full), (2, free)):
            await stack.enter_async_context(taking_orders(path_of(config, slot), worker.call))
        report = await Workers(config, lambda slots: None).call(ORDER, lambda: None)
    assert report == Report(Ended.BUSY, "said")
    assert (full.orders, free.orders) == ([ORDER], [ORDER])


async def test_without_any_worker_nobody_can_call(config: Config) -> None:
    assert (await Workers(config).call(ORDER, lambda: None)).ended is Ended.NO_PORT


async def test_without_the_lease_nobody_is_asked(config: Config) -> None:
    def over() -> None:
        raise NotPrimary("over")

    worker = Worker(Ended.REACHED)
    async with taking_orders(path_of(config, 0), worker.call):
        with pytest.raises(NotPrimary):
            await Workers(config).call(ORDER, over)
    assert not worker.orders


async def test_a_worker_whose_socket_cannot_be_made_serves_callers_all_the_same(tmp_path: Path) -> None:
    async with taking_orders(tmp_path / ("x" * 200) / "0.sock", Worker().call):
        pass


@pytest.mark.parametrize("line", [b"", b"\n", b"[]\n", b"{}\n", b'{"user": 1, "number": 2, "item": 3}\n'])
def test_what_is_no_order_or_report_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        Order.read(line)
    with pytest.raises(ValueError):
        Report.read(line)


def test_orders_and_reports_survive_their_journey() -> None:
    assert Order.read(ORDER.line) == ORDER
    assert Report.read(Report(Ended.NO_PIN, "x").line) == Report(Ended.NO_PIN, "x")


async def test_calls_are_counted_within_an_hour_and_each_piece_of_work_once() -> None:
    book, user, first = CallBook(MemoryStore(), 2), uuid4(), uuid4()
    assert await book.may(user, first, NOW)
    assert await book.may(user, first, NOW + timedelta(minutes=1))
    assert await book.may(user, uuid4(), NOW + timedelta(minutes=2))
    assert not await book.may(user, uuid4(), NOW + timedelta(minutes=3))
    assert await book.may(uuid4(), uuid4(), NOW + timedelta(minutes=3)), "another user"
    assert await book.may(user, uuid4(), NOW + timedelta(minutes=62))


@pytest.mark.parametrize("body", ["", "[]", "7", '{"a": 5}', '{"a": "yesterday"}', '{"a": "2026-03-04"}'])
def test_a_damaged_count_is_none(body: str) -> None:
    assert read(body, NOW) == {}


def test_calls_of_a_clock_that_was_ahead_do_not_count_for_ever() -> None:
    assert read(json.dumps({"a": (NOW + timedelta(days=300)).isoformat()}), NOW) == {}
