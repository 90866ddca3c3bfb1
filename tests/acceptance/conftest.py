"""Two real nodes for the whole run, made and run by the same commands that an administrator uses."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance import scene
from tests.acceptance.apart import A, Apart, B, System
from tests.acceptance.scene import Scene
from voicemail.tour.local import LocalCluster
from voicemail.tour.tour import Tour


@pytest.fixture(scope="session")
def home(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Not pytest's own folder, through which PostgreSQL's user may not go."""
    folder = Path(tempfile.mkdtemp(prefix="tandem-", dir="/tmp"))
    folder.chmod(0o755)
    failed = request.session.testsfailed
    yield folder
    if request.session.testsfailed == failed:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"kept for a look: {folder}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def two(home: Path) -> AsyncIterator[Scene]:
    """Two nodes of eight workers. Only 127.0.0.1 may call, also by a balancer, and the phones of OWN_PHONES.
    Mails go to `mail_port`, calls to users to `call_port`, where nobody listens until a test does."""
    mail_port, trunk_port, call_port = scene.free_port(), scene.free_port(), scene.free_port()
    trunk = (
        '[[trunk]]\nname = "pbx"\naddresses = ["127.0.0.1"]\n'
        f'lamp_uri = "sip:mwi-{{extension}}@127.0.0.1:{trunk_port}"\n'
        f'[notify]\ncall_uri = "sip:{{number}}@127.0.0.1:{call_port}"\n'
    )
    plan = scene.plan(
        home / "two",
        workers=8,
        allowed_networks=("127.0.0.1/32", f"{scene.OWN_PHONES}/32"),
        balancers=(f"127.0.0.20:{scene.free_port()}",),
        mail_port=mail_port,
        more=trunk,
    )
    async with AsyncExitStack() as stack:
        cluster = LocalCluster(plan)
        stack.push_async_callback(ended, cluster)
        await cluster.start()
        tour = Tour(cluster, plan.directory, plan.directory / "mails")
        await tour.open(stack, trunk_port)
        yield Scene(cluster, tour, mail_port, call_port)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def small(home: Path) -> AsyncIterator[Scene]:
    """Two nodes of one worker, four calls each, whose disks count as nearly full."""
    plan = scene.plan(home / "small", workers=1, more="[recording]\nleast_free_megabytes = 1000000000\n")
    async with AsyncExitStack() as stack:
        cluster = LocalCluster(plan)
        stack.push_async_callback(ended, cluster)
        await cluster.start()
        tour = Tour(cluster, plan.directory, plan.directory / "mails")
        await tour.open(stack, scene.free_port())
        await asyncio.sleep(2.5)  # an edge asks its only worker every 2 s, and may have met it unready
        yield Scene(cluster, tour, 0)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def apart(home: Path) -> AsyncIterator[Apart]:
    """Mailboxes of the other are dialled as 82 and 81 with their number."""
    here, there = System(home, A), System(home, B)
    async with AsyncExitStack() as stack:
        await asyncio.gather(here.start(stack), there.start(stack))
        people = await here.user("1001"), await here.user("1002"), await there.user("2001")
        for one, other, dial_id in ((here, there, "82"), (there, here, "81")):
            host = f"127.0.0.1:{other.plan.smtp}"
            far = [f"domain={other.domain}", f"dial_id={dial_id}", f"host={host}", "tls=none"]
            await one.command("location", "set", "far", *far)
        yield Apart(here, there, *people)


async def ended(cluster: LocalCluster) -> None:
    """Stopped in order, and no process of it is left."""
    running = [node for node in cluster.nodes if node.process and node.process.returncode is None]
    pids = [pid for node in running for pid in scene.tree(node)]
    await cluster.stop()
    await scene.gone(pids)
