"""Metrics by HTTP, as Prometheus reads them."""

import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.postgres import free_port
from voicemail.cluster.metrics import PREFIX, TABLE, NodeMetrics
from voicemail.cluster.snapshot import Snapshot


@pytest.fixture
def served() -> Iterator[tuple[NodeMetrics, int]]:
    metrics, port = NodeMetrics(), free_port()
    assert metrics.start("127.0.0.1", port)
    yield metrics, port
    metrics.stop()


def read(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_prometheus_understands_what_it_reads(served: tuple[NodeMetrics, int]) -> None:
    metrics, port = served
    metrics.update(Snapshot(edge={"script.calls": 3, "tmx:other": 1}, running={"edge": True}), frozenset())
    families = {family.name: family for family in text_string_to_metric_families(read(port))}
    assert {PREFIX + metric.name.removesuffix("_total") for metric in TABLE} <= families.keys()
    [calls] = families["voicemail_edge"].samples
    assert (calls.name, calls.labels, calls.value) == ("voicemail_edge_total", {"what": "calls"}, 3.0)


def test_a_reader_that_says_nothing_holds_up_nobody(served: tuple[NodeMetrics, int]) -> None:
    _, port = served
    with socket.create_connection(("127.0.0.1", port)):
        assert "voicemail_epoch" in read(port)


def test_a_port_that_is_taken_is_no_failure_and_is_free_after_the_end() -> None:
    first, second, port = NodeMetrics(), NodeMetrics(), free_port()
    assert first.start("127.0.0.1", port)
    assert not second.start("127.0.0.1", port) and not second.started
    before = threading.active_count()
    first.stop()
    assert threading.active_count() < before
    assert second.start("127.0.0.1", port)
    second.stop()
