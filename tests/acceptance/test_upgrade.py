"""A rolling upgrade under calls: the release with the first schema on both nodes, then the present one on
one of them, then on both. Either node goes first. Every confirmed call is one message on both nodes, and
what is new works as soon as both have it.
"""

import asyncio
import email
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid5

import psycopg
import pytest

from store.features import SCHEMA
from tests.acceptance import scene
from tests.acceptance.callers import Callers, Outcome
from tests.acceptance.conftest import ended
from tests.acceptance.scene import Scene
from tests.fakes.sip_pool import noise
from voicemail.secrets import app_conninfo
from voicemail.sink import Sink
from voicemail.tour.local import LocalCluster, LocalNode, Plan
from voicemail.tour.tour import Person, Tour

OLD = "50bb4ce"
"""The last commit with the first schema."""
HERE = Path(__file__).parents[2]
MAILBOXES = ("2101", "2102")


def old_text(plan: Plan, number: int) -> str:
    """A configuration as that release knows it."""
    sip = plan.sip + 20 * (number - 1)
    return (
        f'[node]\nname = "vm{number}"\naddress = "{plan.address}"\n'
        f'directory = "{plan.directory}/vm{number}"\n[cluster]\nport = {sip + 5}\n'
        f"[sip]\nport = {sip}\npresence_port = {sip + 1}\nworkers = {plan.workers}\n"
        f"worker_port = {plan.workers_at + 100 * (number - 1)}\nrtp_port = {plan.rtp + 1200 * (number - 1)}\n"
        f'allowed_networks = ["127.0.0.0/8"]\nrequests_per_second_per_source = 1000\n'
        f'[store]\nport = {sip + 7}\n[mail]\nhost = "127.0.0.1"\nport = {plan.mail_port}\n'
    )


class Released(LocalNode):
    """A node whose code is in `tree`."""

    def __init__(self, plan: Plan, number: int, tree: Path) -> None:
        self.tree = tree
        super().__init__(plan, number)
        self.path.write_text(old_text(plan, number))

    async def command(self, *words: str) -> str:
        arguments = [sys.executable, "-m", "voicemail", *words, "--config", str(self.path)]
        done = await asyncio.to_thread(
            subprocess.run, arguments, env=self._environment(), cwd=self.tree, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "voicemail", "node", "--config", str(self.path),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=self._environment(), cwd=self.tree,
            )  # fmt: skip

    async def upgrade(self, plan: Plan) -> None:
        """As an administrator does it: stop, install, start."""
        await self.stop()
        self.tree = HERE
        self.path.write_text(plan.text(self.number))
        await self.start()

    def _environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.tree), "PYTHONDONTWRITEBYTECODE": ""}


@pytest.fixture(scope="module")
def old_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    packed = subprocess.run(["git", "-C", HERE, "archive", OLD], capture_output=True)
    if packed.returncode:
        pytest.skip(f"commit {OLD} is not here: {packed.stderr.decode().strip()}")
    tree = tmp_path_factory.mktemp("old")
    subprocess.run(["tar", "-x", "-C", tree], input=packed.stdout, check=True)
    return tree


@asynccontextmanager
async def both_old(home: Path, old: Path, mail_port: int) -> AsyncIterator[tuple[Scene, Plan]]:
    plan = scene.plan(home, workers=2, mail_port=mail_port, more='[alarm]\nmail_to = "ops@example.com"\n')
    async with AsyncExitStack() as stack:
        cluster = LocalCluster(plan)
        cluster.nodes = (Released(plan, 1, old), Released(plan, 2, old))
        stack.push_async_callback(ended, cluster)
        await cluster.start()
        tour = Tour(cluster, plan.directory, plan.directory / "mails")
        one, two = [await stack.enter_async_context(node.store()) for node in cluster.nodes]
        tour.stores = (one, two)
        yield Scene(cluster, tour, mail_port), plan


async def test_one_node_after_the_other_is_upgraded_under_calls(home: Path, old_tree: Path) -> None:
    """Two clusters at once, one for each order."""
    async with asyncio.TaskGroup() as both:
        for first in (1, 2):
            both.create_task(upgraded(home / f"upgrade{first}", old_tree, first))


