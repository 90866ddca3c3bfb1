"""Programs follow the status; the edge follows status and operator."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.fakes.cluster import until
from voicemail.cluster.keeper import GRACE, Keeper, Program
from voicemail.cluster.roles import Status
from voicemail.supervise.crew import Crew, end_tasks

NAMES = ("database", "edge", "workers", "primary")


class House:
    """Programs that only sleep, and a status that a test sets. `workers` says how it was stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.status = folder, Status.STARTING
        keepers = {name: Keeper(self.program(name)) for name in NAMES}
        self.crew = Crew(keepers, lambda: self.status)

    def program(self, name: str) -> Program:
        told = self.folder / name
        script = (
            f"trap 'echo finished > {told}; exit' TERM; trap 'echo at once > {told}; exit' USR1; "
            f"echo up > {told}; while :; do sleep 0.02; done"
        )
        at_once = signal.SIGUSR1 if name == "workers" else None
        return Program(name, lambda: ["sh", "-c", script], at_once=at_once)

    def told(self, name: str) -> str:
        path = self.folder / name
        return path.read_text().strip() if path.exists() else ""

    def become(self, status: Status) -> None:
        self.status = status
        self.crew.wake()

    def up(self) -> set[str]:
        return {name for name in NAMES if self.told(name) == "up" and self.crew[name].running}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    running = asyncio.create_task(made.crew.run())
    yield made
    await end_tasks({running})
    await made.crew.stop()
    assert not any(made.crew[name].running for name in NAMES)


def only(house: House, *names: str) -> Callable[[], bool]:
    return lambda: house.up() == set(names) and set(house.crew.running()) == set(names)


async def test_a_deactivated_node_runs_its_database_and_its_edge_only(house: House) -> None:
    await until(lambda: house.up() == set(NAMES))
    house.become(Status.DEACTIVATED)
    await until(only(house, "database", "edge"))
    assert (house.told("workers"), house.told("primary")) == ("at once", "finished")
    house.become(Status.STARTING)
    await until(only(house, *NAMES))


async def test_a_status_that_changes_nothing_for_the_programs_leaves_them_alone(house: House) -> None:
    await until(lambda: house.up() == set(NAMES))
    pids = [house.crew[name].process for name in NAMES]
    for status in (Status.PRIMARY, Status.SECONDARY, Status.SPLIT_BRAIN_RECOVERY, Status.NOT_FUNCTIONING):
        house.become(status)
        await house.crew.follow()
    assert [house.crew[name].process for name in NAMES] == pids
    assert house.up() == set(NAMES)


async def test_what_is_not_wanted_has_not_failed(house: House) -> None:
    await until(lambda: house.up() == set(NAMES))
    house.become(Status.DEACTIVATED)
    await until(only(house, "database", "edge"))
    later = asyncio.get_running_loop().time() + 10 * GRACE
    assert not house.crew.failed(NAMES, later)
    house.become(Status.STARTING)
    await house.crew.follow()
    assert not house.crew.failed(NAMES, asyncio.get_running_loop().time())


async def test_an_order_and_its_opposite_in_one_breath_end_with_everything_running(house: House) -> None:
    await until(lambda: house.up() == set(NAMES))
    for _ in range(5):
        house.become(Status.DEACTIVATED)
        await asyncio.sleep(0.01)
        house.become(Status.STARTING)
    await until(only(house, *NAMES))
