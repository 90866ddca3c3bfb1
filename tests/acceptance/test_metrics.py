"""What Prometheus reads of two real nodes is what they are, also while a call is up."""

import asyncio
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from store.features import SCHEMA
from tests.acceptance import scene
from tests.acceptance.scene import Scene
from voicemail.tour.local import LocalNode

pytestmark = pytest.mark.asyncio(loop_scope="session")
Read = dict[tuple[str, str], float]


async def read(node: LocalNode) -> Read:
    """Figures by name and the values of their labels."""
    where = f"http://127.0.0.1:{node.config.metrics.port}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(where, timeout=5).read().decode())
    return {
        (sample.name.removeprefix("voicemail_"), " ".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def as_they_are(two: Scene) -> bool:
    """Figures are a second old at most."""
    for node in two.cluster.nodes:
        status, figures = await node.status(), await read(node)
        names = [label for (name, label), value in figures.items() if name == "status" and value]
        on_duty = figures["on_duty", ""] == (status["status"] == "Primary")
        if not (names == [status["status"]] and on_duty and figures["epoch", ""] == status["epoch"]):
            return False
    return True


async def test_both_nodes_tell_prometheus_what_they_are_and_which_call_is_up(two: Scene) -> None:
    person = await two.person("3001")
    heard = await two.tour.dial(two.first, two.tour.phone, f"sip:{person.extension}@127.0.0.1")
    try:

        async def calls() -> bool:
            counted = [(await read(node))["calls", ""] for node in two.cluster.nodes]
            return counted == [1, 0]

        await scene.seen("one call on the first node, none on the second", calls, 3)
        await scene.seen("both tell their status and epoch", lambda: as_they_are(two), 5)
        for node in two.cluster.nodes:
            figures = await read(node)
            assert figures["workers", ""] == two.cluster.plan.workers
            assert figures["ports", ""] == 4 * two.cluster.plan.workers
            assert figures["peer_heard", ""] == figures["replication_synchronous", ""] == 1
            programs = {label for (name, label), up in figures.items() if name == "program_up" and up}
            assert programs == {"database", "edge", "presence", "primary", "workers"}
            [build] = [label for name, label in figures if name == "build_info"]
            assert str(SCHEMA) in build.split()
    finally:
        await heard.call.hang_up()