async def upgraded(folder: Path, old_tree: Path, first: int) -> None:
    mail_port = scene.free_port()
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(Sink(folder / "mails", port=mail_port))
        two, plan = await stack.enter_async_context(both_old(folder, old_tree, mail_port))
        people = [await person_as_before(two, extension) for extension in MAILBOXES]
        edges = [("127.0.0.1", node.config.sip.port) for node in two.cluster.nodes]
        callers = Callers((edges[0], edges[1]), MAILBOXES)
        calling = asyncio.create_task(keep_calling(callers))
        await asyncio.sleep(1.0)
        for number in (first, 3 - first):
            node = two.cluster.nodes[number - 1]
            assert isinstance(node, Released)
            stopped = time.monotonic()
            await node.upgrade(plan)
            await two.cluster.in_service(within=60.0)
            if number == first:
                began = time.monotonic()
                await asyncio.sleep(4.0)
        calling.cancel()
        await calling
        await scene.seen("every message on both nodes", lambda: arrived(two, people, callers), 10)
        await scene.seen("the same schema on both", lambda: same_schema(two), 5)
        await scene.seen("both nodes hold the same", two.alike, 10)
        assert not callers.of("cut"), [outcome for outcome in callers.outcomes if outcome.end == "cut"]
        both = [outcome for outcome in callers.outcomes if began < outcome.began < stopped]
        taken = Counter(taker(plan, outcome) for outcome in both)
        assert taken[1] and taken[2], f"calls of old and new node side by side: {taken}"
        await two.second.kill()
        await scene.seen("a mail of the alarm", lambda: mailed(sink, "no_connection_to_peer raised vm1"), 8)
        await two.first.kill()  # quicker than to stop it in order
        print(f"vm{first} first: {dict(callers.counts())}, side by side {taken}, mails {alarms(sink)}")


def taker(plan: Plan, outcome: Outcome) -> int:
    """Which node confirmed the call; 0 for none."""
    return 1 + (outcome.media[1] - plan.rtp) // 1200 if outcome.end == "confirmed" else 0


async def person_as_before(two: Scene, extension: str) -> Person:
    """A user of the release before, made by it, with a greeting; our store needs our schema."""
    assert isinstance(two.first, Released)
    words = ("user", "add", extension, "--name", f"User {extension}", "--json")
    [told] = json.loads(await two.first.command(*words))
    where = app_conninfo(two.first.config)
    async with await psycopg.AsyncConnection.connect(where, autocommit=True) as old:
        select = "select id from public.user_account where extension = %s"
        [(user_id,)] = await (await old.execute(select, (extension,))).fetchall()
        insert = "insert into public.greeting values (%s, %s, 'standard', %s, false, 1, 1)"
        await old.execute(insert, (uuid5(user_id, "standard"), user_id, noise(0.5, 99)))
    return Person(extension, told["PIN"], user_id)


async def keep_calling(callers: Callers) -> None:
    """A call every 0.7 s. When it is told to stop, those that are under way are seen to their end."""
    calls: set[asyncio.Task[None]] = set()
    with suppress(asyncio.CancelledError):
        while True:
            calls.add(asyncio.create_task(callers.one(len(calls))))
            await asyncio.sleep(0.7)
    await asyncio.gather(*calls)


async def arrived(two: Scene, people: list[Person], callers: Callers) -> bool:
    """Each confirmed caller has one message on each node."""
    for index in (0, 1):
        held = Counter([m.caller for person in people for m in (await two.messages(person))[index]])
        assert not [caller for caller, count in held.items() if count > 1], held
        if not callers.of("confirmed") <= held.keys():
            return False
    return True


async def same_schema(two: Scene) -> bool:
    """Told by keep-alives, and agreed by both databases (`agree` gives what was agreed before)."""
    told = [(await node.status()).get("schema") for node in two.cluster.nodes]
    return told == [SCHEMA, SCHEMA] and [await store.agree(1) for store in two.tour.stores] == [
        SCHEMA,
        SCHEMA,
    ]


def alarms(sink: Sink) -> list[str]:
    return [email.message_from_bytes(path.read_bytes())["X-Alarm"] for path in sink.mails()]


async def mailed(sink: Sink, alarm: str) -> bool:
    return alarm in alarms(sink)
