"""Callers who know the cluster by its domain only: a real name server has the records that
`voicemail deploy dns` printed."""

from collections import Counter

import pytest

from sip.errors import EngineError
from tests.acceptance import scene
from tests.acceptance.fronts import DOMAIN, Names, drained
from tests.acceptance.scene import Scene
from tests.fakes.balancer import running_dnsmasq

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_srv_leads_callers_to_both_nodes_by_weight_and_past_one_that_is_drained(two: Scene) -> None:
    await two.settled()
    printed = await two.first.command(
        "deploy", "dns", "--format", "dnsmasq", "--domain", DOMAIN, "--weights", "70,30"
    )
    port = scene.free_port()
    one, other = (("127.0.0.1", node.config.sip.port) for node in two.cluster.nodes)
    async with running_dnsmasq(printed, port):
        names = Names(("127.0.0.1", port))
        first = Counter([(await names.targets())[0] for _ in range(200)])
        assert set(first) == {one, other}
        assert 100 < first[one] < 180, "of 200, 140 are to be expected"
        async with drained(two.second):
            answered = [await dialled(two, await names.targets()) for _ in range(4)]
        assert set(answered) == {one}
        assert {await dialled(two, [target]) for target in (one, other)} == {one, other}


async def dialled(two: Scene, targets: list[tuple[str, int]]) -> tuple[str, int]:
    """Who answered a telephone that tries one after the other."""
    for host, port in targets:
        call = await two.tour.phone.dial(f"sip:5000@{host}:{port}", {}, "sip:4930555@127.0.0.1")
        try:
            await call.answered()
        except EngineError:
            continue
        await call.hang_up()
        return host, port
    raise AssertionError(f"nobody answered of {targets}")
