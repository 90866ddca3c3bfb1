"""The same world driven by Hypothesis, which makes a schedule that breaks something as short as it can."""

from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.fakes.schedules import BEACONS, FAULTS, ORDERS, SPANS, fault, settle, start
from tests.fakes.world import World

HOSTS = st.sampled_from((0, 1))


class Cluster(RuleBasedStateMachine):
    """World raises Broken by itself; in the end every fault is over and the cluster must settle."""

    world: World

    @initialize(
        seed=st.integers(0, 2**16),
        automatic=st.booleans(),
        slow=st.sampled_from((0.0, 0.05, 0.3)),
        loss=st.sampled_from((0.0, 0.1)),
        merge=st.sampled_from((0.0, 0.5, 5.0)),
        beacons=st.sampled_from((0.0, BEACONS)),
    )
    def begin(
        self, seed: int, automatic: bool, slow: float, loss: float, merge: float, beacons: float
    ) -> None:
        self.world = World(Random(seed), automatic, slow, loss, beacons)
        self.world.merge_takes = merge
        for host in self.world.hosts:
            start(self.world, host)

    @rule(seconds=st.sampled_from(SPANS))
    def time_passes(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    @rule(number=HOSTS, name=st.sampled_from(sorted(FAULTS)), seconds=st.sampled_from(SPANS))
    def something_happens(self, number: int, name: str, seconds: float) -> None:
        fault(self.world, self.world.hosts[number], name, seconds)

    @rule(number=HOSTS, order=st.sampled_from(ORDERS))
    def an_operator_orders(self, number: int, order: str) -> None:
        self.world.order(self.world.hosts[number], order)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            settle(self.world)


TestCluster = Cluster.TestCase
TestCluster.settings = settings(
    max_examples=200,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
